//! Why a file is refused: every error that was found, not only the first.

use super::notices::Notice;
use crate::csv::error::InputError;
use crate::problem::Code;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most errors of a file that are listed; all are counted.
pub const MOST_ERRORS: usize = 1_000;

/// How many errors there are, by code.
pub type Counts = BTreeMap<Code, u64>;

/// A file that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// The first error that makes the whole file unusable.
    pub error: InputError,
    /// The errors in the order of the file, at most [`MOST_ERRORS`]: those that make the file
    /// unusable, and as far as there is room those that reject a row. Which rows are duplicates is
    /// not known.
    pub errors: Vec<InputError>,
    /// All errors by code, listed or not.
    pub counts: Counts,
    /// What was noticed besides.
    pub notices: Vec<Notice>,
}

impl From<InputError> for Refusal {
    fn from(error: InputError) -> Self {
        let counts = Counts::from([(error.code, 1)]);
        Refusal { errors: vec![error.clone()], error, counts, notices: Vec::new() }
    }
}

impl From<Refusal> for InputError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl Refusal {
    /// The first error in words, and how many there are by code if there are more.
    #[must_use]
    pub fn message(&self) -> String {
        let total: u64 = self.counts.values().sum();
        if total < 2 {
            return self.error.message.clone();
        }
        let listed = match self.errors.len() {
            all if all as u64 == total => "them".to_owned(),
            some => format!("the first {some}"),
        };
        format!(
            "{}. In all {}; rejected.csv lists {listed}",
            self.error.message,
            counted(&self.counts)
        )
    }
}

/// The code that most errors have.
#[must_use]
pub fn most_frequent(counts: &Counts) -> Option<(Code, u64)> {
    let most = counts.values().max()?;
    counts.iter().find(|(_, count)| *count == most).map(|(code, count)| (*code, *count))
}

/// The counts in words, the most frequent code first.
#[must_use]
pub fn counted(counts: &Counts) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<_> = counts.iter().map(|(code, count)| format!("{count} {code}")).collect();
    words.join(", ")
}

/// The errors that the check has found so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Errors {
    of_file: Vec<InputError>,
    of_rows: Vec<InputError>,
    counts: Counts,
}

impl Errors {
    /// Adds an error that makes the whole file unusable.
    pub(super) fn refuse(&mut self, error: InputError) {
        *self.counts.entry(error.code).or_default() += 1;
        if self.of_file.len() < MOST_ERRORS {
            self.of_file.push(error);
        }
    }

    /// Adds an error that rejects a row.
    pub(super) fn reject(&mut self, error: &InputError) {
        *self.counts.entry(error.code).or_default() += 1;
        if self.of_rows.len() < MOST_ERRORS {
            self.of_rows.push(error.clone());
        }
    }

    /// Whether the file is refused.
    pub(super) fn are_of_file(&self) -> bool {
        !self.of_file.is_empty()
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The refusal, if there is an error that makes the file unusable.
    pub(super) fn refusal(self, notices: Vec<Notice>) -> Option<Refusal> {
        let error = self.of_file.first()?.clone();
        let mut errors = self.of_file;
        let room = MOST_ERRORS - errors.len();
        errors.extend(self.of_rows.into_iter().take(room));
        errors.sort_by_key(|error| (error.offset, error.line));
        Some(Refusal { error, errors, counts: self.counts, notices })
    }
}
