//! The job that has the rows, from the upload to its results.

use super::Probe;
use super::api::CallError;
use super::assumptions::Topic;
use super::results;
use super::rows::ROWS;
use super::words::time;
use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{Job, JobState, SignedUrl};
use std::time::Duration;
use url::Url;

/// The shortest wait between two queries; it grows with the age of the job up to `--poll-every`.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
/// After how long a job that has not started is no longer followed: as Moondrop gives one up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(28 * 3_600);
/// Results of ten rows that are larger than this are not those of the ten rows.
const LARGEST_RESULTS: usize = 16 * 1024 * 1024;

impl Probe {
    /// Whether the URL's host is one that Moondrop contacts.
    pub(super) fn is_allowed(&mut self, topic: Topic, url: &SignedUrl) -> bool {
        let host = Url::parse(url.expose()).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or("no host").to_owned();
        let is = self.transfer.check(url).is_ok();
        let not = if is { "" } else { ", which is not allowed" };
        self.state.findings.judge(topic, is, format!("{host}{not}"));
        is
    }

    /// Follows the job to its end; its last record if it completed.
    pub(super) async fn follow(&mut self) -> Result<Option<Job>> {
        let mut silent = false;
        loop {
            let (reported, problem) = match self.look_up().await {
                Ok(reported) => (reported, "the API does not report the job".to_owned()),
                Err(CallError::Key) => return Err(CallError::Key.into()),
                Err(CallError::Other(error)) => (None, describe(&error)),
            };
            let uploaded_at = self.state.job.as_ref().and_then(|job| job.uploaded_at);
            let uploaded_at = uploaded_at.unwrap_or(self.state.began_at);
            let age = Timestamp::now().duration_since(uploaded_at).unsigned_abs();
            if reported.is_none() && !silent {
                self.say(&format!("{problem}; it is asked again"));
            }
            silent = reported.is_none();
            if let Some(job) = reported {
                self.measure(&job.state, uploaded_at);
                match &job.state {
                    JobState::Completed if job.output_file_url.is_some() => {
                        let seen = format!("COMPLETED {} after the upload", time(age));
                        self.state.findings.met(Topic::JobCompletes, seen);
                        self.save()?;
                        return Ok(Some(job));
                    }
                    state @ (JobState::Error | JobState::Cancelled) => {
                        let seen = format!("{} {} after the upload", state.as_str(), time(age));
                        self.state.findings.not_met(Topic::JobCompletes, seen);
                        self.state.done = true;
                        self.save()?;
                        return Ok(None);
                    }
                    JobState::Initialized if age > GIVE_UP_AFTER => return Ok(None),
                    _ => {}
                }
            }
            self.save()?;
            // Any other error is about this one look, and there are more to come.
            if let Err(CallError::Key) = self.look_at_the_cancelled_job().await {
                return Err(CallError::Key.into());
            }
            tokio::time::sleep((age / 10).max(SHORTEST_WAIT).min(self.poll_every)).await;
        }
    }

    /// For how long the job is reported as INITIALIZED after the upload.
    fn measure(&mut self, state: &JobState, uploaded_at: Timestamp) {
        let (now, limit) = (Timestamp::now(), self.starts_within);
        let Some(job) = &mut self.state.job else { return };
        let findings = &mut self.state.findings;
        let since = |at: Timestamp| at.duration_since(uploaded_at).unsigned_abs();
        if job.started_at.is_some() {
            return;
        }
        if *state == JobState::Initialized {
            job.initialized_at = Some(now);
            if since(now) > limit {
                let seen = format!("still INITIALIZED {} after the upload", time(since(now)));
                if !findings.has(Topic::JobStarts) {
                    eprintln!("moondrop: the job is {seen}");
                }
                findings.not_met(Topic::JobStarts, seen);
            }
            return;
        }
        job.started_at = Some(now);
        let last = job.initialized_at.map_or(Duration::ZERO, since);
        let first = time(since(now));
        let seen = match job.initialized_at {
            Some(_) => format!("INITIALIZED until {} to {first} after the upload", time(last)),
            None => format!("no longer INITIALIZED {first} after the upload"),
        };
        if last > limit {
            findings.not_met(Topic::JobStarts, seen);
        } else if since(now) <= limit {
            findings.met(Topic::JobStarts, seen);
        } else {
            findings.not_seen(Topic::JobStarts, format!("{seen}; it was not asked for between"));
        }
    }

    /// Fetches the results twice, by two URLs, and looks at them.
    pub(super) async fn read_results(&mut self, job: Job) -> Result<()> {
        let Some(first) = job.output_file_url else { return Ok(()) };
        let again = self.look_up().await?.and_then(|job| job.output_file_url);
        let findings = &mut self.state.findings;
        match &again {
            Some(second) => {
                let new = first != *second;
                let seen = if new { "two queries, two URLs" } else { "two queries, one URL" };
                findings.judge(Topic::FreshResultsUrl, new, seen);
            }
            None => findings.not_seen(Topic::FreshResultsUrl, "the second query reported no URL"),
        }
        let second = again.unwrap_or_else(|| first.clone());
        if !self.is_allowed(Topic::ResultsHost, &first)
            || !self.is_allowed(Topic::ResultsHost, &second)
        {
            return self.save();
        }
        let (one, two) = (self.download(&first).await?, self.download(&second).await?);
        let seen = match one == two {
            true => format!("{} bytes, twice", one.len()),
            false => format!("{} bytes, then {} others", one.len(), two.len()),
        };
        self.state.findings.judge(Topic::SameResultsTwice, one == two, seen);
        results::examine(&one, &mut self.state.findings);
        self.state.done = true;
        self.save()
    }

    async fn download(&self, url: &SignedUrl) -> Result<Vec<u8>> {
        let mut body = std::pin::pin!(self.transfer.download(url).await?);
        let mut bytes = Vec::new();
        while let Some(more) = body.try_next().await.context("read the results")? {
            bytes.extend_from_slice(&more);
            if bytes.len() > LARGEST_RESULTS {
                bail!("the results of {} rows are larger than {LARGEST_RESULTS} bytes", ROWS.len());
            }
        }
        Ok(bytes)
    }
}
