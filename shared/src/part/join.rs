//! The join: a part's source rows in their order, each with its result. The results need not be
//! there yet: a row then waits for its answer, and answers that come in the order of the rows are
//! forgotten as soon as they are written.
//!
//! ```text
//!   source ───▶ row ──┬─ its answer is there ──▶ results.csv
//!                     └─ it is not: more results, please
//!   results ──▶ answers that wait for their row
//! ```
//!
//! ```
//! use moondrop_shared::check::rejected::Rejections;
//! use moondrop_shared::csv::header::Header;
//! use moondrop_shared::csv::rules::Rules;
//! use moondrop_shared::part::join::{Join, PartResult, results_header};
//! use moondrop_shared::plan::PlannedPart;
//!
//! let header = Header::parse("ref_id,type,content,author", Rules::NEWEST)?;
//! let row = b"1,text,hello,ann\n";
//! let part = PlannedPart {
//!     number: 1,
//!     first_line: 2,
//!     first_row: Some(1),
//!     offset: 27,
//!     end: 27 + row.len() as u64,
//!     rows: 1,
//!     accepted: 1,
//!     upload_bytes: 33,
//!     rejected_offset: 0,
//!     rejected_bytes: 0,
//! };
//! let result = PartResult::Failed("the job failed".to_owned());
//! let mut join = Join::new(header.clone(), part, Rejections::default(), result);
//! let mut results = results_header(&header);
//! results.extend(join.push(row)?);
//! let (rest, tally) = join.finish()?;
//! results.extend(rest);
//! assert_eq!(results, b"ref_id,type,labels,content,error,author\n1,text,,hello,failed: the job failed,ann\n");
//! assert_eq!(tally.rows.failed, 1);
//! # Ok::<(), anyhow::Error>(())
//! ```

use crate::check::rejected::Rejections;
use crate::csv::header::{BYTE_ORDER_MARK, Header, KindOf, RESULT_COLUMNS, RefId};
use crate::csv::row::{Item, Kind};
use crate::csv::write::{write_field, write_source};
use crate::part::rows::{BlockRows, PartRows, RowAt, Verdict};
use crate::plan::PlannedPart;
use crate::results::tally::Tally;
use crate::results::{Answers, ReadResults, ResultsReader, ResultsTooLarge};
use anyhow::Result;
use std::borrow::Cow;

/// The header of `results.csv`: the API's five columns, then the source's extra columns in their
/// order; a byte-order mark before them if the source has one.
#[must_use]
pub fn results_header(header: &Header) -> Vec<u8> {
    let mark = if header.has_bom { BYTE_ORDER_MARK } else { "" };
    let mut line = format!("{mark}{}", RESULT_COLUMNS.join(",")).into_bytes();
    for &extra in &header.extra {
        line.push(b',');
        write_source(&mut line, &header.raw[extra], header.separator);
    }
    line.push(b'\n');
    line
}

/// The result of a part's rows that were sent.
#[derive(Debug)]
pub enum PartResult {
    /// The job completed: each row has its answer, or is `missing`.
    Answered(Box<Answers>),
    /// The job completed, and its results are still being read: a row waits for its answer.
    Coming(Box<ResultsReader>),
    /// The job failed: every row is `failed: <why>`.
    Failed(String),
    /// The job is lost: every row is `missing: <why>`.
    Lost(String),
}

/// Joins a part's source bytes, which are pushed in pieces, with its result; see the module's
/// documentation.
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
    /// A join for the bytes `part.offset..part.end` of the source.
    #[must_use]
    pub fn new(
        header: Header,
        part: PlannedPart,
        rejections: Rejections,
        result: PartResult,
    ) -> Self {
        let rows = PartRows::new(header, &part, rejections);
        Join { rows, part, writer: RowWriter { result, tally: Tally::default(), out: Vec::new() } }
    }

    /// Takes the source's next bytes; returns the next rows of the results, which are all there.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let (mut rows, mut written) = (self.rows(bytes), Vec::new());
        while rows.write()? == Wrote::Much {
            written.extend(rows.take_written());
        }
        written.extend(rows.take_written());
        Ok(written)
    }

    /// Takes the source's next bytes. Write all their rows.
    pub fn rows<'a>(&'a mut self, bytes: &'a [u8]) -> JoinRows<'a> {
        JoinRows { rows: self.rows.rows(bytes), writer: &mut self.writer }
    }

    /// The row after the source's last line end. Write it before [`Join::finish`], unless all
    /// results are there.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn last_rows(&mut self) -> Result<JoinRows<'_>> {
        Ok(JoinRows { rows: self.rows.last_rows(&self.part)?, writer: &mut self.writer })
    }

    /// Returns the last rows of the results, and the counts of all rows.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn finish(&mut self) -> Result<(Vec<u8>, Tally)> {
        let mut rows = self.last_rows()?;
        // One row at most.
        rows.write()?;
        let written = rows.take_written();
        self.rows.finish(&self.part)?;
        if let PartResult::Answered(answers) = &self.writer.result {
            answers.count_rest(&mut self.writer.tally);
        }
        Ok((written, std::mem::take(&mut self.writer.tally)))
    }

    /// Takes the next bytes of the results that are coming.
    ///
    /// # Errors
    /// As [`ResultsReader::push`].
    pub fn push_results(&mut self, bytes: &[u8]) -> Result<(), ResultsTooLarge> {
        self.writer.push_results(bytes)
    }

    /// Ends the results that were coming, and returns what they amount to, with the answers that no
    /// row took; `None` if they were there from the beginning. No row can be written after it.
    ///
    /// # Errors
    /// As [`ResultsReader::finish`].
    pub fn end_results(&mut self) -> Result<Option<ReadResults>, ResultsTooLarge> {
        let ended = PartResult::Answered(Box::default());
        match std::mem::replace(&mut self.writer.result, ended) {
            PartResult::Coming(reader) => reader.finish().map(Some),
            result => {
                self.writer.result = result;
                Ok(None)
            }
        }
    }
}

