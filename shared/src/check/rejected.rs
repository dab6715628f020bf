//! `rejected.csv`: the rows that are not sent, each with its place, its error code and a message.
//!
//! It is written once, when a drop is planned. Upload and collect read it instead of checking the
//! rows again, so that all agree on which rows are rejected.

use super::refusal::{Counts, Refusal};
use crate::csv::error::InputError;
use crate::csv::row::MAX_REF_ID_BYTES;
use crate::csv::write::write_field;
use crate::problem::Code;
use anyhow::{Context, Result};

/// The first line of `rejected.csv`.
pub const REJECTED_HEADER: &[u8] = b"line,byte_offset,ref_id,code,message\n";

/// Appends a line. `ref_id` is empty if the row has none that can be read.
pub fn write_rejection(out: &mut Vec<u8>, error: &InputError, ref_id: &[u8]) {
    out.extend_from_slice(format!("{},{},", error.line, error.offset).as_bytes());
    write_field(out, &ref_id[..shown_length(ref_id)]);
    out.push(b',');
    out.extend_from_slice(error.code.as_str().as_bytes());
    out.push(b',');
    write_field(out, error.message.as_bytes());
    out.push(b'\n');
}

/// `rejected.csv` of a file that is refused: a line for each listed error. The first with a code
/// says how many have it.
#[must_use]
pub fn refusal_lines(refusal: &Refusal) -> Vec<u8> {
    let (mut out, mut left) = (REJECTED_HEADER.to_vec(), refusal.counts.clone());
    for error in &refusal.errors {
        write_rejection(&mut out, &with_count(error, &mut left), b"");
    }
    out
}

fn with_count(error: &InputError, left: &mut Counts) -> InputError {
    let mut error = error.clone();
    if let Some(count) = left.remove(&error.code).filter(|count| *count > 1) {
        error.message.push_str(&format!(" (the first of {count} errors {})", error.code));
    }
    error
}

/// How many bytes of a `ref_id` are shown: one that is too long is cut.
fn shown_length(ref_id: &[u8]) -> usize {
    let mut end = ref_id.len().min(MAX_REF_ID_BYTES);
    // Cut between characters.
    while end < ref_id.len() && end > 0 && ref_id[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    end
}

/// A line of `rejected.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The byte offset of the row in the source.
    pub offset: u64,
    /// Why it is rejected.
    pub code: Code,
    /// What is wrong with the row.
    pub message: String,
}

/// The rejections of one part, in the order of their rows.
#[derive(Debug, Default)]
pub struct Rejections {
    rows: Vec<Rejection>,
    next: usize,
}

impl Rejections {
    /// Reads lines of `rejected.csv`, without its header.
    ///
    /// # Errors
    /// If [`write_rejection`] did not write a line: the file was changed.
    pub fn read(lines: &[u8]) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(lines);
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.context("rejected.csv cannot be read")?;
            let field =
                |i: usize| record.get(i).context("rejected.csv has a line with too few fields");
            let offset =
                field(1)?.parse().context("rejected.csv has a byte offset that is not a number")?;
            let code =
                Code::read(field(3)?).context("rejected.csv has a code Moondrop does not write")?;
            rows.push(Rejection { offset, code, message: field(4)?.to_owned() });
        }
        Ok(Rejections { rows, next: 0 })
    }

    /// The rejection of the row at `offset`, if it is rejected. Call it in the order of the rows.
    pub fn at(&mut self, offset: u64) -> Option<&Rejection> {
        let found = self.rows.get(self.next).filter(|r| r.offset == offset)?;
        self.next += 1;
        Some(found)
    }

    /// How many [`Rejections::at`] has not returned yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rows.len() - self.next
    }
}
