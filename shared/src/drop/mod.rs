//! A drop: its record, its problems, and its `status.json`.

#![warn(missing_docs)]

mod mapping;
pub mod problems;
mod record;
mod saved_check;
pub mod stack;
pub mod status;

pub use crate::plan::OnBadRows;
pub use mapping::{DropMapping, MappingObject};
pub use record::{DropProblem, DropRecord, DropState, Plan, SafeResults, Terms, Times};
pub use saved_check::SavedCheck;
