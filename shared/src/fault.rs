//! What can be wrong with a file or a row: a stable class, the place, and words for a person. Never the value itself.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The stable word for a kind of fault. `E_REF_ID`, `E_TYPE` and `E_CONTENT` reject a row; every other one rejects the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// The file has no bytes, or no row below its header.
    #[serde(rename = "E_EMPTY")]
    Empty,
    /// The header lacks a column, has one twice, or uses another delimiter.
    #[serde(rename = "E_HEADER")]
    Header,
    /// The bytes are not UTF-8 text: UTF-16, an archive, a NUL, an invalid sequence.
    #[serde(rename = "E_ENCODING")]
    Encoding,
    /// A quote or a carriage return stands where CSV does not allow it, or a quote is never closed.
    #[serde(rename = "E_QUOTE")]
    Quote,
    /// A row has more or fewer fields than the header.
    #[serde(rename = "E_FIELDS")]
    Fields,
    /// The row's `ref_id` is empty, too long, or stands on an earlier row.
    #[serde(rename = "E_REF_ID")]
    RefId,
    /// The row's `type` is neither `text` nor `image_url`.
    #[serde(rename = "E_TYPE")]
    Type,
    /// The row's `content` is blank, or not the address of an image.
    #[serde(rename = "E_CONTENT")]
    Content,
    /// Something is larger than Moondrop takes.
    #[serde(rename = "E_LIMIT")]
    Limit,
    /// No policy is named for the file: it stands in no policy's folder, and there is no default policy.
    #[serde(rename = "E_POLICY")]
    Policy,
}

impl Class {
    /// Every class, in the order of the documentation.
    pub const ALL: [Class; 10] = [
        Class::Empty,
        Class::Header,
        Class::Encoding,
        Class::Quote,
        Class::Fields,
        Class::RefId,
        Class::Type,
        Class::Content,
        Class::Limit,
        Class::Policy,
    ];

    /// The word as it stands in `rejected.csv` and `status.json`, such as `E_QUOTE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Empty => "E_EMPTY",
            Class::Header => "E_HEADER",
            Class::Encoding => "E_ENCODING",
            Class::Quote => "E_QUOTE",
            Class::Fields => "E_FIELDS",
            Class::RefId => "E_REF_ID",
            Class::Type => "E_TYPE",
            Class::Content => "E_CONTENT",
            Class::Limit => "E_LIMIT",
            Class::Policy => "E_POLICY",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault at its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class} on line {line}: {reason}")]
pub struct Fault {
    /// The kind of fault.
    pub class: Class,
    /// The line the row (or, within it, the fault) stands on, counted from 1, as an editor shows it.
    pub line: u64,
    /// The byte offset of the row in the file, counted from 0.
    pub offset: u64,
    /// What is wrong, with the column and the limit, for a person; without the value.
    pub reason: String,
}

impl Fault {
    /// A fault of the file as a whole, put on its first line.
    #[must_use]
    pub fn of_file(class: Class, reason: impl Into<String>) -> Self {
        Fault { class, line: 1, offset: 0, reason: reason.into() }
    }
}
