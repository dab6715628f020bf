//! Finds `ref_id`s that differ from others only by characters that cannot be seen. They are no
//! duplicates, so that 64-bit hashes are certain enough for a notice.

use super::duplicates::RefIdHashes;
use crate::csv::text::visible;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// How many of them are compared, which bounds memory to some 240 KB: the first ones of the file.
const MOST_COMPARED: usize = 10_000;

/// The `ref_id`s that have invisible characters within.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct InvisibleIds {
    found: Vec<Found>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Found {
    /// The hash without the invisible characters.
    visible: u64,
    whole: u64,
    line: u64,
}

impl InvisibleIds {
    pub(super) fn add(&mut self, ref_id: &[u8], line: u64) {
        if ref_id.is_ascii() || self.found.len() == MOST_COMPARED {
            return;
        }
        let text = String::from_utf8_lossy(ref_id);
        if let Some(seen) = visible(&text).filter(|seen| !seen.is_empty()) {
            let [visible, whole] = [seen.as_bytes(), ref_id].map(xxh3_64);
            self.found.push(Found { visible, whole, line });
        }
    }

    /// The lines of those that look like another `ref_id` of the file.
    pub(super) fn alike(&self, all: &RefIdHashes) -> Vec<u64> {
        if self.found.is_empty() {
            return Vec::new();
        }
        let plain = all.present(&self.found.iter().map(|found| found.visible).collect());
        let mut wholes: BTreeMap<u64, HashSet<u64>> = BTreeMap::new();
        for found in &self.found {
            wholes.entry(found.visible).or_default().insert(found.whole);
        }
        let is_alike = |found: &&Found| {
            plain.contains(&found.visible)
                || wholes.get(&found.visible).is_some_and(|wholes| wholes.len() > 1)
        };
        self.found.iter().filter(is_alike).map(|found| found.line).collect()
    }
}
