//! An error in a file or a row: a stable code, the place and a message. The message never quotes
//! the value.

use crate::problem::Code;
use serde::{Deserialize, Serialize};

/// An error in a file or a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} on line {line}: {message}")]
pub struct InputError {
    /// What kind of error it is.
    pub code: Code,
    /// The line of the row or, within the row, of the error; counted from 1, as an editor shows it.
    pub line: u64,
    /// The byte offset of the row in the file, counted from 0.
    pub offset: u64,
    /// What is wrong, with the column and the limit, for people to read; never the value.
    pub message: String,
}

impl InputError {
    /// An error of the whole file, reported on its first line.
    #[must_use]
    pub fn of_file(code: Code, message: impl Into<String>) -> Self {
        InputError { code, line: 1, offset: 0, message: message.into() }
    }
}
