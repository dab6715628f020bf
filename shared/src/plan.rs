//! The plan of a drop: its parts, and where a part ends.

use serde::{Deserialize, Serialize};

/// Where a part ends: at the limit that it reaches first. A part has at least one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLimits {
    /// Rows per part, rejected ones included.
    pub rows: u64,
    /// Bytes per part: a limit on the part's range of the source, and on its upload.
    pub bytes: u64,
}

impl Default for PartLimits {
    /// 25,000 rows (the limit of an earlier edition of the Batch API's documentation) and 32 MiB
    /// (ours).
    fn default() -> Self {
        PartLimits { rows: 25_000, bytes: 32 * 1024 * 1024 }
    }
}

/// `ON_BAD_ROWS`: what to do with a file that has invalid rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRows {
    /// Send the valid rows; the invalid ones are in the results with their error.
    #[default]
    SubmitValid,
    /// Send nothing, and list the invalid rows in `rejected.csv`.
    RejectFile,
}

/// A planned part: a range of the source, and how much of it is uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPart {
    /// Counted from 1.
    pub number: u32,
    /// The line of its first row.
    pub first_line: u64,
    /// The number of its first row, counted from 1 over the rows of the file: where it is the `ref_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_row: Option<u64>,
    /// The byte offset of its first row.
    pub offset: u64,
    /// The byte offset after its last row.
    pub end: u64,
    /// All its rows, rejected ones included.
    pub rows: u64,
    /// The rows that are sent to be evaluated.
    pub accepted: u64,
    /// The exact length of the upload in bytes, its header included.
    pub upload_bytes: u64,
    /// The byte offset of its rejections in `rejected.csv`.
    pub rejected_offset: u64,
    /// Their length in `rejected.csv`, in bytes.
    pub rejected_bytes: u64,
}
