//! What the API answered, by `ref_id`.

use super::columns::Record;
use super::content::Fingerprint;
use super::{BlankLabels, ResultsProblem, ResultsTooLarge};
use crate::results::labels::{is_blank, is_empty_list, read_labels, say_the_same};
use crate::results::tally::Tally;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// What an answer takes in memory beside its text: 72 bytes in a table that is at worst 7/16 full, and three allocations of 16.
const ROW_BYTES: usize = 72 * 16 / 7 + 3 * 16;

/// What the type and content of an answer take beside their text, or the fingerprint of its content: at most 64 bytes and
/// three allocations.
const EXTRA_BYTES: usize = 64 + 3 * 16;

/// The error of a row that no record answers.
pub const MISSING_UNANSWERED: &str = "missing: the API's results have no row for this ref_id";
/// The error of a row that no record answers where some of the file is unreadable.
pub const MISSING_UNREADABLE: &str = "missing: unreadable";
/// The error of a row that was not evaluated: its labels are empty and it has no error.
pub const MISSING_BLANK: &str = "missing: the API's answer has neither labels nor error";
/// The error of a row with two different evaluations.
pub const FAILED_CONFLICTING: &str = "failed: the API gave two different answers";

/// What an answer says, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    /// Nothing that can be relied on: the file has no error column, and no label applies.
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
    /// The place of its first record in the file.
    place: u32,
    says: Says,
    taken: bool,
}

/// What is kept of an answer's content.
#[derive(Clone, PartialEq, Eq)]
enum Extra {
    Nothing,
    Compared(Box<Fingerprint>),
    /// Type and content as they came.
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

/// What the API answered for the rows of a job.
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
    /// A row without an error has `[]` or `{}`.
    pub(super) has_empty_list: bool,
}

/// Counts only: answers hold content.
impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("rows", &self.len()).field("duplicates", &self.duplicates).finish_non_exhaustive()
    }
}

impl Answers {
    /// All answers together may take `memory` bytes. With `keep_rows`, type and content are kept as they came.
    pub(super) fn new(blank: Option<BlankLabels>, memory: usize, keep_rows: bool) -> Self {
        Answers { blank, memory, keep_rows, ..Answers::default() }
    }

    /// How many rows are answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_ref_id.len()
    }

    /// Whether nothing is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ref_id.is_empty()
    }

    /// The first thing in the file that could not be read, under [`super::OnUnreadable::Rows`].
    #[must_use]
    pub fn unreadable(&self) -> Option<&ResultsProblem> {
        self.unreadable.as_ref()
    }

    /// How many rows have neither labels nor error.
    pub(super) fn blanks(&self) -> usize {
        self.by_ref_id.values().filter(|answer| answer.says == Says::Blank).count()
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &Record<'_>, has_error: bool) -> Result<(), ResultsTooLarge> {
        let says = says(record, has_error);
        self.has_empty_list |= says == Says::Evaluated && is_empty_list(&record.labels);
        let extra = if self.keep_rows {
            Extra::Whole(Box::new((record.kind.as_ref().into(), record.content.as_ref().into())))
        } else {
            Fingerprint::of(&record.content).map_or(Extra::Nothing, |print| Extra::Compared(Box::new(print)))
        };
        let (labels, error) = (record.labels.as_ref().into(), record.error.as_ref().into());
        let answer = Answer { labels, error, extra, place: self.records, says, taken: false };
        self.records = self.records.saturating_add(1);
        match self.by_ref_id.entry(record.ref_id().into()) {
            Entry::Vacant(entry) => {
                self.bytes += ROW_BYTES + entry.key().len() + answer.bytes();
                entry.insert(answer);
            }
            Entry::Occupied(mut entry) => {
                self.duplicates += 1;
                let first = entry.get_mut();
                if answer.says > first.says {
                    self.bytes = self.bytes + answer.bytes() - first.bytes();
                    *first = Answer { place: first.place, ..answer };
                } else if (answer.says, first.says) == (Says::Evaluated, Says::Evaluated)
                    && !say_the_same(&answer.labels, &first.labels)
                {
                    first.says = Says::Conflicting;
                }
            }
        }
        if self.bytes > self.memory { Err(ResultsTooLarge(self.memory)) } else { Ok(()) }
    }

    /// The labels and the error of a row that was sent, which count into the tally; a row without an answer is missing.
    /// `text` is the row's content if that is text, and is compared with what came back.
    pub fn take(&mut self, ref_id: &[u8], text: Option<&[u8]>, tally: &mut Tally) -> (&str, &str) {
        let missing = if self.unreadable.is_some() { MISSING_UNREADABLE } else { MISSING_UNANSWERED };
        let Some(answer) = self.by_ref_id.get_mut(ref_id) else {
            tally.rows.missing += 1;
            return ("", missing);
        };
        answer.taken = true;
        if let (Extra::Compared(returned), Some(Ok(sent))) = (&answer.extra, text.map(std::str::from_utf8)) {
            tally.content_compared += 1;
            tally.content_mismatches += u64::from(!returned.matches(sent));
        }
        answer.count(self.blank, tally);
        answer.written(self.blank)
    }

    /// Counts the answers that no row took, and the duplicates.
    pub fn count_rest(&self, tally: &mut Tally) {
        tally.unexpected += self.by_ref_id.values().filter(|answer| !answer.taken).count() as u64;
        tally.duplicates += self.duplicates;
    }

    /// How many records answer a row that had an answer already.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Every row that is answered, in the file's order, each once. Type and content are there if the reader was to keep them.
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
    /// `type` as it came.
    pub kind: &'a str,
    /// `labels` as they go out.
    pub labels: &'a str,
    /// `content` as it came.
    pub content: &'a str,
    /// `error` as it goes out.
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
    /// The labels and the error as they go out.
    fn written(&self, blank: Option<BlankLabels>) -> (&str, &str) {
        match self.says {
            Says::Evaluated => (&self.labels, ""),
            Says::Failed => (&self.labels, &self.error),
            Says::Blank if blank == Some(BlankLabels::Evaluated) => (&self.labels, ""),
            Says::Blank => ("", MISSING_BLANK),
            Says::Conflicting => ("", FAILED_CONFLICTING),
            Says::Unreadable => ("", MISSING_UNREADABLE),
        }
    }

    fn count(&self, blank: Option<BlankLabels>, tally: &mut Tally) {
        let rows = &mut tally.rows;
        match self.says {
            Says::Evaluated => {
                rows.evaluated += 1;
                match read_labels(&self.labels) {
                    Ok(labels) => tally.count_labels(&labels),
                    Err(()) => tally.unreadable_labels += 1,
                }
            }
            Says::Failed => {
                rows.failed += 1;
                // Labels of a row that failed say nothing of its content: only that they cannot be read is counted.
                tally.unreadable_labels += u64::from(read_labels(&self.labels).is_err());
            }
            Says::Blank => {
                tally.blank += 1;
                if blank == Some(BlankLabels::Evaluated) { rows.evaluated += 1 } else { rows.missing += 1 }
            }
            Says::Conflicting => {
                rows.failed += 1;
                tally.conflicting += 1;
            }
            Says::Unreadable => rows.missing += 1,
        }
    }
}

fn says(record: &Record<'_>, has_error: bool) -> Says {
    if !record.error.is_empty() {
        Says::Failed
    } else if !has_error && (is_blank(&record.labels) || is_empty_list(&record.labels)) {
        Says::Unreadable
    } else if record.is_blank() {
        Says::Blank
    } else {
        Says::Evaluated
    }
}
