//! The API's answers by `ref_id`.

use super::answer::{
    Answer, Content, MISSING_UNANSWERED, MISSING_UNREADABLE, Meaning, fingerprint, is_same_text,
    meaning,
};
use super::columns::Record;
use super::texts::{Span, Texts};
use super::{BlankLabels, ResultsProblem, ResultsTooLarge};
use crate::results::labels::{is_empty_list, say_the_same};
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

/// The API's answers for the rows of a job, which [`Answers::take`] takes out. It may be called
/// while they come: then those that wait for their row take memory, and no others.
#[derive(Default)]
pub struct Answers {
    /// In the order of their first records, while none is taken.
    rows: Vec<Option<Answer>>,
    /// Places in `rows` without an answer.
    free: Vec<u32>,
    /// Their places in `rows`, by `ref_id`.
    by_ref_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    texts: Texts,
    /// The contents, apart from the other texts, which are needed to the end.
    contents: Texts,
    only_fingerprints: bool,
    boxed: usize,
    /// Of all rows that are answered, also those that were taken.
    answered: usize,
    duplicates: u64,
    /// How many of those taken had neither labels nor error.
    blank_taken: usize,
    blank: Option<BlankLabels>,
    pub(super) unreadable: Option<ResultsProblem>,
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

    /// The number of answered rows, also of those that were taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.answered
    }

    /// Whether no row is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answered == 0
    }

    /// The number of answers that were not taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.by_ref_id.len()
    }

    /// The first problem of a file that is read under [`super::OnUnreadable::Rows`].
    #[must_use]
    pub fn unreadable(&self) -> Option<&ResultsProblem> {
        self.unreadable.as_ref()
    }

    /// How many rows have neither labels nor error.
    pub(super) fn count_blank(&self) -> usize {
        let left = self.rows.iter().flatten();
        self.blank_taken + left.filter(|answer| answer.meaning == Meaning::Blank).count()
    }

    fn bytes(&self) -> usize {
        let texts = self.texts.bytes() + self.contents.bytes();
        self.rows.len() * ROW_BYTES + self.boxed * FINGERPRINT_BYTES + texts
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
            None => self.add_first(record, hash, meaning),
            Some(place) => self.add_another(record, place, meaning),
        }
        if self.bytes() > self.memory && !self.keep_rows && !self.only_fingerprints {
            self.keep_fingerprints();
        }
        if self.bytes() > self.memory { Err(ResultsTooLarge(self.memory)) } else { Ok(()) }
    }

    fn find(&self, ref_id: &str, hash: u64) -> Option<usize> {
        let Answers { rows, by_ref_id, texts, .. } = self;
        by_ref_id.find(hash, is_of(ref_id, rows, texts)).map(|place| *place as usize)
    }

    fn add_first(&mut self, record: &Record<'_>, hash: u64, meaning: Meaning) {
        let ref_id = self.texts.add(record.ref_id());
        let answer = Some(self.keep(record, ref_id, meaning));
        self.answered += 1;
        let place = match self.free.pop() {
            Some(place) => {
                self.rows[place as usize] = answer;
                place
            }
            None => {
                self.rows.push(answer);
                // There is no memory for as many answers as 32 bits can count.
                self.rows.len() as u32 - 1
            }
        };
        let Answers { rows, by_ref_id, hasher, texts, .. } = self;
        let ref_id = |place: &u32| rows[*place as usize].as_ref().map(|row| texts.get(row.ref_id));
        let rehash = |place: &u32| hasher.hash_one(ref_id(place).unwrap_or_default());
        by_ref_id.insert_unique(hash, place, rehash);
    }

    /// Adds a record for a row that has one, in `place`.
    fn add_another(&mut self, record: &Record<'_>, place: usize, meaning: Meaning) {
        self.duplicates += 1;
        let Some(first) = self.rows[place].take() else { return };
        let both = (first.meaning, meaning);
        let kept = if meaning > first.meaning {
            let ref_id = self.texts.add(record.ref_id());
            let stronger = self.keep(record, ref_id, meaning);
            self.release(&first);
            stronger
        } else if both == (Meaning::Evaluated, Meaning::Evaluated)
            && !say_the_same(&record.labels, self.texts.get(first.labels))
        {
            Answer { meaning: Meaning::Conflicting, ..first }
        } else {
            first
        };
        self.rows[place] = Some(kept);
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
        self.boxed += usize::from(content.is_boxed());
        let (labels, error) = (self.texts.add(&record.labels), self.texts.add(&record.error));
        Answer { ref_id, labels, error, content, meaning }
    }

    /// Its texts are not needed, but for what follows before another is added.
    fn release(&mut self, answer: &Answer) {
        for text in [answer.ref_id, answer.labels, answer.error] {
            self.texts.release(text);
        }
        match &answer.content {
            Content::Text(text) => self.contents.release(*text),
            Content::Whole(row) => {
                self.texts.release(row.0);
                self.contents.release(row.1);
            }
            Content::Nothing | Content::Fingerprint(_) => {}
        }
        self.boxed -= usize::from(answer.content.is_boxed());
    }

    /// Keeps only fingerprints of all contents from now on.
    #[cold]
    fn keep_fingerprints(&mut self) {
        self.only_fingerprints = true;
        let contents = std::mem::take(&mut self.contents);
        for answer in self.rows.iter_mut().flatten() {
            if let Content::Text(text) = answer.content {
                answer.content = fingerprint(contents.get(text));
                self.boxed += usize::from(answer.content.is_boxed());
            }
        }
    }

    /// Takes out the answer to a row that was sent, and counts it in `tally`: the labels and the
    /// error of the row. `None` if there is no answer. `text` is the row's content if its type is
    /// text; it is compared with the content in the answer.
    pub fn take(
        &mut self,
        ref_id: &[u8],
        text: Option<&[u8]>,
        tally: &mut Tally,
    ) -> Option<(&str, &str)> {
        let ref_id = simdutf8::basic::from_utf8(ref_id).ok()?;
        let hash = self.hasher.hash_one(ref_id);
        let Answers { rows, by_ref_id, texts, .. } = self;
        let (place, _) = by_ref_id.find_entry(hash, is_of(ref_id, rows, texts)).ok()?.remove();
        self.free.push(place);
        let answer = rows[place as usize].take()?;
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
        self.blank_taken += usize::from(answer.meaning == Meaning::Blank);
        self.release(&answer);
        Some(answer.written(&self.texts, self.blank))
    }

    /// The error of a row that was sent and has no answer.
    #[must_use]
    pub fn missing(&self) -> &'static str {
        if self.unreadable.is_some() { MISSING_UNREADABLE } else { MISSING_UNANSWERED }
    }

    /// Counts the answers that were not taken as unexpected, and the duplicates.
    pub fn count_rest(&self, tally: &mut Tally) {
        tally.unexpected += self.left() as u64;
        tally.duplicates += self.duplicates;
    }

    /// How many records answer a row that already had an answer.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Every answered row once, in the file's order, if none was taken. Type and content are empty
    /// unless the reader keeps rows.
    pub fn rows(&self) -> impl Iterator<Item = AnsweredRow<'_>> {
        self.rows.iter().flatten().map(|answer| {
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

/// Whether the answer in a place of `rows` is for `ref_id`.
fn is_of<'a>(
    ref_id: &'a str,
    rows: &'a [Option<Answer>],
    texts: &'a Texts,
) -> impl Fn(&u32) -> bool + 'a {
    move |place| rows[*place as usize].as_ref().is_some_and(|row| texts.get(row.ref_id) == ref_id)
}
