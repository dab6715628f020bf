//! A job's record, and the state that follows from it at a given time.
//!
//! The names of the states are written again here rather than taken from the functions' code, so
//! that a mistake in those fails a test.

use super::clock::later;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Records are kept for 30 days, the least that the Batch API's documentation promises; then a job
/// is archived.
pub(super) const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The states a job passes through between its upload and its completion, each for an equal share
/// of the job's time.
const ON_THE_WAY: [JobState; 6] = [
    JobState::Queued,
    JobState::Preprocessing,
    JobState::Preprocessed,
    JobState::Submitted,
    JobState::Postprocessing,
    JobState::Postprocessed,
];

/// The state of a batch job, as in the Batch API's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// The protobuf zero value; no job is ever in it.
    Unspecified,
    /// The input file was refused.
    Error,
    /// Created, and waiting for its file.
    Initialized,
    /// Its file is there.
    Queued,
    /// The file is being prepared and validated.
    Preprocessing,
    /// The file was found valid.
    Preprocessed,
    /// Being evaluated.
    Submitted,
    /// Results are being compiled.
    Postprocessing,
    /// Results are compiled.
    Postprocessed,
    Completed,
    /// Stopped on request.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 11] = [
        Self::Unspecified,
        Self::Error,
        Self::Initialized,
        Self::Queued,
        Self::Preprocessing,
        Self::Preprocessed,
        Self::Submitted,
        Self::Postprocessing,
        Self::Postprocessed,
        Self::Completed,
        Self::Cancelled,
    ];

    /// The name of the state on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "BATCH_JOB_STATE_UNSPECIFIED",
            Self::Error => "BATCH_JOB_STATE_ERROR",
            Self::Initialized => "BATCH_JOB_STATE_INITIALIZED",
            Self::Queued => "BATCH_JOB_STATE_QUEUED",
            Self::Preprocessing => "BATCH_JOB_STATE_PREPROCESSING",
            Self::Preprocessed => "BATCH_JOB_STATE_PREPROCESSED",
            Self::Submitted => "BATCH_JOB_STATE_SUBMITTED",
            Self::Postprocessing => "BATCH_JOB_STATE_POSTPROCESSING",
            Self::Postprocessed => "BATCH_JOB_STATE_POSTPROCESSED",
            Self::Completed => "BATCH_JOB_STATE_COMPLETED",
            Self::Cancelled => "BATCH_JOB_STATE_CANCELLED",
        }
    }

    /// The state with this name on the wire.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a job stays in this state for good.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Cancelled)
    }
}

/// What became of a job's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// Every row was looked at, and the output is there.
    Evaluated { rows: u64, at: Timestamp },
    /// The input is not what the documentation asks for.
    Refused { message: String, at: Timestamp },
}

/// A job, as it is kept on disk. Its state is not: it follows from these and the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) policy_id: String,
    /// Kept for tests to see; the sandbox calls nobody.
    pub(super) webhook_url: Option<String>,
    pub(super) created_at: Timestamp,
    /// When the first upload was complete.
    pub(super) started_at: Option<Timestamp>,
    /// From then to completion; of the job, so that a restart with another setting changes no job
    /// in flight.
    pub(super) takes: SignedDuration,
    pub(super) uploads: u32,
    pub(super) cancelled_at: Option<Timestamp>,
    pub(super) outcome: Option<Outcome>,
    pub(super) fetches: u32,
    /// Whether this process is at work on it.
    #[serde(skip)]
    pub(super) evaluating: bool,
}

/// What its creator says of a job, and how long it will take.
pub(super) struct NewJob {
    pub(super) name: String,
    pub(super) policy_id: String,
    pub(super) webhook_url: Option<String>,
    pub(super) takes: SignedDuration,
}

impl Job {
    pub(super) fn new(id: String, new: NewJob, created_at: Timestamp) -> Self {
        let NewJob { name, policy_id, webhook_url, takes } = new;
        Self {
            id,
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
        }
    }

    /// The job's state, and since when it has been in it.
    pub(super) fn state(&self, now: Timestamp) -> (JobState, Timestamp) {
        if let Some(at) = self.cancelled_at {
            return (JobState::Cancelled, at);
        }
        let Some(started) = self.started_at else {
            return (JobState::Initialized, self.created_at);
        };
        let step = self.step(started, now);
        let end_of =
            |steps: usize| later(started, self.share() * i32::try_from(steps).unwrap_or(i32::MAX));
        match &self.outcome {
            // The file is validated while it is PREPROCESSING.
            Some(Outcome::Refused { at, .. }) if step >= 2 => (JobState::Error, end_of(2).max(*at)),
            Some(Outcome::Evaluated { at, .. }) if step >= ON_THE_WAY.len() => {
                (JobState::Completed, end_of(ON_THE_WAY.len()).max(*at))
            }
            // Its time may be over before its results exist: then they are still being compiled.
            _ => {
                let step = step.min(ON_THE_WAY.len() - 1);
                (ON_THE_WAY[step], end_of(step))
            }
        }
    }

