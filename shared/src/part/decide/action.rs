//! What is known of a job, and what is decided about its part.

use crate::job::{Job, JobState, Provenance};
use crate::part::{NotStarted, PartFailure, PartState};
use jiff::{SignedDuration, Timestamp};

/// The API's answer about a job in one tick.
#[derive(Debug, Clone)]
pub enum JobAnswer {
    /// The API reports the job.
    Job(Box<Job>),
    /// The API left it out of an answer that counts: the request was for it alone or with the
    /// witness, and the API reported at least one job of ours in the tick.
    Absent,
    /// The API gave no answer that counts.
    Nothing,
}

/// The times that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// The tick's time.
    pub now: Timestamp,
    /// The time from one tick to the next.
    pub poll_every: SignedDuration,
    /// How long a job has to be absent to be lost.
    pub lost_after: SignedDuration,
    /// When a job of the stack was last seen to have started.
    pub started_at: Option<Timestamp>,
}

/// What to do about a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Do nothing.
    Nothing,
    /// Record the job's state and the part's.
    Record(JobChange),
    /// Record a job's state that changes nothing: an unknown one, or the known one after it.
    NoteState(JobState),
    /// Record for how many seconds in total the job has been absent.
    NoteAbsent(u64),
    /// Record that the job is reported again.
    NoteReported,
    /// Record that the API did not report a job at an age at which it no longer has to keep it.
    NoteOverdue,
    /// The job is lost: its rows end as missing.
    Lose(PartFailure),
    /// Claim the part in order to cancel its job.
    Abandon {
        /// The job has ended by itself, with nothing sent to it.
        ended: bool,
    },
    /// The part is claimed: cancel its job.
    Cancel,
    /// The claimed job will get no rows, or is cancelled: the part gets another.
    PlanAgain,
    /// The job has its rows and does not start: record and report that.
    NoteNotStarted(NotStarted),
    /// As [`Action::NoteNotStarted`], and upload its rows once more.
    Repeat(NotStarted),
    /// The job of a COMPLETED part failed or was cancelled before its results were fetched.
    Fail(JobFailure),
    /// The user cancelled the part: ask the API to cancel its job.
    CancelOnRequest,
    /// The user cancelled the part, and it ends: nothing was sent, or a day has passed.
    FailCancelled,
}

/// A job's new state, and the part's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChange {
    /// The job's state.
    pub job: JobState,
    /// The part's new state, if it changes.
    pub state: Option<PartState>,
    /// Why the part fails, if it does.
    pub failure: Option<PartFailure>,
    /// By what the job was judged.
    pub provenance: Option<Provenance>,
}

/// A job that ended without results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The job's state.
    pub job: JobState,
    /// Why the part fails.
    pub failure: PartFailure,
}

impl Action {
    /// Records a job's state, and what it makes of the part.
    pub(super) fn record(
        job: &Job,
        state: Option<PartState>,
        failure: Option<PartFailure>,
    ) -> Action {
        let provenance = job.provenance();
        Action::Record(JobChange { job: job.state.clone(), state, failure, provenance })
    }
}
