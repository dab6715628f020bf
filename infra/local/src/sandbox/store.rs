//! The jobs: an index in memory, and on disk one JSON file a job beside its input and its output.
//!
//! Every file is written aside and then renamed, so that a killed process leaves whole files only. What is in memory was
//! on disk first.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use super::job::{Job, Outcome};

/// What there is to evaluate.
pub(super) enum Next {
    /// This job, now; it is marked as being evaluated.
    Job(String),
    /// Nothing before this time.
    At(Timestamp),
    /// Nothing at all.
    Nothing,
}

/// Keeps the jobs.
pub(super) struct Store {
    dir: PathBuf,
    jobs: Mutex<HashMap<String, Job>>,
}

impl Store {
    /// Loads the jobs in `dir`, which is made if there is none, and clears away what a killed process left half-done.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let aside = dir.join("tmp");
        if aside.exists() {
            std::fs::remove_dir_all(&aside).with_context(|| format!("clearing {}", aside.display()))?;
        }
        for part in ["jobs", "input", "output", "tmp"] {
            let part = dir.join(part);
            std::fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        let mut jobs = HashMap::new();
        for entry in std::fs::read_dir(dir.join("jobs")).context("listing the jobs")? {
            let file = entry.context("listing the jobs")?.path();
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let job: Job = serde_json::from_slice(&bytes).with_context(|| format!("{} is not a job", file.display()))?;
            jobs.insert(job.id.clone(), job);
        }
        Ok(Self { dir: dir.to_owned(), jobs: Mutex::new(jobs) })
    }

    /// Adds a job.
    pub(super) fn create(
        &self,
        name: String,
        policy_id: String,
        webhook_url: Option<String>,
        created_at: Timestamp,
        takes: SignedDuration,
    ) -> io::Result<Job> {
        let job = Job {
            id: new_id(),
            name,
            policy_id,
            webhook_url,
            created_at,
            started_at: None,
            takes,
            uploads: 0,
            cancelled_at: None,
            outcome: None,
            fetches: 0,
            evaluating: false,
        };
        let mut jobs = self.lock();
        self.keep(&job)?;
        jobs.insert(job.id.clone(), job.clone());
        Ok(job)
    }

    /// The job with this id.
    pub(super) fn get(&self, id: &str) -> Option<Job> {
        self.lock().get(id).cloned()
    }

    /// All jobs, the oldest first.
    pub(super) fn all(&self) -> Vec<Job> {
        let mut all: Vec<Job> = self.lock().values().cloned().collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// Changes the job with this id, if there is one. What it becomes is on disk before anybody sees it.
    pub(super) fn change<T>(&self, id: &str, change: impl FnOnce(&mut Job) -> T) -> io::Result<Option<T>> {
        let mut jobs = self.lock();
        let Some(job) = jobs.get_mut(id) else {
            return Ok(None);
        };
        let mut changed = job.clone();
        let answer = change(&mut changed);
        if changed != *job {
            self.keep(&changed)?;
            *job = changed;
        }
        Ok(Some(answer))
    }

    /// Counts a complete upload, and makes it the job's input if it is not too late for that. Answers whether it is.
    pub(super) fn take_input(&self, id: &str, file: &Path, now: Timestamp) -> io::Result<bool> {
        let input = self.input(id);
        let moved = self.change(id, |job| {
            let taken = job.takes_input(now);
            if taken {
                // Within the lock: no evaluation can begin between the decision and the rename.
                std::fs::rename(file, &input)?;
                job.started_at.get_or_insert(now);
            }
            job.uploads += 1;
            Ok(taken)
        })?;
        moved.unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// What there is to evaluate at this time.
    pub(super) fn next(&self, now: Timestamp) -> Next {
        let mut jobs = self.lock();
        let due = jobs.values_mut().filter_map(|job| Some((job.due()?, job)));
        match due.min_by(|(a, one), (b, two)| (a, &one.id).cmp(&(b, &two.id))) {
            Some((at, job)) if at <= now => {
                job.evaluating = true;
                Next::Job(job.id.clone())
            }
            Some((at, _)) => Next::At(at),
            None => Next::Nothing,
        }
    }

    /// Records what came of an evaluation; `None` if it has to be done again.
    pub(super) fn evaluated(&self, id: &str, outcome: Option<Outcome>) -> io::Result<()> {
        if let Some(job) = self.lock().get_mut(id) {
            job.evaluating = false;
        }
        if let Some(outcome) = outcome {
            self.change(id, |job| job.outcome = Some(outcome))?;
        }
        Ok(())
    }

    /// Where a job's input is.
    pub(super) fn input(&self, id: &str) -> PathBuf {
        self.dir.join("input").join(format!("{id}.csv"))
    }

    /// Where a job's output is.
    pub(super) fn output(&self, id: &str) -> PathBuf {
        self.dir.join("output").join(format!("{id}.csv"))
    }

    /// A new place for a file that is not whole yet.
    pub(super) fn aside(&self) -> Aside {
        Aside(self.dir.join("tmp").join(new_id()))
    }

    fn keep(&self, job: &Job) -> io::Result<()> {
        let file = self.dir.join("jobs").join(format!("{}.json", job.id));
        write_whole(&file, &serde_json::to_vec_pretty(job)?)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is removed when it is let go, unless it was moved to where it belongs.
pub(super) struct Aside(PathBuf);

impl Aside {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Most often it is gone already; and what cannot be removed now is cleared at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a small file so that it is there whole or not at all.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // All writers of one file take turns, so one name aside is enough; its ending keeps it from being loaded.
    let aside = file.with_extension("new");
    std::fs::write(&aside, bytes)?;
    std::fs::rename(&aside, file)
}

/// An id as the vendor's look: opaque, in the form of a random UUID.
fn new_id() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]);
    format!("{a}-{b}-4{c}-a{d}-{e}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn hundreds_of_jobs_are_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for n in 0..500 {
            store.create(format!("job {n}"), "p".into(), None, NOW, SignedDuration::ZERO).unwrap();
        }
        let before = store.all();
        std::fs::write(dir.path().join("jobs/half.new"), "{").unwrap();
        assert_eq!(Store::open(dir.path()).unwrap().all(), before);
        assert_eq!(before.len(), 500);
    }

    #[test]
    fn a_job_due_is_given_out_once_and_again_after_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.create("n".into(), "p".into(), None, NOW, SignedDuration::ZERO).unwrap().id;
        assert!(matches!(store.next(NOW), Next::Nothing));
        let aside = store.aside();
        std::fs::write(aside.path(), "x").unwrap();
        assert!(store.take_input(&id, aside.path(), NOW).unwrap());
        assert!(matches!(store.next(NOW), Next::Job(_)));
        assert!(matches!(store.next(NOW), Next::Nothing));
        store.evaluated(&id, None).unwrap();
        assert!(matches!(store.next(NOW), Next::Job(_)));
    }

    #[test]
    fn an_id_has_the_form_of_a_uuid() {
        let id = new_id();
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
