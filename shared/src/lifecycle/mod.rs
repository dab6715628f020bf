//! The steps that several functions share and that need several services.
//!
//! [`set_drop_problem`] and [`note_stack_problem`] record what a drop or the stack waits for, and
//! [`try_report`] reports it; [`DueReport`] is a report that is made even if its function dies. [`conclude`] and
//! [`conclude_if_ended`] end a drop whose state is final; any function may come first.
//! [`wait`] has poll requeue a drop later. [`cancel_parts`] cancels the parts of a drop. [`PartSource`] opens a part again to upload or join it.

mod cancel;
mod conclude;
mod part_source;
mod problems;
mod report;
mod wait;

pub use cancel::{cancel_parts, is_to_be_cancelled};
pub use conclude::{conclude, conclude_if_ended};
pub use part_source::{PartSource, header};
pub use problems::{Seen, clear_allowed_hosts, note_stack_problem, set_drop_problem};
pub use report::{DueReport, report, report_check, try_report};
pub use wait::wait;
