//! A drop: its record, and its `status.json`.

#![warn(missing_docs)]

mod record;
pub mod status;

pub use record::{DropRecord, DropState, OnBadRows, Plan, Terms, Times};
