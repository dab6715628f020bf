//! The jobs: an index in memory, and on disk one JSON file per job beside its input and its output.
//!
//! Every file appears whole or not at all, so that a killed process leaves whole files only. What
//! is in memory was on disk first.

use super::job::{Job, NewJob, Outcome};
use crate::files::{Unfinished, write_whole};
use crate::sync::locked;
use crate::uuid::uuid;
use anyhow::Context;
use jiff::Timestamp;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What there is to evaluate.
pub(super) enum Next {
    /// This job, now; it is marked as being evaluated.
    Job(String),
    /// Nothing before this time.
    At(Timestamp),
    Nothing,
}

pub(super) struct Store {
    dir: PathBuf,
    jobs: Mutex<HashMap<String, Job>>,
}

impl Store {
    /// Loads the jobs in `dir`, which is created if there is none, and clears away what a killed
    /// process left half-done.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let unfinished = dir.join("tmp");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)
                .with_context(|| format!("clearing {}", unfinished.display()))?;
        }
        for part in ["jobs", "input", "output", "tmp"] {
            let part = dir.join(part);
            std::fs::create_dir_all(&part)
                .with_context(|| format!("creating {}", part.display()))?;
        }
        let mut jobs = HashMap::new();
        for entry in std::fs::read_dir(dir.join("jobs")).context("listing the jobs")? {
            let file = entry.context("listing the jobs")?.path();
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes =
                std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let job: Job = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not a job", file.display()))?;
            jobs.insert(job.id.clone(), job);
        }
        Ok(Self { dir: dir.to_owned(), jobs: Mutex::new(jobs) })
    }

    pub(super) fn create(&self, new: NewJob, now: Timestamp) -> io::Result<Job> {
        let job = Job::new(uuid(), new, now);
        let mut jobs = locked(&self.jobs);
        self.keep(&job)?;
        jobs.insert(job.id.clone(), job.clone());
        Ok(job)
    }

    pub(super) fn get(&self, id: &str) -> Option<Job> {
        locked(&self.jobs).get(id).cloned()
    }

    /// All jobs, the oldest first.
    pub(super) fn all(&self) -> Vec<Job> {
        let mut all: Vec<Job> = locked(&self.jobs).values().cloned().collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// Changes the job with this id, if there is one. What it becomes is on disk before anybody
    /// sees it.
    pub(super) fn change<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Job) -> T,
    ) -> io::Result<Option<T>> {
        let mut jobs = locked(&self.jobs);
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

    /// Counts a complete upload, and makes it the job's input if it is not too late for that.
    /// Answers whether it was in time.
    pub(super) fn take_input(
        &self,
        id: &str,
        file: Unfinished,
        now: Timestamp,
    ) -> io::Result<bool> {
        let input = self.input(id);
        let moved = self.change(id, |job| {
            let in_time = job.takes_input(now);
            if in_time {
                // Within the lock: no evaluation can begin between the decision and the rename.
                file.publish(&input)?;
                job.started_at.get_or_insert(now);
            }
            job.uploads += 1;
            Ok(in_time)
        })?;
        moved.unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// What there is to evaluate at this time.
    pub(super) fn next(&self, now: Timestamp) -> Next {
        let mut jobs = locked(&self.jobs);
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

    /// Records the outcome of an evaluation; `None` if it has to be done again.
    pub(super) fn evaluated(&self, id: &str, outcome: Option<Outcome>) -> io::Result<()> {
        if let Some(job) = locked(&self.jobs).get_mut(id) {
            job.evaluating = false;
        }
        if let Some(outcome) = outcome {
            self.change(id, |job| job.outcome = Some(outcome))?;
        }
        Ok(())
    }

    pub(super) fn input(&self, id: &str) -> PathBuf {
        self.dir.join("input").join(format!("{id}.csv"))
    }

    pub(super) fn output(&self, id: &str) -> PathBuf {
        self.dir.join("output").join(format!("{id}.csv"))
    }

    /// A new place for a file that is not whole yet.
    pub(super) fn unfinished(&self) -> Unfinished {
        Unfinished::at(self.dir.join("tmp").join(uuid()))
    }

    fn keep(&self, job: &Job) -> io::Result<()> {
        let file = self.dir.join("jobs").join(format!("{}.json", job.id));
        write_whole(&file, serde_json::to_vec_pretty(job)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn new(name: &str) -> NewJob {
        NewJob {
            name: name.into(),
            policy_id: "p".into(),
            webhook_url: None,
            takes: SignedDuration::ZERO,
        }
    }

    #[test]
    fn hundreds_of_jobs_are_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for n in 0..500 {
            store.create(new(&format!("job {n}")), NOW).unwrap();
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
        let id = store.create(new("n"), NOW).unwrap().id;
        assert!(matches!(store.next(NOW), Next::Nothing));
        let unfinished = store.unfinished();
        std::fs::write(unfinished.path(), "x").unwrap();
        assert!(store.take_input(&id, unfinished, NOW).unwrap());
        assert!(matches!(store.next(NOW), Next::Job(_)));
        assert!(matches!(store.next(NOW), Next::Nothing));
        store.evaluated(&id, None).unwrap();
        assert!(matches!(store.next(NOW), Next::Job(_)));
    }
}
