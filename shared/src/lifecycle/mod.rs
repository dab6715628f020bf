//! The steps that several functions share and that need several services.
//!
//! [`set_problem`] records what a drop waits for, and [`try_report`] reports it. [`conclude`] and
//! [`conclude_if_ended`] end a drop whose state is final; any function may come first.
//! [`cancel_parts`] cancels the parts of a drop. [`PartSource`] opens a part again to upload or join it.

mod cancel;
mod conclude;
mod part_source;
mod report;
mod set_problem;

pub use cancel::{cancel_parts, is_to_be_cancelled};
pub use conclude::{conclude, conclude_if_ended};
pub use part_source::{PartSource, header};
pub use report::{report, report_check, try_report};
pub use set_problem::set_problem;
