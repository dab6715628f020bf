//! What can be wrong with a file or a row: a stable code, the place, and a message for people. Never the value itself.

use crate::problem::Code;

/// An error at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} on line {line}: {message}")]
pub struct InputError {
    /// The kind of error.
    pub code: Code,
    /// The line the row (or, within it, the error) is on, counted from 1, as an editor shows it.
    pub line: u64,
    /// The byte offset of the row in the file, counted from 0.
    pub offset: u64,
    /// What is wrong, with the column and the limit, for people; without the value.
    pub message: String,
}

impl InputError {
    /// An error of the file as a whole, put on its first line.
    #[must_use]
    pub fn of_file(code: Code, message: impl Into<String>) -> Self {
        InputError { code, line: 1, offset: 0, message: message.into() }
    }
}
