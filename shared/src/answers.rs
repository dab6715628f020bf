//! A job's results, by `ref_id`. Read by column name and without trust in order, completeness or form.

use crate::csv::header::RESULT_COLUMNS;
use crate::labels::read_labels;
use crate::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read;

/// What a row's answer takes in memory beside its text: its place in the table and three allocations.
const ROW_BYTES: usize = 160;

/// The results take more memory than there is for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the results of one job take more than the {0} bytes of memory there are for them")]
pub struct ResultsTooLarge(pub usize);

/// What the API answered for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    labels: Box<str>,
    error: Box<str>,
    taken: bool,
}

/// What the API answered for the rows of a job.
#[derive(Debug, Default)]
pub struct Answers {
    by_ref_id: HashMap<Box<[u8]>, Answer>,
    doubled: u64,
}

impl Answers {
    /// Reads a results file: `ref_id,type,labels,content,error` in any order of columns and rows. Its answers may take `memory`
    /// bytes. With them comes what is known of the file.
    ///
    /// # Errors
    /// As [`each_row`].
    pub fn read(results: impl Read, memory: usize) -> Result<(Self, ReadResults)> {
        let mut answers = Answers::default();
        let mut held = 0;
        let read = each_row(results, memory, |row| {
            let answer = Answer { labels: row.text(LABELS).into(), error: row.text(ERROR).into(), taken: false };
            held += ROW_BYTES + row.ref_id().len() + answer.labels.len() + answer.error.len();
            ensure!(held <= memory, ResultsTooLarge(memory));
            match answers.by_ref_id.entry(row.ref_id().into()) {
                Entry::Occupied(_) => answers.doubled += 1,
                Entry::Vacant(place) => drop(place.insert(answer)),
            }
            Ok(())
        })?;
        Ok((answers, read))
    }

    /// How many rows are answered for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_ref_id.len()
    }

    /// Whether nothing is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ref_id.is_empty()
    }

    /// The labels and the error for a row, which count into the tally.
    pub fn take(&mut self, ref_id: &[u8], tally: &mut Tally) -> Option<(&str, &str)> {
        let answer = self.by_ref_id.get_mut(ref_id)?;
        answer.taken = true;
        count_answer(&answer.labels, &answer.error, tally);
        Some((&answer.labels, &answer.error))
    }

    /// Counts what no row asked for.
    pub fn count_rest(&self, tally: &mut Tally) {
        tally.foreign += self.by_ref_id.values().filter(|a| !a.taken).count() as u64;
        tally.doubled += self.doubled;
    }
}

/// Counts a row that is answered: its outcome and its labels.
pub fn count_answer(labels: &str, error: &str, tally: &mut Tally) {
    if error.trim().is_empty() {
        tally.rows.evaluated += 1;
    } else {
        tally.rows.failed += 1;
    }
    match read_labels(labels) {
        Ok(labels) => tally.count_labels(&labels),
        Err(()) => tally.unreadable_labels += 1,
    }
}

/// Where the columns stand in [`RESULT_COLUMNS`].
const REF_ID: usize = 0;
/// See [`ResultRow::text`].
pub const LABELS: usize = 2;
/// See [`ResultRow::text`].
pub const ERROR: usize = 4;

/// A whole row of a results file.
#[derive(Debug)]
pub struct ResultRow<'a> {
    columns: &'a [Option<usize>; RESULT_COLUMNS.len()],
    record: &'a csv::ByteRecord,
}

impl ResultRow<'_> {
    /// The row's identifier, without blanks at its ends, as it was sent.
    #[must_use]
    pub fn ref_id(&self) -> &[u8] {
        self.value(REF_ID).trim_ascii()
    }

    /// A column by its place in [`RESULT_COLUMNS`]; empty if the file does not have it.
    #[must_use]
    pub fn value(&self, column: usize) -> &[u8] {
        self.columns[column].and_then(|i| self.record.get(i)).unwrap_or_default()
    }

    /// A column as text.
    #[must_use]
    pub fn text(&self, column: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.value(column))
    }
}

/// What is known of a results file once it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadResults {
    /// How many bytes it had.
    pub bytes: u64,
    /// It may end before its end: within a row, or without a newline.
    pub may_be_cut_short: bool,
}

/// Gives each whole row of a results file to `each`. Half a row is no answer: least of all one without labels, which would
/// read as clean. A row may take `memory` bytes: what never ends a line or a quote is not read to its end.
///
/// # Errors
/// If it has no `ref_id` and `labels` columns (a page of HTML, say) or cannot be read to its end, [`ResultsTooLarge`], and what
/// `each` fails with.
pub fn each_row(results: impl Read, memory: usize, mut each: impl FnMut(&ResultRow<'_>) -> Result<()>) -> Result<ReadResults> {
    let mut results = Metered { inner: results, last: None, bytes: 0, of_row: 0, memory };
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(true).from_reader(&mut results);
    let headers = reader.byte_headers().cloned();
    ensure!(!reader.get_ref().is_over(), ResultsTooLarge(memory));
    let headers = headers.context("the results cannot be read")?;
    let columns = RESULT_COLUMNS
        .map(|name| headers.iter().position(|h| h.strip_prefix(b"\xef\xbb\xbf").unwrap_or(h).trim_ascii() == name.as_bytes()));
    if columns[REF_ID].is_none() || columns[LABELS].is_none() {
        bail!("what came as results has no columns `ref_id` and `labels`");
    }
    let (mut half, mut record) = (false, csv::ByteRecord::new());
    loop {
        reader.get_mut().of_row = 0;
        let read = reader.read_byte_record(&mut record);
        ensure!(!reader.get_ref().is_over(), ResultsTooLarge(memory));
        if !read.context("the results cannot be read to their end")? {
            break;
        }
        if record.len() == headers.len() {
            each(&ResultRow { columns: &columns, record: &record })?;
        } else {
            half = true;
        }
    }
    drop(reader);
    let may_be_cut_short = half || !matches!(results.last, Some(b'\n' | b'\r'));
    Ok(ReadResults { bytes: results.bytes, may_be_cut_short })
}

/// Whether the results broke off on their way here, rather than being none.
#[must_use]
pub fn broke_off(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref()).any(csv::Error::is_io_error)
}

/// Passes bytes on, counts them and remembers the last. Fails when one row takes more than the memory there is.
struct Metered<R> {
    inner: R,
    last: Option<u8>,
    bytes: u64,
    of_row: usize,
    memory: usize,
}

impl<R> Metered<R> {
    fn is_over(&self) -> bool {
        self.of_row > self.memory
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.is_over() {
            return Err(std::io::Error::other(ResultsTooLarge(self.memory)));
        }
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        self.of_row += read;
        self.last = buffer[..read].last().copied().or(self.last);
        Ok(read)
    }
}
