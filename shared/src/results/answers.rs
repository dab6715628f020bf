//! The API's answers by `ref_id`.

use super::columns::Record;
use super::content::Fingerprint;
use super::texts::{Span, Texts};
use super::{BlankLabels, ResultsProblem, ResultsTooLarge};
use crate::results::labels::{is_blank, is_empty_list, read_labels, say_the_same};
use crate::results::tally::Tally;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::fmt;
use std::hash::BuildHasher as _;

/// The memory of an answer without its text: 64 bytes in a list that grows twofold, beside the copy
/// that is half as long, and its 5 bytes in a table that is at worst 7/16 full.
const ROW_BYTES: usize = 64 * 3 + 5 * 16 / 7;

/// The memory of an answer's fingerprint, or of the places of its type and content: at most 64 bytes
/// and an allocation of 16.
const FINGERPRINT_BYTES: usize = 64 + 16;

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

struct Answer {
    ref_id: Span,
    labels: Span,
    error: Span,
    content: Content,
    meaning: Meaning,
    /// A row of the part has it.
    used: bool,
}

/// What is kept of an answer's content.
enum Content {
    Nothing,
    /// As it came. With the type, if the caller wants the rows.
    Text(Span),
    Whole(Box<(Span, Span)>),
    /// Where there was no memory for the text.
    Fingerprint(Box<Fingerprint>),
}

impl Answer {
    fn bytes(&self) -> usize {
        self.ref_id.len() + self.labels.len() + self.error.len() + self.content.bytes()
    }
}

impl Content {
    fn bytes(&self) -> usize {
        match self {
            Content::Nothing => 0,
            Content::Text(text) => text.len(),
            Content::Whole(row) => FINGERPRINT_BYTES + row.0.len() + row.1.len(),
            Content::Fingerprint(_) => FINGERPRINT_BYTES,
        }
    }
}

/// The API's answers for the rows of a job.
#[derive(Default)]
pub struct Answers {
    /// In the order of their first records.
    rows: Vec<Answer>,
    /// Their places in `rows`, by `ref_id`.
    by_ref_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    texts: Texts,
    /// The contents, apart from the other texts, which are needed to the end.
    contents: Texts,
    only_fingerprints: bool,
    duplicates: u64,
    blank: Option<BlankLabels>,
    pub(super) unreadable: Option<ResultsProblem>,
    bytes: usize,
    memory: usize,
    keep_rows: bool,
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
        self.rows.len()
    }

    /// Whether no row is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first problem of a file that is read under [`super::OnUnreadable::Rows`].
    #[must_use]
    pub fn unreadable(&self) -> Option<&ResultsProblem> {
        self.unreadable.as_ref()
    }

    /// How many rows have neither labels nor error.
    pub(super) fn count_blank(&self) -> usize {
        self.rows.iter().filter(|answer| answer.meaning == Meaning::Blank).count()
    }

    /// Adds a record.
    pub(super) fn add(
        &mut self,
        record: &Record<'_>,
        has_error: bool,
    ) -> Result<(), ResultsTooLarge> {
        let meaning = meaning(record, has_error);
        self.has_empty_list |= meaning == Meaning::Evaluated && is_empty_list(&record.labels);
        let hash = self.hasher.hash_one(record.ref_id());
        match self.find(record.ref_id(), hash) {
            None => {
                let ref_id = self.texts.add(record.ref_id());
                let answer = self.keep(record, ref_id, meaning);
                self.bytes += ROW_BYTES + answer.bytes();
                // There is no memory for as many answers as 32 bits can count.
                let place = self.rows.len() as u32;
                self.rows.push(answer);
                let Answers { rows, by_ref_id, hasher, texts, .. } = self;
                let rehash = |place: &u32| hasher.hash_one(texts.get(rows[*place as usize].ref_id));
                by_ref_id.insert_unique(hash, place, rehash);
            }
            Some(place) => {
                self.duplicates += 1;
                let first = &self.rows[place];
                if meaning > first.meaning {
                    let answer = self.keep(record, first.ref_id, meaning);
                    // The texts of the weaker one stay where they are.
                    self.bytes += answer.bytes() - answer.ref_id.len();
                    self.rows[place] = answer;
                } else if (meaning, first.meaning) == (Meaning::Evaluated, Meaning::Evaluated)
                    && !say_the_same(&record.labels, self.texts.get(first.labels))
                {
                    self.rows[place].meaning = Meaning::Conflicting;
                }
            }
        }
        if self.bytes > self.memory && !self.keep_rows && !self.only_fingerprints {
            self.keep_fingerprints();
        }
        if self.bytes > self.memory { Err(ResultsTooLarge(self.memory)) } else { Ok(()) }
    }

    fn find(&self, ref_id: &str, hash: u64) -> Option<usize> {
        let is_it = |place: &u32| self.texts.get(self.rows[*place as usize].ref_id) == ref_id;
        self.by_ref_id.find(hash, is_it).map(|place| *place as usize)
    }

    fn keep(&mut self, record: &Record<'_>, ref_id: Span, meaning: Meaning) -> Answer {
        let content = if self.keep_rows {
            let (kind, content) =
                (self.texts.add(&record.kind), self.contents.add(&record.content));
            Content::Whole(Box::new((kind, content)))
        } else if record.content.is_empty() {
            Content::Nothing
        } else if self.only_fingerprints {
            fingerprint(&record.content)
        } else {
            Content::Text(self.contents.add(&record.content))
        };
        let (labels, error) = (self.texts.add(&record.labels), self.texts.add(&record.error));
        Answer { ref_id, labels, error, content, meaning, used: false }
    }

    /// Keeps only fingerprints of all contents from now on.
    #[cold]
    fn keep_fingerprints(&mut self) {
        self.only_fingerprints = true;
        let contents = std::mem::take(&mut self.contents);
        for answer in &mut self.rows {
            if let Content::Text(text) = answer.content {
                answer.content = fingerprint(contents.get(text));
                self.bytes = self.bytes - text.len() + answer.content.bytes();
            }
        }
    }

    /// The labels and the error of a row that was sent, and counts them in `tally`; a row without
    /// an answer is missing. `text` is the row's content if its type is text; it is compared with
    /// the content in the answer.
    pub fn take(&mut self, ref_id: &[u8], text: Option<&[u8]>, tally: &mut Tally) -> (&str, &str) {
        let missing =
            if self.unreadable.is_some() { MISSING_UNREADABLE } else { MISSING_UNANSWERED };
        let found = simdutf8::basic::from_utf8(ref_id)
            .ok()
            .and_then(|ref_id| self.find(ref_id, self.hasher.hash_one(ref_id)));
        let Some(answer) = found.and_then(|place| self.rows.get_mut(place)) else {
            tally.rows.missing += 1;
            return ("", missing);
        };
        answer.used = true;
        if let Some(sent) = text {
            let is_same = match &answer.content {
                Content::Text(returned) => is_same_text(self.contents.get(*returned), sent),
                Content::Fingerprint(returned) => {
                    std::str::from_utf8(sent).ok().map(|sent| returned.matches(sent))
                }
                Content::Nothing | Content::Whole(_) => None,
            };
            tally.content_compared += u64::from(is_same.is_some());
            tally.content_mismatches += u64::from(is_same == Some(false));
        }
        answer.count(&self.texts, self.blank, tally);
        answer.written(&self.texts, self.blank)
    }

    /// Counts the answers to rows that were not sent, and the duplicates.
    pub fn count_rest(&self, tally: &mut Tally) {
        tally.unexpected += self.rows.iter().filter(|answer| !answer.used).count() as u64;
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
        self.rows.iter().map(|answer| {
            let (kind, content) = match &answer.content {
                Content::Whole(row) => (self.texts.get(row.0), self.contents.get(row.1)),
                _ => ("", ""),
            };
            let (labels, error) = answer.written(&self.texts, self.blank);
            let ref_id = self.texts.get(answer.ref_id);
            AnsweredRow { ref_id, kind, labels, content, error, answer, answers: self }
        })
    }
}

