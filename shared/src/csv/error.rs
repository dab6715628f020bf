//! What can be wrong with a file or a row: a stable class, the place, and words for a person. Never the value itself.

use crate::problem::Code;

/// A fault at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class} on line {line}: {reason}")]
pub struct InputError {
    /// The kind of fault.
    pub class: Code,
    /// The line the row (or, within it, the fault) stands on, counted from 1, as an editor shows it.
    pub line: u64,
    /// The byte offset of the row in the file, counted from 0.
    pub offset: u64,
    /// What is wrong, with the column and the limit, for a person; without the value.
    pub reason: String,
}

impl InputError {
    /// A fault of the file as a whole, put on its first line.
    #[must_use]
    pub fn of_file(class: Code, reason: impl Into<String>) -> Self {
        InputError { class, line: 1, offset: 0, reason: reason.into() }
    }
}
