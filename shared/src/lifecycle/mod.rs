//! What the functions do with a drop in common, by several services: report it, conclude it, open its parts again.

pub mod conclude;
pub mod part_source;
pub mod report;
