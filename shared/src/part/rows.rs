//! Reads a part again, to upload or join it: its rows in order, each with its verdict. It decides
//! nothing: `rejected.csv` has the rejected rows.

use crate::check::rejected::{Rejection, Rejections};
use crate::csv::Row;
use crate::csv::header::Header;
use crate::csv::row::{Item, Record, read_record};
use crate::csv::scan::{Rows, Scanner};
use crate::plan::PlannedPart;
use anyhow::{Context, Result, ensure};

/// What the check decided about a row.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// The row is sent to the API.
    Accepted(Item<'a>),
    /// The row is not sent, for this reason.
    Rejected(&'a Rejection),
}

/// A row, and its number in the file.
#[derive(Debug, Clone, Copy)]
pub struct RowAt<'a> {
    /// The row.
    pub row: &'a Row<'a>,
    /// Counted from 1 over the rows of the file.
    pub number: u64,
}

/// The rows of a part whose bytes are pushed in pieces.
#[derive(Debug)]
pub struct PartRows {
    scanner: Scanner,
    bytes: u64,
    taken: Taken,
}

/// What is known of the rows so far.
#[derive(Debug)]
struct Taken {
    header: Header,
    rejections: Rejections,
    first_row: u64,
    rows: u64,
    accepted: u64,
}

impl PartRows {
    /// The rows of the bytes `part.offset..part.end` of the source.
    #[must_use]
    pub fn new(header: Header, part: &PlannedPart, rejections: Rejections) -> Self {
        // Parts without it are of files whose rows are not numbered.
        let first_row = part.first_row.unwrap_or(1);
        let mut scanner = Scanner::new(part.offset, part.first_line, header.skip_spaces);
        scanner.set_rules(header.rules);
        scanner.set_separator(header.separator);
        let taken = Taken { header, rejections, first_row, rows: 0, accepted: 0 };
        PartRows { scanner, bytes: 0, taken }
    }

    /// The header of the file.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.taken.header
    }

    /// Takes the next bytes; their rows are those that they complete. Take all of them.
    pub fn rows<'a>(&'a mut self, bytes: &'a [u8]) -> BlockRows<'a> {
        self.bytes += bytes.len() as u64;
        BlockRows { scanned: self.scanner.rows(bytes), taken: &mut self.taken, is_again: false }
    }

    /// The row after the last line end, if there is one. Take it before [`PartRows::finish`].
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn last_rows(&mut self, part: &PlannedPart) -> Result<BlockRows<'_>> {
        // Before the row: a part that is cut inside its last row can still have as many rows as
        // planned.
        let planned = part.end - part.offset;
        ensure!(self.bytes == planned, "the part has {} bytes; {planned} were planned", self.bytes);
        let scanned = self.scanner.last_rows(&[]);
        Ok(BlockRows { scanned, taken: &mut self.taken, is_again: false })
    }

    /// Ends the part, and compares its rows with the plan.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn finish(&self, part: &PlannedPart) -> Result<()> {
        let Taken { rows, accepted, ref rejections, .. } = self.taken;
        ensure!(
            rows == part.rows && accepted == part.accepted && rejections.left() == 0,
            "the part has {rows} rows, {accepted} of them to evaluate; {} and {} were planned",
            part.rows,
            part.accepted
        );
        Ok(())
    }
}

/// The rows that a block completes.
#[derive(Debug)]
pub struct BlockRows<'a> {
    scanned: Rows<'a>,
    taken: &'a mut Taken,
    /// The row that was returned last comes again.
    is_again: bool,
}

impl BlockRows<'_> {
    /// Calls `each` for every row.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn each(mut self, mut each: impl FnMut(&Header, RowAt<'_>, Verdict<'_>)) -> Result<()> {
        self.take_while(|header, row, verdict| {
            each(header, row, verdict);
            true
        })
        .map(drop)
    }

    /// Calls `take` for every row until it refuses one, which comes first at the next call; returns
    /// whether none was refused. A row that was rejected cannot be refused.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn take_while(
        &mut self,
        mut take: impl FnMut(&Header, RowAt<'_>, Verdict<'_>) -> bool,
    ) -> Result<bool> {
        let Taken { header, rejections, first_row, rows, accepted } = &mut *self.taken;
        loop {
            let row = if std::mem::take(&mut self.is_again) {
                self.scanned.last_row()
            } else {
                self.scanned
                    .next_row()
                    .context("the source is not as it was when it was checked")?
            };
            let Some(row) = row else { return Ok(true) };
            let number = *first_row + *rows;
            let at = RowAt { row: &row, number };
            if let Some(rejection) = rejections.at(row.offset) {
                *rows += 1;
                take(header, at, Verdict::Rejected(rejection));
                continue;
            }
            let item = match read_record(&row, header, number) {
                Record::Skipped(_) => continue,
                Record::Row(checked) => checked,
                Record::Unclear(error) => Err(error),
            };
            let item = item.context("the source is not as it was when it was checked")?;
            if !take(header, at, Verdict::Accepted(item)) {
                self.is_again = true;
                return Ok(false);
            }
            *rows += 1;
            *accepted += 1;
        }
    }
}
