//! CSV, read strictly: the scanner, the header, the rules of a row, and writing a field.

pub mod header;
pub mod row;
pub mod scan;
pub mod write;
