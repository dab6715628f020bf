//! The check of a whole file: which rows are valid, and the plan of its parts.

#![warn(missing_docs)]

mod checker;
pub mod duplicates;
mod file_kind;
pub mod rejected;

pub use checker::{Checked, Checker, MAX_PARTS, MAX_ROWS, Step};