    /// When the job leaves the queue and its file is read, if it is still to be.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let waits = self.cancelled_at.is_none() && self.outcome.is_none() && !self.evaluating;
        self.started_at.filter(|_| waits).map(|started| later(started, self.share()))
    }

    /// Whether a file uploaded now is the one the job will work on.
    pub(super) fn takes_input(&self, now: Timestamp) -> bool {
        let waits = self.cancelled_at.is_none() && self.outcome.is_none() && !self.evaluating;
        waits && self.started_at.is_none_or(|started| self.step(started, now) == 0)
    }

    /// Whether the vendor would have forgotten the job.
    pub(super) fn archived(&self, now: Timestamp) -> bool {
        now.duration_since(self.created_at) > KEPT_FOR
    }

    /// The job as a test or a summary sees it.
    pub(super) fn summary(&self, now: Timestamp) -> JobSummary {
        JobSummary {
            id: self.id.clone(),
            name: self.name.clone(),
            policy_id: self.policy_id.clone(),
            webhook_url: self.webhook_url.clone(),
            state: self.state(now).0,
            created_at: self.created_at,
            uploads: self.uploads,
            rows: match self.outcome {
                Some(Outcome::Evaluated { rows, .. }) => Some(rows),
                _ => None,
            },
            started: self.started_at.is_some(),
            fetches: self.fetches,
        }
    }

    fn share(&self) -> SignedDuration {
        self.takes / i32::try_from(ON_THE_WAY.len()).unwrap_or(1)
    }

    fn step(&self, started: Timestamp, now: Timestamp) -> usize {
        let passed = now.duration_since(started).as_nanos().max(0);
        match self.share().as_nanos() {
            0 => ON_THE_WAY.len(),
            share => usize::try_from(passed / share)
                .map_or(ON_THE_WAY.len(), |step| step.min(ON_THE_WAY.len())),
        }
    }
}

/// A job as the sandbox sees it, for tests and summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    pub id: String,
    /// The name its creator gave it.
    pub name: String,
    pub policy_id: String,
    /// Which URL its creator wanted called.
    pub webhook_url: Option<String>,
    pub state: JobState,
    /// When it was created, by the sandbox's clock.
    pub created_at: Timestamp,
    /// How many complete uploads were accepted, also those that came too late to count.
    pub uploads: u32,
    /// How many rows it evaluated; `None` before it has.
    pub rows: Option<u64>,
    /// Whether an upload started it.
    pub started: bool,
    /// How often its output was requested with a valid URL.
    pub fetches: u32,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn job() -> Job {
        let takes = SignedDuration::from_hours(6);
        let new = NewJob { name: "n".into(), policy_id: "p".into(), webhook_url: None, takes };
        Job::new("j".into(), new, Timestamp::UNIX_EPOCH)
    }

    fn hour(hours: i64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, SignedDuration::from_hours(hours))
    }

    #[test]
    fn every_name_is_read_back() {
        for state in JobState::ALL {
            assert_eq!(JobState::named(state.name()), Some(state));
        }
        assert_eq!(JobState::named("COMPLETED"), None);
    }

    #[test]
    fn each_state_lasts_its_share() {
        let mut job = job();
        assert_eq!(job.state(hour(9)), (JobState::Initialized, hour(0)));
        job.started_at = Some(hour(1));
        for (step, state) in (0..).zip(ON_THE_WAY) {
            assert_eq!(job.state(hour(1 + step)), (state, hour(1 + step)));
        }
        assert_eq!(job.due(), Some(hour(2)));
        assert!(job.takes_input(hour(1)) && !job.takes_input(hour(2)));
    }

    #[test]
    fn completed_only_with_its_output() {
        let mut job = job();
        job.started_at = Some(hour(0));
        assert_eq!(job.state(hour(99)), (JobState::Postprocessed, hour(5)));
        job.outcome = Some(Outcome::Evaluated { rows: 1, at: hour(1) });
        assert_eq!(job.state(hour(5)).0, JobState::Postprocessed);
        assert_eq!(job.state(hour(6)), (JobState::Completed, hour(6)));
    }

    #[test]
    fn refused_once_preprocessed() {
        let mut job = job();
        job.started_at = Some(hour(0));
        job.outcome = Some(Outcome::Refused { message: "no rows".into(), at: hour(1) });
        assert_eq!(job.state(hour(1)).0, JobState::Preprocessing);
        assert_eq!(job.state(hour(2)), (JobState::Error, hour(2)));
    }

    #[test]
    fn a_job_of_no_time_is_done_when_evaluated() {
        let mut job = job();
        job.takes = SignedDuration::ZERO;
        job.started_at = Some(hour(0));
        assert_eq!(job.state(hour(0)).0, JobState::Postprocessed);
        job.outcome = Some(Outcome::Evaluated { rows: 1, at: hour(0) });
        assert_eq!(job.state(hour(0)).0, JobState::Completed);
    }
}
