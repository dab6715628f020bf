//! Counts of rows by outcome, and of labels.

use crate::results::labels::Label;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// How many different labels a tally names; others are counted as `(other labels)`. A policy has a
/// few dozen, and a part's tally has to fit its record.
pub const MAX_LABELS: usize = 500;

/// The longest name of a label that a tally names, in bytes; a longer one is counted as `(other
/// labels)`. A name takes six times its bytes in JSON at worst, its counts about 100: 500 × 700 =
/// 350 KB, and a DynamoDB item holds 400 KB.
pub const MAX_LABEL_BYTES: usize = 100;
const OTHER: &str = "(other labels)";

/// Rows by outcome. The four add up to the rows of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The API evaluated the row.
    pub evaluated: u64,
    /// The API could not evaluate the row, or its whole job failed.
    pub failed: u64,
    /// The row was invalid and not sent.
    pub rejected: u64,
    /// The API did not answer the row.
    pub missing: u64,
}

impl Outcomes {
    /// All rows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.evaluated + self.failed + self.rejected + self.missing
    }
}

/// One label over many rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCount {
    /// Rows that have it.
    pub rows: u64,
    /// Rows by score: `histogram[i]` counts scores from `i/10` up to, but for the last, below
    /// `(i+1)/10`.
    pub histogram: [u64; 10],
}

/// The counts of a part, or of a drop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows by outcome.
    pub rows: Outcomes,
    /// Results for rows that were never sent; not written.
    pub unexpected: u64,
    /// Results for a row that already had one; not written.
    pub duplicates: u64,
    /// Results whose `labels` could not be read; written as they are.
    pub unreadable_labels: u64,
    /// Rows with two different evaluations; they count as failed.
    #[serde(default)]
    pub conflicting: u64,
    /// Rows whose answer has neither labels nor error; `BLANK_LABELS` decides how they count.
    #[serde(default)]
    pub blank: u64,
    /// Rows of text whose answer has their content, which was compared with the sent one.
    #[serde(default)]
    pub content_compared: u64,
    /// Those of them whose content is not the sent one.
    #[serde(default)]
    pub content_mismatches: u64,
    /// Labels by name.
    pub labels: BTreeMap<String, LabelCount>,
}

impl Tally {
    /// Counts a row's labels, each once.
    pub fn count_labels(&mut self, labels: &[Label<'_>]) {
        let mut counted = Names::default();
        for label in labels {
            let room = self.labels.len() < MAX_LABELS && label.name.len() <= MAX_LABEL_BYTES;
            let name =
                if room || self.labels.contains_key(&*label.name) { &*label.name } else { OTHER };
            if !counted.insert(name) {
                continue;
            }
            if !self.labels.contains_key(name) {
                self.labels.insert(name.to_owned(), LabelCount::default());
            }
            let Some(count) = self.labels.get_mut(name) else { continue };
            count.rows += 1;
            // Saturating: a score below 0 counts as 0, one above 1 as 1.
            let bin = (label.score * 10.0) as usize;
            count.histogram[bin.min(9)] += 1;
        }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Tally) {
        self.rows.evaluated += other.rows.evaluated;
        self.rows.failed += other.rows.failed;
        self.rows.rejected += other.rows.rejected;
        self.rows.missing += other.rows.missing;
        self.unexpected += other.unexpected;
        self.duplicates += other.duplicates;
        self.unreadable_labels += other.unreadable_labels;
        self.conflicting += other.conflicting;
        self.blank += other.blank;
        self.content_compared += other.content_compared;
        self.content_mismatches += other.content_mismatches;
        for (name, count) in &other.labels {
            let sum = self.labels.entry(name.clone()).or_default();
            sum.rows += count.rows;
            for (bin, n) in sum.histogram.iter_mut().zip(count.histogram) {
                *bin += n;
            }
        }
    }
}

/// Names of one row: mostly so few that looking through them is faster than a table.
#[derive(Default)]
struct Names<'a> {
    few: Vec<&'a str>,
    many: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    /// Whether it is a new one.
    fn insert(&mut self, name: &'a str) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(name);
            return true;
        }
        self.many.insert(name)
    }
}
