//! The API's answers by `ref_id`.

use super::columns::Record;
use super::content::Fingerprint;
use super::{BlankLabels, ResultsProblem, ResultsTooLarge};
use crate::results::labels::{is_blank, is_empty_list, read_labels, say_the_same};
use crate::results::tally::Tally;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// The memory of an answer without its text: 72 bytes in a table that is at worst 7/16 full, and
/// three allocations of 16.
const ROW_BYTES: usize = 72 * 16 / 7 + 3 * 16;

/// The memory of an answer's type and content without their text, or of the fingerprint of its
/// content: at most 64 bytes and three allocations.
const EXTRA_BYTES: usize = 64 + 3 * 16;

/// The error of a row that no record answers.
pub const MISSING_UNANSWERED: &str = "missing: the API's results have no row for this ref_id";
/// The error of a row that no record answers in a file that is unreadable in part.
pub const MISSING_UNREADABLE: &str = "missing: unreadable";
/// The error of a row that was not evaluated: its labels are empty and it has no error.
pub const MISSING_BLANK: &str = "missing: the API's answer has neither labels nor error";
/// The error of a row with two different evaluations.
pub const FAILED_CONFLICTING: &str = "failed: the API gave two different answers";

/// What an answer means, the weakest first: of two answers for a row, the stronger one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// Unknown: the file has no error column, so a row without labels may have failed.
    Unreadable,
    /// Neither labels nor error.
    Blank,
    Failed,
    Evaluated,
    /// Two different evaluations.
    Conflicting,
}

#[derive(Clone, PartialEq, Eq)]
struct Answer {
    labels: Box<str>,
    error: Box<str>,
    extra: Extra,
    /// The number of its first record in the file.
    place: u32,
    meaning: Meaning,
    /// A row of the part has it.
    used: bool,
}

/// What is kept of an answer's content.
#[derive(Clone, PartialEq, Eq)]
enum Extra {
    Nothing,
    Compared(Box<Fingerprint>),
    /// Type and content, unchanged.
    Whole(Box<(Box<str>, Box<str>)>),
}

impl Answer {
    fn bytes(&self) -> usize {
        let extra = match &self.extra {
            Extra::Nothing => 0,
            Extra::Compared(_) => EXTRA_BYTES,
            Extra::Whole(row) => EXTRA_BYTES + row.0.len() + row.1.len(),
        };
        self.labels.len() + self.error.len() + extra
    }
}

/// The API's answers for the rows of a job.
#[derive(Default)]
pub struct Answers {
    by_ref_id: HashMap<Box<[u8]>, Answer>,
    duplicates: u64,
    blank: Option<BlankLabels>,
    pub(super) unreadable: Option<ResultsProblem>,
    bytes: usize,
    memory: usize,
    keep_rows: bool,
    records: u32,
    /// An evaluated row has `[]` or `{}`.
    pub(super) has_empty_list: bool,
}

/// Shows only counts: answers have content.
impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("rows", &self.len())
            .field("duplicates", &self.duplicates)
            .finish_non_exhaustive()
    }
}

impl Answers {
    /// All answers together may take `memory` bytes. With `keep_rows`, type and content are kept as
    /// they came.
    pub(super) fn new(blank: Option<BlankLabels>, memory: usize, keep_rows: bool) -> Self {
        Answers { blank, memory, keep_rows, ..Answers::default() }
    }

