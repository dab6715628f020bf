//! Which files have not changed for long enough to count as whole, by our own clock. A file's own
//! time says nothing of that: whoever wrote it may have another clock.

use super::listing::Stamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Since when each file has looked as it does.
pub(super) struct Quiet {
    quiet_for: Duration,
    since: BTreeMap<PathBuf, (Stamp, Instant)>,
}

impl Quiet {
    pub(super) fn new(quiet_for: Duration) -> Self {
        Quiet { quiet_for, since: BTreeMap::new() }
    }

    /// Notes what all files look like now, and gives those that have looked so for long enough.
    pub(super) fn whole(
        &mut self,
        files: BTreeMap<PathBuf, Stamp>,
        now: Instant,
    ) -> Vec<(PathBuf, Stamp)> {
        let before = std::mem::take(&mut self.since);
        self.since = files
            .into_iter()
            .map(|(path, stamp)| {
                let since = before.get(&path).filter(|(was, _)| *was == stamp);
                let since = since.map_or(now, |(_, since)| *since);
                (path, (stamp, since))
            })
            .collect();
        let long_enough = |since: Instant| now.duration_since(since) >= self.quiet_for;
        let whole = self.since.iter().filter(|(_, (_, since))| long_enough(*since));
        whole.map(|(path, (stamp, _))| (path.clone(), stamp.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::Listing;
    use super::*;
    use std::fs::File;
    use std::io::Write as _;
    use std::time::SystemTime;

    const QUIET_FOR: Duration = Duration::from_secs(10);

    /// An inbox with one file, looked at now and then.
    struct Look {
        inbox: tempfile::TempDir,
        file: File,
        quiet: Quiet,
        start: Instant,
    }

    impl Look {
        fn new() -> Self {
            let inbox = tempfile::tempdir().unwrap();
            let file = File::create(inbox.path().join("a.csv")).unwrap();
            Look { inbox, file, quiet: Quiet::new(QUIET_FOR), start: Instant::now() }
        }

        /// Whether the file is whole so many seconds after the start.
        fn whole_at(&mut self, seconds: f64) -> bool {
            let files = Listing::of(self.inbox.path()).files;
            let now = self.start + Duration::from_secs_f64(seconds);
            !self.quiet.whole(files, now).is_empty()
        }
    }

    #[test]
    fn a_file_is_whole_when_it_has_not_changed_for_long_enough() {
        let mut look = Look::new();
        assert!(!look.whole_at(0.0) && !look.whole_at(9.5) && look.whole_at(10.0));
        look.file.write_all(b"more").unwrap();
        assert!(!look.whole_at(10.5) && !look.whole_at(20.0) && look.whole_at(20.5));
    }

    #[test]
    fn pauses_of_a_writer_that_are_shorter_do_not_make_it_whole() {
        let mut look = Look::new();
        let mut at = 0.0;
        for pause in [2.5, 3.0, 4.0, 9.5] {
            look.file.write_all(b"row\n").unwrap();
            assert!(!look.whole_at(at) && !look.whole_at(at + pause), "{pause}");
            at += pause + 0.5;
        }
    }

    #[test]
    fn the_clock_of_the_writer_counts_for_nothing() {
        let minute = Duration::from_secs(60);
        for changed in [SystemTime::now() + minute, SystemTime::now() - minute] {
            let mut look = Look::new();
            look.file.set_modified(changed).unwrap();
            assert!(!look.whole_at(0.0) && !look.whole_at(9.5) && look.whole_at(10.0));
            look.file.set_modified(changed + minute).unwrap();
            assert!(!look.whole_at(10.5), "it changed");
        }
    }

    #[test]
    fn a_file_that_was_away_is_looked_at_afresh() {
        let mut look = Look::new();
        assert!(!look.whole_at(0.0));
        assert!(look.quiet.whole(BTreeMap::new(), look.start).is_empty());
        assert!(!look.whole_at(10.0) && look.whole_at(20.0));
    }
}
