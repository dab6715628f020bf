//! A second job, which gets no rows and is cancelled. A cancel may take effect long after it is
//! answered: the job is looked at again for as long as the other one is followed.

use super::Probe;
use super::api::{CallError, read_job};
use super::assumptions::Topic;
use super::findings::Verdict;
use super::words::time;
use anyhow::{Result, anyhow};
use jiff::Timestamp;
use moondrop_shared::job::JobState;
use std::time::{Duration, Instant};

/// How long the probe waits for the cancel before it goes on with the other job.
const WAITED_AT_FIRST: Duration = Duration::from_secs(15);
/// How often the job is looked at meanwhile.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl Probe {
    /// Creates a job that gets no rows, cancels it, and waits a little for the cancel.
    pub(super) async fn cancel_a_job(&mut self) -> Result<()> {
        if self.state.findings.has(Topic::CancelInitialized) {
            return Ok(());
        }
        if self.state.empty_job.is_none() {
            let name = format!("moondrop-probe:{:016x}:empty", fastrand::u64(..));
            let answer = self.create(&name).await?;
            let Some(id) = answer.body["batchJobId"].as_str().filter(|id| !id.is_empty()) else {
                let why = "the second job has no id";
                self.state.findings.not_seen(Topic::CancelInitialized, why);
                return self.save();
            };
            self.state.empty_job = Some(id.to_owned());
            self.save()?;
        }
        let since = Instant::now();
        while !self.look_at_the_cancelled_job().await? && since.elapsed() < WAITED_AT_FIRST {
            tokio::time::sleep(ASK_EVERY).await;
        }
        self.say("a job without rows is created and cancelled");
        Ok(())
    }

    /// Cancels the job unless its cancel was accepted, and looks whether it took effect. Whether
    /// nothing more is to be learnt.
    pub(super) async fn look_at_the_cancelled_job(&mut self) -> Result<bool, CallError> {
        let Some(id) = self.state.empty_job.clone() else { return Ok(true) };
        if self.state.findings.get(Topic::CancelInitialized).verdict != Verdict::NotSeen {
            return Ok(true);
        }
        let mut state = self.state_of(&id).await?;
        if state != Some(JobState::Cancelled) && self.state.cancelled_at.is_none() {
            let refusal = self.send_cancel(&id).await?;
            state = self.state_of(&id).await?;
            // A cancel whose answer was lost took effect, and another one may then be refused.
            if let (Some(seen), true) = (refusal, state != Some(JobState::Cancelled)) {
                self.state.findings.not_met(Topic::CancelInitialized, seen);
                self.save()?;
                return Ok(true);
            }
        }
        self.judge_cancel(state.as_ref());
        self.save()?;
        Ok(self.state.findings.get(Topic::CancelInitialized).verdict != Verdict::NotSeen)
    }

    /// Sends the cancel; gives in words how the API refuses it.
    async fn send_cancel(&mut self, id: &str) -> Result<Option<String>, CallError> {
        let answer = self.api.cancel(id).await?;
        match answer.error() {
            None => {
                self.state.cancelled_at = Some(Timestamp::now());
                Ok(None)
            }
            // It says nothing of cancels, and is sent again at the next look.
            Some(_) if answer.status >= 500 => Ok(None),
            Some(_) => Ok(Some(format!("the cancel is answered {} with an error", answer.status))),
        }
    }

    fn judge_cancel(&mut self, state: Option<&JobState>) {
        let findings = &mut self.state.findings;
        let since = self.state.cancelled_at;
        let waited = since.map(|at| Timestamp::now().duration_since(at).unsigned_abs());
        let after = waited.map(|waited| format!("{} after the cancel", time(waited)));
        match (state, after) {
            (Some(JobState::Cancelled), Some(after)) => {
                findings.met(Topic::CancelInitialized, format!("CANCELLED {after}"));
            }
            (Some(JobState::Cancelled), None) => {
                let seen = "CANCELLED, though the cancel's answer is unknown";
                findings.met(Topic::CancelInitialized, seen);
            }
            (_, None) => findings
                .not_seen(Topic::CancelInitialized, "the cancel is answered with a server error"),
            (state, Some(after)) => {
                let seen = match state {
                    Some(state) => format!("still {} {after}", state.as_str()),
                    None => format!("not reported {after}"),
                };
                if waited.is_some_and(|waited| waited > self.cancelled_within) {
                    findings.not_met(Topic::CancelInitialized, seen);
                } else {
                    findings.not_seen(Topic::CancelInitialized, seen);
                }
            }
        }
    }

    /// The job's state; `None` if it is not reported.
    async fn state_of(&self, id: &str) -> Result<Option<JobState>, CallError> {
        let answer = self.api.jobs(&[id]).await?;
        match (answer.job(id), answer.error()) {
            (Some(record), _) => Ok(Some(read_job(record)?.state)),
            (None, Some(error)) if !answer.is_own_404() => {
                Err(anyhow!("the API answers a query with {error}").into())
            }
            (None, _) => Ok(None),
        }
    }
}
