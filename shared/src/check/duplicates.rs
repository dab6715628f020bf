//! Finds duplicate `ref_id`s in little memory.
//!
//! The first pass keeps an 8-byte hash per row. A hash that occurs twice is a candidate. If there
//! are candidates, a second pass over the file keeps their `ref_id`s and separates duplicates from
//! chance.

use super::hashes::{Hashes, hash};
use std::collections::{HashMap, HashSet};

/// How many different `ref_id`s may be on more than one row. The second pass keeps each of them, so
/// this bounds its memory to some 30 MB with identifiers of a usual length (270 MB with the
/// longest). A file with more is refused; most likely it was appended to itself.
pub const MAX_DUPLICATED_REF_IDS: usize = 250_000;

/// The first pass: a hash of every `ref_id`.
#[derive(Debug, Default)]
pub struct RefIdHashes(Hashes);

impl RefIdHashes {
    /// Adds a `ref_id`.
    #[inline]
    pub fn add(&mut self, ref_id: &[u8]) {
        self.0.add(ref_id);
    }

    pub(super) fn hashes(&self) -> &Hashes {
        &self.0
    }

    pub(super) fn hashes_mut(&mut self) -> &mut Hashes {
        &mut self.0
    }

    /// Those of the hashes that were added.
    #[must_use]
    pub fn present(&self, wanted: &HashSet<u64>) -> HashSet<u64> {
        self.0.all().filter(|hash| wanted.contains(hash)).collect()
    }

    /// The hashes that were added more than once; `None` if there are more than
    /// [`MAX_DUPLICATED_REF_IDS`].
    #[must_use]
    pub fn candidates(&self) -> Option<Candidates> {
        let repeated = self.0.occurrences().map(|(hash, _)| hash);
        let candidates: Vec<u64> = repeated.take(MAX_DUPLICATED_REF_IDS + 1).collect();
        if candidates.len() > MAX_DUPLICATED_REF_IDS {
            return None;
        }
        Some(Candidates { hashes: candidates })
    }
}

/// The hashes that more than one row has, sorted.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    pub(super) hashes: Vec<u64>,
}

impl Candidates {
    /// Whether there is none: every `ref_id` is unique.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// The second pass: which of the candidates are duplicates.
#[derive(Debug)]
pub struct Duplicates {
    pub(super) candidates: Candidates,
    pub(super) first_line: HashMap<Box<[u8]>, u64>,
}

impl Duplicates {
    /// Looks for duplicates among these candidates.
    #[must_use]
    pub fn of(candidates: Candidates) -> Self {
        Duplicates { candidates, first_line: HashMap::new() }
    }

    /// The line of an earlier row with this `ref_id`, if there is one; otherwise remembers this
    /// `line`.
    pub fn seen_before(&mut self, ref_id: &[u8], line: u64) -> Option<u64> {
        self.candidates.hashes.binary_search(&hash(ref_id)).ok()?;
        if let Some(first) = self.first_line.get(ref_id) {
            return Some(*first);
        }
        self.first_line.insert(ref_id.into(), line);
        None
    }
}
