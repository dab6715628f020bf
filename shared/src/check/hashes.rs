//! Hashes of values in little memory: 8 bytes each (7.6 MiB per million), in blocks that are never
//! moved or copied, so that growing takes no extra memory.

use xxhash_rust::xxh3::xxh3_64;

const BUCKETS: usize = 256;
/// Hashes in a block: 4 KiB, so that almost empty buckets take a megabyte in all.
const BLOCK: usize = 512;

/// The 64-bit hash of a value.
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
    buckets: Vec<Vec<Vec<u64>>>,
}

impl Default for Hashes {
    fn default() -> Self {
        Hashes { buckets: vec![Vec::new(); BUCKETS] }
    }
}

impl Hashes {
    /// Adds a value.
    pub fn add(&mut self, value: &[u8]) {
        let hash = hash(value);
        let bucket = &mut self.buckets[(hash >> 56) as usize];
        match bucket.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(hash),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(hash);
                bucket.push(block);
            }
        }
    }

    /// How many values have the hash of one that was added before. Different values have the same
    /// hash by chance only: among 100 million values the odds are 1 in 3,700.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.sorted()
            .map(|hashes| hashes.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64)
            .sum()
    }

    /// All hashes, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().flatten().flatten().copied()
    }

    /// All hashes in their order, a bucket of them at a time.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Vec<u64>> + '_ {
        self.buckets.iter().map(|bucket| {
            let mut hashes = bucket.concat();
            hashes.sort_unstable();
            hashes
        })
    }
}