/// How many bytes of results are written at once: the labels of a short row may be long.
const MUCH: usize = 1024 * 1024;

/// How far [`JoinRows::write`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// All rows are written.
    All,
    /// The next row waits for its answer.
    SomeWait,
    /// Take what is written before the next row.
    Much,
}

/// The rows that a block of the source completes, to be written with their results.
#[derive(Debug)]
pub struct JoinRows<'a> {
    rows: BlockRows<'a>,
    writer: &'a mut RowWriter,
}

impl JoinRows<'_> {
    /// Writes rows, as far as there are answers and not too many bytes are written.
    ///
    /// # Errors
    /// If the source changed since it was checked.
    pub fn write(&mut self) -> Result<Wrote> {
        let writer = &mut *self.writer;
        let wrote_all =
            self.rows.take_while(|header, row, verdict| writer.write(header, row, &verdict))?;
        Ok(match wrote_all {
            true => Wrote::All,
            false if writer.is_full() => Wrote::Much,
            false => Wrote::SomeWait,
        })
    }

    /// The rows of the results that were written since the last call.
    #[must_use]
    pub fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.writer.out)
    }

    /// Takes the next bytes of the results that are coming.
    ///
    /// # Errors
    /// As [`ResultsReader::push`].
    pub fn push_results(&mut self, bytes: &[u8]) -> Result<(), ResultsTooLarge> {
        self.writer.push_results(bytes)
    }
}

impl RowWriter {
    fn push_results(&mut self, bytes: &[u8]) -> Result<(), ResultsTooLarge> {
        match &mut self.result {
            PartResult::Coming(reader) => reader.push(bytes),
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() >= MUCH
    }

    /// Returns false, and writes nothing, if much is written, or the row's answer is still to come.
    fn write(&mut self, header: &Header, row: RowAt<'_>, verdict: &Verdict<'_>) -> bool {
        if self.is_full() && matches!(verdict, Verdict::Accepted(_)) {
            return false;
        }
        let (kind, written) = match verdict {
            Verdict::Rejected(rejection) => {
                self.tally.rows.rejected += 1;
                (
                    None,
                    Written::error(format!("rejected: {} {}", rejection.code, rejection.message)),
                )
            }
            Verdict::Accepted(item) => {
                let Some(written) = self.result.row(item, &mut self.tally) else { return false };
                (Some(item.kind), written)
            }
        };
        write_row(&mut self.out, (header, row), kind, &written);
        true
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
    /// The labels and the error of a row that was sent; `None` if they are still to come.
    fn row(
        &mut self,
        Item { ref_id, kind, content }: &Item<'_>,
        tally: &mut Tally,
    ) -> Option<Written<'_>> {
        let (answers, are_all) = match self {
            PartResult::Answered(answers) => (&mut **answers, true),
            PartResult::Coming(reader) => (reader.answers(), false),
            PartResult::Failed(why) => {
                tally.rows.failed += 1;
                return Some(Written::error(format!("failed: {why}")));
            }
            PartResult::Lost(why) => {
                tally.rows.missing += 1;
                return Some(Written::error(format!("missing: {why}")));
            }
        };
        let text = (*kind == Kind::Text).then(|| content.bytes());
        let missing = answers.missing();
        let (labels, error) = match answers.take(ref_id, text.as_deref(), tally) {
            Some(answered) => answered,
            None if are_all => {
                tally.rows.missing += 1;
                ("", missing)
            }
            None => return None,
        };
        Some(Written { labels, error: Cow::Borrowed(error) })
    }
}

/// Appends one row of `results.csv`. Fields of the source are copied byte for byte, but for quotes
/// around one that has commas and no quotes, as a file with another separator has it.
fn write_row(
    out: &mut Vec<u8>,
    (header, RowAt { row, number }): (&Header, RowAt<'_>),
    kind: Option<Kind>,
    written: &Written<'_>,
) {
    match header.ref_id {
        RefId::Column(column) => write_source(out, row.raw(column), header.separator),
        RefId::RowNumber => out.extend_from_slice(number.to_string().as_bytes()),
    }
    out.push(b',');
    match (kind, header.kind) {
        (Some(kind), _) | (None, KindOf::Constant(kind)) => {
            out.extend_from_slice(kind.as_str().as_bytes());
        }
        (None, KindOf::Column(column)) => write_source(out, row.raw(column), header.separator),
    }
    out.push(b',');
    write_field(out, written.labels.as_bytes());
    out.push(b',');
    write_source(out, row.raw(header.content), header.separator);
    out.push(b',');
    write_field(out, written.error.as_bytes());
    for &extra in &header.extra {
        out.push(b',');
        write_source(out, row.raw(extra), header.separator);
    }
    out.push(b'\n');
}
