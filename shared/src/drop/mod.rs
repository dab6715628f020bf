//! A drop: its record, its problems, and its `status.json`.

#![warn(missing_docs)]

pub mod problems;
mod record;
pub mod stack;
pub mod status;

pub use record::{DropProblem, DropRecord, DropState, OnBadRows, Plan, SafeResults, Terms, Times};
