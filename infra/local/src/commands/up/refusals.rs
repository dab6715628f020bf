//! Which files of the inbox could not be dropped: those that never can, and those that are tried
//! again.

use super::listing::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The files of the inbox that could not be dropped and moved.
pub(super) struct Refusals {
    again_after: Duration,
    /// Those whose names cannot be dropped.
    never: BTreeSet<PathBuf>,
    /// The others, each with the reason that was printed, and when it was tried last.
    not_now: BTreeMap<PathBuf, (String, Instant)>,
    /// Those that were dropped, and not moved.
    dropped: BTreeSet<PathBuf>,
}

impl Refusals {
    pub(super) fn new(again_after: Duration) -> Self {
        Refusals {
            again_after,
            never: BTreeSet::new(),
            not_now: BTreeMap::new(),
            dropped: BTreeSet::new(),
        }
    }

    pub(super) fn again_after(&self) -> Duration {
        self.again_after
    }

    /// Forgets the files that are no longer in the inbox.
    pub(super) fn keep(&mut self, files: &BTreeMap<PathBuf, Stamp>) {
        self.never.retain(|path| files.contains_key(path));
        self.not_now.retain(|path, _| files.contains_key(path));
        self.dropped.retain(|path| files.contains_key(path));
    }

    /// Whether a file is to be tried now.
    pub(super) fn is_due(&self, path: &Path, now: Instant) -> bool {
        let is_waiting = self
            .not_now
            .get(path)
            .is_some_and(|(_, tried_at)| now.duration_since(*tried_at) < self.again_after);
        !self.never.contains(path) && !is_waiting
    }

    /// Notes that a file can never be dropped.
    pub(super) fn never(&mut self, path: PathBuf) {
        self.never.insert(path);
    }

    /// Notes that a file could not be dropped or moved now. Whether the reason is a new one.
    pub(super) fn not_now(&mut self, path: PathBuf, reason: String, now: Instant) -> bool {
        let before = self.not_now.insert(path, (reason.clone(), now));
        before.is_none_or(|(before, _)| before != reason)
    }

    /// Notes that a file is dropped: until it is moved, the same bytes are not evaluated again.
    pub(super) fn dropped(&mut self, path: PathBuf) {
        self.dropped.insert(path);
    }

    /// Notes that a file is out of the inbox: one of its name that comes later is another one.
    pub(super) fn moved(&mut self, path: &Path) {
        self.not_now.remove(path);
        self.dropped.remove(path);
    }

    pub(super) fn is_dropped(&self, path: &Path) -> bool {
        self.dropped.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_can_change_is_tried_again_and_said_when_its_reason_changes() {
        let (path, start) = (PathBuf::from("inbox/a.csv"), Instant::now());
        let mut refusals = Refusals::new(MINUTE);
        let mut is_said = |reason: &str, minutes: u32| {
            let now = start + MINUTE * minutes;
            assert!(refusals.is_due(&path, now));
            let is_said = refusals.not_now(path.clone(), reason.to_owned(), now);
            assert!(!refusals.is_due(&path, now + MINUTE / 2));
            is_said
        };
        assert!(is_said("it changed", 0));
        assert!(is_said("another is under way", 1) && !is_said("another is under way", 2));
        assert!(is_said("it changed", 3));
        refusals.keep(&BTreeMap::new());
        assert!(refusals.is_due(&path, start), "a file that was away is another one");
    }

    #[test]
    fn a_name_that_cannot_be_dropped_is_not_tried_again() {
        let (path, start) = (PathBuf::from("inbox/a.csv"), Instant::now());
        let mut refusals = Refusals::new(MINUTE);
        refusals.never(path.clone());
        assert!(!refusals.is_due(&path, start + MINUTE * 1_000));
    }
}
