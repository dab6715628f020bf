//! A drop: its record, and what `status.json` says of it.

#![warn(missing_docs)]

mod record;
pub mod status;

pub use record::{DropRecord, DropState, OnBadRows, Plan, Terms, Times};
