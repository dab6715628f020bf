//! The join: a part's source rows, in their order, each with what became of it.

use crate::check::rejected::Rejections;
use crate::csv::Row;
use crate::csv::header::{Header, RESULT_COLUMNS};
use crate::csv::row::{Item, Kind};
use crate::csv::write::write_field;
use crate::part::rows::{PartRows, Verdict};
use crate::plan::PlannedPart;
use crate::results::Answers;
use crate::results::tally::Tally;
use anyhow::Result;
use std::borrow::Cow;

/// The first line of `results.csv`: the API's five columns, then the source's own in their order.
#[must_use]
pub fn results_header(header: &Header) -> Vec<u8> {
    let mut line = RESULT_COLUMNS.join(",").into_bytes();
    for &extra in &header.extra {
        line.push(b',');
        line.extend_from_slice(&header.raw[extra]);
    }
    line.push(b'\n');
    line
}

/// What the rows of a part get.
#[derive(Debug)]
pub enum PartResult {
    /// The job completed: each row gets its answer, or `missing`.
    Answered(Answers),
    /// The job failed: every row gets `failed: <why>`.
    Failed(String),
    /// The job is gone: every row gets `missing: <why>`.
    Lost(String),
}

/// Joins a part's source bytes, pushed piece by piece, with its result.
#[derive(Debug)]
pub struct Join {
    rows: PartRows,
    part: PlannedPart,
    writer: RowWriter,
}

/// Writes the rows of `results.csv`, and counts them.
#[derive(Debug)]
struct RowWriter {
    result: PartResult,
    tally: Tally,
    out: Vec<u8>,
}

impl Join {
    /// For the bytes `part.offset..part.end` of the source.
    #[must_use]
    pub fn new(header: Header, part: PlannedPart, rejections: Rejections, result: PartResult) -> Self {
        let rows = PartRows::new(header, &part, rejections);
        Join { rows, part, writer: RowWriter { result, tally: Tally::default(), out: Vec::new() } }
    }

    /// The next rows of the results, out of the source's next bytes.
    ///
    /// # Errors
    /// If the bytes are not those that were checked.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.rows.push(bytes, |header, row, verdict| self.writer.write(header, row, &verdict))?;
        Ok(std::mem::take(&mut self.writer.out))
    }

    /// The last rows of the results, and what became of all of them.
    ///
    /// # Errors
    /// If the bytes were not those that were checked.
    pub fn finish(&mut self) -> Result<(Vec<u8>, Tally)> {
        self.rows.finish(&self.part, |header, row, verdict| self.writer.write(header, row, &verdict))?;
        if let PartResult::Answered(answers) = &self.writer.result {
            answers.count_rest(&mut self.writer.tally);
        }
        Ok((std::mem::take(&mut self.writer.out), std::mem::take(&mut self.writer.tally)))
    }
}

impl RowWriter {
    fn write(&mut self, header: &Header, row: &Row<'_>, verdict: &Verdict<'_>) {
        let (kind, written) = match verdict {
            Verdict::Rejected(rejection) => {
                self.tally.rows.rejected += 1;
                (None, Written::error(format!("rejected: {} {}", rejection.code, rejection.message)))
            }
            Verdict::Accepted(item) => (Some(item.kind), self.result.of(item, &mut self.tally)),
        };
        write_row(&mut self.out, (header, row), kind, &written);
    }
}

/// The `labels` and the `error` of a row.
struct Written<'a> {
    labels: &'a str,
    error: Cow<'a, str>,
}

impl Written<'_> {
    fn error(error: String) -> Self {
        Written { labels: "", error: Cow::Owned(error) }
    }
}

impl PartResult {
    /// What a row gets that was sent.
    fn of(&mut self, Item { ref_id, kind, content }: &Item<'_>, tally: &mut Tally) -> Written<'_> {
        match self {
            PartResult::Answered(answers) => {
                let text = (*kind == Kind::Text).then_some(&**content);
                let (labels, error) = answers.take(ref_id, text, tally);
                Written { labels, error: Cow::Borrowed(error) }
            }
            PartResult::Failed(why) => {
                tally.rows.failed += 1;
                Written::error(format!("failed: {why}"))
            }
            PartResult::Lost(why) => {
                tally.rows.missing += 1;
                Written::error(format!("missing: {why}"))
            }
        }
    }
}

/// One row of `results.csv`. What came from the source goes out as it was there, to the byte.
fn write_row(out: &mut Vec<u8>, (header, row): (&Header, &Row<'_>), kind: Option<Kind>, written: &Written<'_>) {
    out.extend_from_slice(row.raw(header.ref_id));
    out.push(b',');
    out.extend_from_slice(kind.map_or_else(|| row.raw(header.kind), |k| k.as_str().as_bytes()));
    out.push(b',');
    write_field(out, written.labels.as_bytes());
    out.push(b',');
    out.extend_from_slice(row.raw(header.content));
    out.push(b',');
    write_field(out, written.error.as_bytes());
    for &extra in &header.extra {
        out.push(b',');
        out.extend_from_slice(row.raw(extra));
    }
    out.push(b'\n');
}
