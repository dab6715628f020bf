//! Hashes of values in little memory: 8 bytes each (7.6 MiB per million), in blocks that are never
//! moved or copied, so that growing takes no extra memory.

use xxhash_rust::xxh3::xxh3_64;

const BUCKETS: usize = 256;
/// Hashes in a block: 4 KiB, so that almost empty buckets take a megabyte in all.
const BLOCK: usize = 512;
/// How many hashes wait to be put into their buckets: 4 KiB.
const STAGED: usize = 512;

/// The 64-bit hash of a value.
#[inline]
pub(super) fn hash(value: &[u8]) -> u64 {
    xxh3_64(value)
}

/// A hash of every value that was added.
///
/// ```
/// use moondrop_shared::check::hashes::Hashes;
///
/// let mut hashes = Hashes::default();
/// ["one", "two", "one", "one"].iter().for_each(|value| hashes.add(value.as_bytes()));
/// assert_eq!(hashes.repeated(), 2);
/// ```
#[derive(Debug)]
pub struct Hashes {
    /// The last ones, which go into their buckets together: their places in memory are far apart,
    /// and a processor can wait for several of them at once.
    staged: Vec<u64>,
    buckets: Vec<Vec<Vec<u64>>>,
    /// How many of each bucket were saved.
    saved: Vec<usize>,
}

impl Default for Hashes {
    fn default() -> Self {
        Hashes {
            staged: Vec::with_capacity(STAGED),
            buckets: vec![Vec::new(); BUCKETS],
            saved: vec![0; BUCKETS],
        }
    }
}

impl Hashes {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: &[u8]) {
        self.insert(hash(value));
    }

    /// Adds the hash of a value.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64) {
        self.staged.push(hash);
        if self.staged.len() == STAGED {
            self.sort_in();
        }
    }

    #[inline(never)]
    fn sort_in(&mut self) {
        for hash in self.staged.drain(..) {
            let bucket = &mut self.buckets[bucket_of(hash)];
            match bucket.last_mut() {
                Some(block) if block.len() < BLOCK => block.push(hash),
                _ => {
                    let mut block = Vec::with_capacity(BLOCK);
                    block.push(hash);
                    bucket.push(block);
                }
            }
        }
    }

    /// How many values have the hash of one that was added before. Different values have the same
    /// hash by chance only: among 100 million values the odds are 1 in 3,700.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.occurrences().map(|(_, count)| count - 1).sum()
    }

    /// The hashes that were added more than once, sorted, each with how often.
    pub(super) fn occurrences(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut seen = Seen::default();
        (0..BUCKETS).flat_map(move |bucket| seen.repeated(|| self.bucket(bucket)))
    }

    /// All hashes, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = u64> + '_ {
        (0..BUCKETS).flat_map(|bucket| self.bucket(bucket))
    }

    /// The hashes that were added since [`Hashes::mark_saved`], in an order that depends on them
    /// alone.
    pub(super) fn unsaved(&self) -> impl Iterator<Item = u64> + '_ {
        (0..BUCKETS).flat_map(|bucket| {
            let (blocks, saved) = (&self.buckets[bucket], self.saved[bucket]);
            // All blocks but the last are full.
            let rest = blocks.iter().skip(saved / BLOCK).flatten().skip(saved % BLOCK);
            rest.copied().chain(self.staged_of(bucket))
        })
    }

    /// All hashes so far are saved.
    pub(super) fn mark_saved(&mut self) {
        self.sort_in();
        for (saved, blocks) in self.saved.iter_mut().zip(&self.buckets) {
            *saved = blocks.iter().map(Vec::len).sum();
        }
    }

    fn bucket(&self, bucket: usize) -> impl Iterator<Item = u64> + '_ {
        self.buckets[bucket].iter().flatten().copied().chain(self.staged_of(bucket))
    }

    fn staged_of(&self, bucket: usize) -> impl Iterator<Item = u64> + '_ {
        self.staged.iter().copied().filter(move |hash| bucket_of(*hash) == bucket)
    }
}

fn bucket_of(hash: u64) -> usize {
    (hash >> 56) as usize
}

/// One bit for many hashes: which of them have been seen.
#[derive(Debug, Default)]
struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    /// The hashes of a bucket that occur more than once, sorted, each with how often. Most do not,
    /// and most of those have a bit of their own: only the few others are sorted.
    fn repeated<I: Iterator<Item = u64>>(&mut self, bucket: impl Fn() -> I) -> Vec<(u64, u64)> {
        let words = bucket().count().next_power_of_two();
        self.clear(words);
        let again: Vec<u64> = bucket().filter(|hash| self.insert(*hash)).collect();
        if again.is_empty() {
            return Vec::new();
        }
        self.clear(words);
        again.iter().for_each(|hash| {
            self.insert(*hash);
        });
        let mut few: Vec<u64> = bucket().filter(|hash| self.has(*hash)).collect();
        few.sort_unstable();
        let groups = few.chunk_by(|a, b| a == b).filter(|group| group.len() > 1);
        groups.map(|group| (group[0], group.len() as u64)).collect()
    }

    fn clear(&mut self, words: usize) {
        self.bits.clear();
        self.bits.resize(words, 0);
    }

    /// Whether its bit was set before.
    fn insert(&mut self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        let was_set = self.bits[word] & bit != 0;
        self.bits[word] |= bit;
        was_set
    }

    fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.bits[word] & bit != 0
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        // A power of two: the hash's lowest bits choose the word.
        ((hash >> 6) as usize & (self.bits.len() - 1), 1 << (hash & 63))
    }
}
