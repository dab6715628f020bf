//! A drop: its record, the keys of its objects, and what `status.json` says of it.

#![warn(missing_docs)]

pub mod object_key;
mod record;
pub mod status;

pub use record::{DropRecord, DropState, OnBadRows, Plan, Times};
