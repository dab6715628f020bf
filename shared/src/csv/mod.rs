//! Strict CSV: the scanner, the header, the rules for a row, and writing a field.

#![warn(missing_docs)]

pub mod error;
mod fields;
pub mod header;
pub mod row;
pub mod rules;
pub mod safe;
pub mod scan;
pub mod write;

pub use fields::Row;
