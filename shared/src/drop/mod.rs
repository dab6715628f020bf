//! A drop: its record, its problems, and its `status.json`.

#![warn(missing_docs)]

pub mod problems;
mod record;
mod saved_check;
pub mod stack;
pub mod status;

pub use crate::plan::OnBadRows;
pub use record::{
    DropMapping, DropProblem, DropRecord, DropState, MappingObject, Plan, SafeResults, Terms, Times,
};
pub use saved_check::SavedCheck;
