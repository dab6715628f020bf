//! A drop cut into parts: the limits, and a part as it is planned.

use serde::{Deserialize, Serialize};

/// Where a part ends: at either limit, whichever is met first. A part has at least one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLimits {
    /// Rows per part, rejected ones included.
    pub rows: u64,
    /// Bytes per part, of the source and of the upload alike.
    pub bytes: u64,
}

impl Default for PartLimits {
    /// 25,000 rows (the limit of an earlier edition of the Batch API's documentation) and 32 MiB (ours).
    fn default() -> Self {
        PartLimits { rows: 25_000, bytes: 32 * 1024 * 1024 }
    }
}

/// A part as planned: a range of the source, and what will be uploaded of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPart {
    /// Counted from 1.
    pub number: u32,
    /// The line of its first row.
    pub first_line: u64,
    /// The byte offset of its first row.
    pub offset: u64,
    /// The byte offset behind its last row.
    pub end: u64,
    /// Its rows, rejected ones included.
    pub rows: u64,
    /// The rows that will be evaluated.
    pub accepted: u64,
    /// The exact length of the upload, in bytes, its header included.
    pub upload_bytes: u64,
    /// Where its rejections begin in `rejected.csv`, in bytes.
    pub rejected_offset: u64,
    /// How many bytes of `rejected.csv` they are.
    pub rejected_bytes: u64,
}
