//! Where the parts of a file end.

use super::rejected::REJECTED_HEADER;
use crate::csv::Row;
use crate::csv::error::InputError;
use crate::csv::row::UPLOAD_HEADER;
use crate::plan::{PartLimits, PlannedPart};
use crate::problem::Code;

/// The most parts of a drop: the key of a part's record has five digits for its number.
pub const MAX_PARTS: usize = 99_999;

/// The most parts whose results are put together on S3's side whatever their size: S3 takes as many
/// pieces (Amazon S3 User Guide, "Multipart upload limits"). Those of more parts are gathered, each
/// piece in the memory of collect.
const PARTS_NOT_GATHERED: usize = 10_000;

/// How large a file of more parts may be: pieces of 128 MiB have room for results that are twice as
/// large. Our limit.
const MAX_GATHERED_BYTES: u64 = 10_000 * 64 * 1024 * 1024;

/// The most rows of a file: their hashes take some 760 MiB of memory. Our limit, not the API's.
pub const MAX_ROWS: u64 = 100_000_000;

/// Plans parts, row by row.
#[derive(Debug)]
pub(super) struct Planner {
    limits: PartLimits,
    pub(super) parts: Vec<PlannedPart>,
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) rejected_at: u64,
}

/// How many bytes a row takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoded {
    /// In the upload.
    Upload(u64),
    /// In `rejected.csv`.
    Rejection(u64),
}

impl Planner {
    pub(super) fn new(limits: PartLimits) -> Self {
        let rejected_at = REJECTED_HEADER.len() as u64;
        Planner { limits, parts: Vec::new(), rows: 0, rejected: 0, rejected_at }
    }

    /// Adds a row to the last part, or begins another with it.
    ///
    /// # Errors
    /// `E_LIMIT`: the file has too many rows or parts.
    pub(super) fn add(&mut self, row: &Row<'_>, encoded: Encoded) -> Result<(), InputError> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            let message =
                format!("the file has more than {MAX_ROWS} rows: drop it in several files");
            return Err(row.error(Code::Limit, message));
        }
        let (upload, rejection) = match encoded {
            Encoded::Upload(bytes) => (bytes, 0),
            Encoded::Rejection(bytes) => (0, bytes),
        };
        let accepted = matches!(encoded, Encoded::Upload(_));
        self.rejected += u64::from(!accepted);
        let fits = self.parts.last().is_some_and(|part| {
            part.rows < self.limits.rows
                && row.end - part.offset <= self.limits.bytes
                && part.upload_bytes + upload <= self.limits.bytes
        });
        if !fits {
            if self.parts.len() == MAX_PARTS {
                let message = format!(
                    "the file would make more than {MAX_PARTS} parts: drop it in several files"
                );
                return Err(row.error(Code::Limit, message));
            }
            if self.parts.len() >= PARTS_NOT_GATHERED && row.end > MAX_GATHERED_BYTES {
                let message = format!(
                    "the file would make more than {PARTS_NOT_GATHERED} parts, and has more than {} GiB, whose results S3 cannot put together: make parts larger (ROWS_PER_JOB, BYTES_PER_JOB), or drop it in several files",
                    MAX_GATHERED_BYTES >> 30
                );
                return Err(row.error(Code::Limit, message));
            }
            self.parts.push(PlannedPart {
                number: self.parts.len() as u32 + 1,
                first_line: row.line,
                first_row: Some(self.rows),
                offset: row.offset,
                end: row.end,
                rows: 0,
                accepted: 0,
                upload_bytes: UPLOAD_HEADER.len() as u64,
                rejected_offset: self.rejected_at,
                rejected_bytes: 0,
            });
        }
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        part.end = row.end;
        part.rows += 1;
        part.upload_bytes += upload;
        part.accepted += u64::from(accepted);
        part.rejected_bytes += rejection;
        self.rejected_at += rejection;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::scan::Scanner;

    /// Adds rows that make a part each, from this offset on; the first error.
    fn plan(from: u64, parts: usize) -> Result<(), InputError> {
        let mut planner = Planner::new(PartLimits { rows: 1, bytes: 1 << 20 });
        let (rows, mut scanner) = ("1,text,x\n".repeat(parts), Scanner::new(from, 1, false));
        let mut rows = scanner.rows(rows.as_bytes());
        while let Some(row) = rows.next_row()? {
            planner.add(&row, Encoded::Upload(9))?;
        }
        Ok(())
    }

    #[test]
    fn a_huge_file_of_more_parts_than_s3_takes_pieces_is_refused() {
        assert_eq!(plan(0, PARTS_NOT_GATHERED + 1), Ok(()));
        assert_eq!(plan(MAX_GATHERED_BYTES, PARTS_NOT_GATHERED), Ok(()));
        let error = plan(MAX_GATHERED_BYTES, PARTS_NOT_GATHERED + 1).unwrap_err();
        assert_eq!((error.code, error.line), (Code::Limit, PARTS_NOT_GATHERED as u64 + 1));
        assert!(error.message.contains("625 GiB") && error.message.contains("several files"));
    }
}
