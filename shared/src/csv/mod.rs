//! Strict CSV: the scanner, the header, the rules for a row, and writing a field.

#![warn(missing_docs)]

mod cause;
pub mod columns;
pub mod error;
mod fields;
pub mod header;
pub(crate) mod header_cause;
mod image_url;
pub mod kind;
pub mod mapping;
pub mod row;
pub mod rules;
pub mod safe;
pub mod scan;
pub mod separator;
pub mod text;
pub mod value;
pub mod write;

pub use fields::Row;
