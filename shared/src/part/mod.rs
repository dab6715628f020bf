//! A part of a drop: its record and state, the decision about it in each tick, and its rows.

#![warn(missing_docs)]

pub mod decide;
pub mod join;
mod problem;
mod record;
pub mod rows;
mod state;
pub mod upload;

pub use record::{CollectedPart, HeldResults, NotStarted, PartFailure, PartRecord, Unconfirmed};
pub use state::PartState;