/// A row as the API answered it.
#[derive(Clone, Copy)]
pub struct AnsweredRow<'a> {
    /// The row's identifier, without white space at its ends.
    pub ref_id: &'a str,
    /// `type`, unchanged.
    pub kind: &'a str,
    /// `labels` for `results.csv`.
    pub labels: &'a str,
    /// `content`, unchanged.
    pub content: &'a str,
    /// `error` for `results.csv`.
    pub error: &'a str,
    answer: &'a Answer,
    answers: &'a Answers,
}

impl AnsweredRow<'_> {
    /// Counts the row: its outcome and, if it was evaluated, its labels.
    pub fn count(&self, tally: &mut Tally) {
        self.answer.count(&self.answers.texts, self.answers.blank, tally);
    }
}

impl Answer {
    /// The labels and the error for `results.csv`.
    fn written<'a>(&self, texts: &'a Texts, blank: Option<BlankLabels>) -> (&'a str, &'a str) {
        let labels = texts.get(self.labels);
        match self.meaning {
            Meaning::Evaluated => (labels, ""),
            Meaning::Failed => (labels, texts.get(self.error)),
            Meaning::Blank if blank == Some(BlankLabels::Evaluated) => (labels, ""),
            Meaning::Blank => ("", MISSING_BLANK),
            Meaning::Conflicting => ("", FAILED_CONFLICTING),
            Meaning::Unreadable => ("", MISSING_UNREADABLE),
        }
    }

    fn count(&self, texts: &Texts, blank: Option<BlankLabels>, tally: &mut Tally) {
        let labels = texts.get(self.labels);
        let rows = &mut tally.rows;
        match self.meaning {
            Meaning::Evaluated => {
                rows.evaluated += 1;
                match read_labels(labels) {
                    Ok(labels) => tally.count_labels(&labels),
                    Err(()) => tally.unreadable_labels += 1,
                }
            }
            Meaning::Failed => {
                rows.failed += 1;
                // The labels of a failed row do not describe its content: only unreadable ones are
                // counted.
                tally.unreadable_labels += u64::from(read_labels(labels).is_err());
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

/// What is kept of a content for which there is no memory.
fn fingerprint(content: &str) -> Content {
    Fingerprint::of(content).map_or(Content::Nothing, |print| Content::Fingerprint(Box::new(print)))
}

/// Whether a returned text is the one that was sent; `None` if it is not compared.
fn is_same_text(returned: &str, sent: &[u8]) -> Option<bool> {
    // Most are, byte for byte.
    if returned.as_bytes() == sent {
        return Some(true);
    }
    let sent = std::str::from_utf8(sent).ok()?;
    Fingerprint::of(returned).map(|print| print.matches(sent))
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