    /// The number of answered rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_ref_id.len()
    }

    /// Whether no row is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ref_id.is_empty()
    }

    /// The first problem of a file that is read under [`super::OnUnreadable::Rows`].
    #[must_use]
    pub fn unreadable(&self) -> Option<&ResultsProblem> {
        self.unreadable.as_ref()
    }

    /// How many rows have neither labels nor error.
    pub(super) fn count_blank(&self) -> usize {
        self.by_ref_id.values().filter(|answer| answer.meaning == Meaning::Blank).count()
    }

    /// Adds a record.
    pub(super) fn add(
        &mut self,
        record: &Record<'_>,
        has_error: bool,
    ) -> Result<(), ResultsTooLarge> {
        let meaning = meaning(record, has_error);
        self.has_empty_list |= meaning == Meaning::Evaluated && is_empty_list(&record.labels);
        let extra = if self.keep_rows {
            Extra::Whole(Box::new((record.kind.as_ref().into(), record.content.as_ref().into())))
        } else {
            Fingerprint::of(&record.content)
                .map_or(Extra::Nothing, |print| Extra::Compared(Box::new(print)))
        };
        let (labels, error) = (record.labels.as_ref().into(), record.error.as_ref().into());
        let answer = Answer { labels, error, extra, place: self.records, meaning, used: false };
        self.records = self.records.saturating_add(1);
        match self.by_ref_id.entry(record.ref_id().into()) {
            Entry::Vacant(entry) => {
                self.bytes += ROW_BYTES + entry.key().len() + answer.bytes();
                entry.insert(answer);
            }
            Entry::Occupied(mut entry) => {
                self.duplicates += 1;
                let first = entry.get_mut();
                if answer.meaning > first.meaning {
                    self.bytes = self.bytes + answer.bytes() - first.bytes();
                    *first = Answer { place: first.place, ..answer };
                } else if (answer.meaning, first.meaning)
                    == (Meaning::Evaluated, Meaning::Evaluated)
                    && !say_the_same(&answer.labels, &first.labels)
                {
                    first.meaning = Meaning::Conflicting;
                }
            }
        }
        if self.bytes > self.memory { Err(ResultsTooLarge(self.memory)) } else { Ok(()) }
    }

    /// The labels and the error of a row that was sent, and counts them in `tally`; a row without
    /// an answer is missing. `text` is the row's content if its type is text; it is compared with
    /// the content in the answer.
    pub fn take(&mut self, ref_id: &[u8], text: Option<&[u8]>, tally: &mut Tally) -> (&str, &str) {
        let missing =
            if self.unreadable.is_some() { MISSING_UNREADABLE } else { MISSING_UNANSWERED };
        let Some(answer) = self.by_ref_id.get_mut(ref_id) else {
            tally.rows.missing += 1;
            return ("", missing);
        };
        answer.used = true;
        if let (Extra::Compared(returned), Some(Ok(sent))) =
            (&answer.extra, text.map(std::str::from_utf8))
        {
            tally.content_compared += 1;
            tally.content_mismatches += u64::from(!returned.matches(sent));
        }
        answer.count(self.blank, tally);
        answer.written(self.blank)
    }

    /// Counts the answers to rows that were not sent, and the duplicates.
    pub fn count_rest(&self, tally: &mut Tally) {
        tally.unexpected += self.by_ref_id.values().filter(|answer| !answer.used).count() as u64;
        tally.duplicates += self.duplicates;
    }

    /// How many records answer a row that already had an answer.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Every answered row once, in the file's order. Type and content are empty unless the reader
    /// keeps rows.
    pub fn rows(&self) -> impl Iterator<Item = AnsweredRow<'_>> {
        let mut rows: Vec<_> = self.by_ref_id.iter().collect();
        rows.sort_unstable_by_key(|(_, answer)| answer.place);
        rows.into_iter().map(|(ref_id, answer)| {
            let (kind, content) = match &answer.extra {
                Extra::Whole(row) => (&*row.0, &*row.1),
                _ => ("", ""),
            };
            let (labels, error) = answer.written(self.blank);
            AnsweredRow { ref_id, kind, labels, content, error, answer, blank: self.blank }
        })
    }
}

/// A row as the API answered it.
#[derive(Clone, Copy)]
pub struct AnsweredRow<'a> {
    /// The row's identifier, without white space at its ends.
    pub ref_id: &'a [u8],
    /// `type`, unchanged.
    pub kind: &'a str,
    /// `labels` for `results.csv`.
    pub labels: &'a str,
    /// `content`, unchanged.
    pub content: &'a str,
    /// `error` for `results.csv`.
    pub error: &'a str,
    answer: &'a Answer,
    blank: Option<BlankLabels>,
}

impl AnsweredRow<'_> {
    /// Counts the row: its outcome and, if it was evaluated, its labels.
    pub fn count(&self, tally: &mut Tally) {
        self.answer.count(self.blank, tally);
    }
}

impl Answer {
    /// The labels and the error for `results.csv`.
    fn written(&self, blank: Option<BlankLabels>) -> (&str, &str) {
        match self.meaning {
            Meaning::Evaluated => (&self.labels, ""),
            Meaning::Failed => (&self.labels, &self.error),
            Meaning::Blank if blank == Some(BlankLabels::Evaluated) => (&self.labels, ""),
            Meaning::Blank => ("", MISSING_BLANK),
            Meaning::Conflicting => ("", FAILED_CONFLICTING),
            Meaning::Unreadable => ("", MISSING_UNREADABLE),
        }
    }

    fn count(&self, blank: Option<BlankLabels>, tally: &mut Tally) {
        let rows = &mut tally.rows;
        match self.meaning {
            Meaning::Evaluated => {
                rows.evaluated += 1;
                match read_labels(&self.labels) {
                    Ok(labels) => tally.count_labels(&labels),
                    Err(()) => tally.unreadable_labels += 1,
                }
            }
            Meaning::Failed => {
                rows.failed += 1;
                // The labels of a failed row do not describe its content: only unreadable ones are
                // counted.
                tally.unreadable_labels += u64::from(read_labels(&self.labels).is_err());
            }
            Meaning::Blank => {
                tally.blank += 1;
                if blank == Some(BlankLabels::Evaluated) {
                    rows.evaluated += 1
                } else {
                    rows.missing += 1
                }
            }
            Meaning::Conflicting => {
                rows.failed += 1;
                tally.conflicting += 1;
            }
            Meaning::Unreadable => rows.missing += 1,
        }
    }
}

fn meaning(record: &Record<'_>, has_error: bool) -> Meaning {
    if !record.error.is_empty() {
        Meaning::Failed
    } else if !has_error && (is_blank(&record.labels) || is_empty_list(&record.labels)) {
        Meaning::Unreadable
    } else if record.is_blank() {
        Meaning::Blank
    } else {
        Meaning::Evaluated
    }
}
