//! What the functions do with a drop in common, by several services at once.
//!
//! A drop that waits has its problem set ([`set_problem`]), and what changes is reported ([`try_report`]); a drop whose state is final is concluded
//! ([`conclude`], [`conclude_if_ended`]), whoever comes first; a part is opened again to be uploaded or joined ([`PartSource`]).

mod conclude;
mod part_source;
mod report;
mod set_problem;

pub use conclude::{conclude, conclude_if_ended};
pub use part_source::{PartSource, header};
pub use report::{report, report_check, try_report};
pub use set_problem::set_problem;
