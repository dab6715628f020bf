//! What becomes of a part, by its record and by what the API says of its job. Values in, a decision out.
//!
//! The API is a stranger: what it reports is used, what it leaves out is not proof. The table says what becomes of a part whose
//! job the API reports so; "sent" is a part whose upload began, since it may have taken effect whatever was answered.
//!
//! | job | CREATED, nothing sent | sent: CREATED, UPLOADED | ABANDONING, nothing sent | ABANDONING, sent | COMPLETED |
//! |---|---|---|---|---|---|
//! | INITIALIZED | claimed once the URL has long run out | after 1 h not started, after 3 h repeated once, 24 h after the URL's life claimed once | cancelled; planned again after 1 h | cancelled | |
//! | started | UPLOADED | UPLOADED | UPLOADED | UPLOADED | |
//! | COMPLETED, with a URL | COMPLETED | COMPLETED | COMPLETED | COMPLETED | |
//! | CANCELLED | FAILED within the URL's life; else claimed, twice at most | FAILED | planned again | planned again | FAILED |
//! | ERROR | FAILED with a code; without one claimed, twice at most | FAILED | FAILED with a code; else planned again | FAILED | FAILED |
//! | absent for 24 h | claimed, twice at most | FAILED, lost | planned again after 1 h | FAILED, lost | FAILED, lost |
//! | nothing said | claimed once the URL has long run out | | planned again after 1 h | | |
//! | not reported in 35 days | | FAILED, lost | | FAILED, lost | FAILED, lost |
//!
//! A claim is safe: nothing is uploaded to a claimed part's job, and a part is claimed with nothing sent only under the condition
//! that no upload began (`Ledger::abandon`).

use crate::job::{Job, JobState, OVERDUE_AFTER, UPLOAD_URL_LIFE, UPLOAD_URL_USED_FOR};
use crate::part::{NotStarted, PartFailure, PartRecord, PartState};
use jiff::{SignedDuration, Timestamp};

/// From when on a job to which nothing was sent is given up: half an hour after its upload URL has run out.
pub const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(4 * 60 + 30);
/// From when on a job that has its rows and does not start is a problem.
const NOT_STARTED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// From when on its rows are uploaded once more, if the URL is still good.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_hours(3);
/// The age from which a job that has its rows and never started is cancelled, for the part to have another: 24 hours after its
/// URL's life of 4. Every upload to it has ended by then, however often it was begun again, and is 24 hours old: a job that
/// started is reported as started.
pub const NEVER_STARTED_AFTER: SignedDuration = SignedDuration::from_hours(4 + 24);
/// How long a claimed job to which nothing was sent is waited for before the part has another.
pub const UNSENT_CANCEL_PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// How many jobs of a part may end before anything was sent to them.
pub const ENDED_UNSENT: u32 = 2;
/// How often a part is planned again after an upload began.
pub const REPLANS: u32 = 1;
/// For how long after the first request in vain it is asked for before that counts.
pub const OVERDUE_PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// How many intervals of poll one absence adds at most: ticks that were missed are no absence.
const MOST_INTERVALS: i32 = 4;

/// What the API says of a job in a tick.
#[derive(Debug, Clone)]
pub enum JobAnswer {
    /// It reports it.
    Job(Box<Job>),
    /// It leaves it out of an answer that counts: one to a request for it alone or with the witness, in a tick in which it
    /// reported at least one job of ours.
    Absent,
    /// It was asked, and said nothing that counts.
    Nothing,
}

/// What else a decision takes into account.
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
    /// Nothing.
    Nothing,
    /// Record the job's state, and what it makes of the part.
    Record(JobChange),
    /// Record a state that changes nothing: one we have never heard of, or the one after it.
    NoteState(JobState),
    /// Record for how many seconds in all the job has been absent.
    NoteAbsent(u64),
    /// Record that the job is reported again.
    NoteReported,
    /// Record that a job older than the API keeps any was asked for in vain.
    NoteOverdue,
    /// The job is lost: its rows end as missing.
    Lose(PartFailure),
    /// Claim the part, to cancel its job.
    Abandon {
        /// The job has ended by itself, with nothing sent to it.
        ended: bool,
    },
    /// The part is claimed: cancel its job.
    Cancel,
    /// The claimed job will get no rows, or is cancelled: the part may have another.
    PlanAgain,
    /// The job has its rows and does not start: record that, and say so.
    NoteNotStarted(NotStarted),
    /// And have its rows uploaded once more.
    Repeat(NotStarted),
    /// The job of a COMPLETED part has ended otherwise before its results were fetched.
    Fail(JobFailure),
}

/// What the API says of a job, and what it makes of the part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChange {
    /// The job's state.
    pub job: JobState,
    /// The part's, if it changes.
    pub state: Option<PartState>,
    /// Why the part fails, if it does.
    pub failure: Option<PartFailure>,
}

/// How a job ended that gave no results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The job's state.
    pub job: JobState,
    /// Why the part fails.
    pub failure: PartFailure,
}

/// Decides about a part whose job was asked for.
pub fn decide(part: &PartRecord, answer: &JobAnswer, when: &When) -> Action {
    match answer {
        JobAnswer::Job(job) => reported(part, job, when),
        JobAnswer::Absent => absent(part, when),
        JobAnswer::Nothing => untold(part, when),
    }
}

/// The API said nothing that counts. What was never sent, and no longer can be, waits for no answer: an API that knows no other job of
/// ours may never say that it knows this one no more.
fn untold(part: &PartRecord, when: &When) -> Action {
    match part.state {
        _ if part.may_be_sent() => overdue(part, when).unwrap_or(Action::Nothing),
        PartState::Created if is_given_up(part, when) => Action::Abandon { ended: false },
        PartState::Abandoning if is_waited_for(part, when) => Action::PlanAgain,
        _ => Action::Nothing,
    }
}

fn reported(part: &PartRecord, job: &Job, when: &When) -> Action {
    let further = job.state.rank() > part.job_rank;
    let fed = part.may_be_sent();
    match (&job.state, part.state) {
        (JobState::Error | JobState::Cancelled, PartState::Completed) => {
            Action::Fail(JobFailure { job: job.state.clone(), failure: failure(job) })
        }
        (_, PartState::Completed) => still_reported(part, job),
        (JobState::Cancelled, PartState::Abandoning) if !fed || part.replans < REPLANS => Action::PlanAgain,
        (JobState::Cancelled, PartState::Created) if !fed && is_url_over(part, when) && part.ended_unsent < ENDED_UNSENT => {
            Action::Abandon { ended: true }
        }
        (JobState::Error, PartState::Abandoning) if !fed && !has_code(job) => Action::PlanAgain,
        (JobState::Error, PartState::Created) if !fed && !has_code(job) && part.ended_unsent < ENDED_UNSENT => {
            Action::Abandon { ended: true }
        }
        (JobState::Error | JobState::Cancelled, _) if further => record(job, Some(PartState::Failed), Some(failure(job))),
        // Reported again: the absence is over before anything else is done, or it would run on into the next one.
        (JobState::Initialized, _) if is_absent(part) => Action::NoteReported,
        // What was never sent waits for no answer of the API: nor for a state that we do not know.
        (state, PartState::Abandoning) if !fed && !state.is_started() && is_waited_for(part, when) => Action::PlanAgain,
        (state, PartState::Abandoning) if !fed && !state.is_started() => Action::Cancel,
        (state, PartState::Created) if !fed && !state.is_started() && is_given_up(part, when) => {
            Action::Abandon { ended: false }
        }
        (JobState::Initialized, PartState::Abandoning) => Action::Cancel,
        // Of a job that was seen started this is an old answer.
        (JobState::Initialized, PartState::Created | PartState::Uploaded) if fed && !has_started(part) => {
            not_started(part, job, when)
        }
        // Completed without a URL of results is not completed yet.
        (JobState::Completed, _) if job.output_file_url.is_none() => still_reported(part, job),
        (JobState::Completed, _) if further => record(job, Some(PartState::Completed), None),
        // Started, though our record says that nothing was sent, or even that it is being given up: the upload took effect.
        (state, PartState::Created | PartState::Abandoning) if state.is_started() && further => {
            record(job, Some(PartState::Uploaded), None)
        }
        _ if further => record(job, None, None),
        _ => still_reported(part, job),
    }
}

/// A job that has its rows, and is reported as waiting for them.
fn not_started(part: &PartRecord, job: &Job, when: &When) -> Action {
    let began = part.upload_began_at.or(part.uploaded_at).or(part.created_at);
    let waited = age(began, when);
    let none_started = began.is_some_and(|began| when.started_at.is_none_or(|started| started < began));
    let since = part.not_started.map_or(when.now, |known| known.since);
    let problem = NotStarted { since, none_started };
    let repeats = part.state == PartState::Uploaded
        && !none_started
        && part.repeat_due_at.is_none()
        && part.upload_url.is_some()
        && age(part.created_at, when) < UPLOAD_URL_USED_FOR;
    match () {
        () if age(part.created_at, when) >= NEVER_STARTED_AFTER && part.replans < REPLANS => Action::Abandon { ended: false },
        () if waited >= REPEATED_AFTER && repeats => Action::Repeat(problem),
        () if waited >= NOT_STARTED_AFTER && part.not_started != Some(problem) => Action::NoteNotStarted(problem),
        () if job.state.rank() > part.job_rank => record(job, None, None),
        () => still_reported(part, job),
    }
}

fn absent(part: &PartRecord, when: &When) -> Action {
    if let Some(overdue) = overdue(part, when) {
        return overdue;
    }
    let fed = part.may_be_sent();
    match part.state {
        // A job that may yet get its rows: that the API does not report it matters once it no longer may.
        PartState::Created if !fed && !is_given_up(part, when) => return Action::Nothing,
        PartState::Abandoning if !fed && is_waited_for(part, when) => return Action::PlanAgain,
        _ => {}
    }
    let most = when.poll_every.checked_mul(MOST_INTERVALS).unwrap_or(when.lost_after);
    let step = part.absent_at.map_or(SignedDuration::ZERO, |at| when.now.duration_since(at));
    let step = step.clamp(SignedDuration::ZERO, most);
    let seconds = part.absent_seconds + step.as_secs().unsigned_abs();
    if seconds < when.lost_after.as_secs().unsigned_abs() {
        return Action::NoteAbsent(seconds);
    }
    match part.state {
        PartState::Created | PartState::Abandoning if !fed && part.ended_unsent < ENDED_UNSENT => match part.state {
            PartState::Created => Action::Abandon { ended: true },
            _ => Action::PlanAgain,
        },
        _ => Action::Lose(lost(format!("the API has not reported the job for {} hours", seconds / 3600))),
    }
}

/// What becomes of a part whose job is older than the API keeps any, and was asked for in vain.
fn overdue(part: &PartRecord, when: &When) -> Option<Action> {
    if !part.may_be_sent() || age(part.created_at, when) < OVERDUE_AFTER {
        return None;
    }
    match part.overdue_at {
        None => Some(Action::NoteOverdue),
        Some(at) if when.now.duration_since(at) >= OVERDUE_PATIENCE => {
            let days = OVERDUE_AFTER.as_hours() / 24;
            Some(Action::Lose(lost(format!("the job is over {days} days old, and the API no longer reports it"))))
        }
        Some(_) => None,
    }
}

fn lost(reason: String) -> PartFailure {
    PartFailure { lost: true, reason }
}

fn age(since: Option<Timestamp>, when: &When) -> SignedDuration {
    since.map_or(SignedDuration::ZERO, |since| when.now.duration_since(since))
}

fn is_given_up(part: &PartRecord, when: &When) -> bool {
    age(part.created_at, when) > GIVEN_UP_AFTER
}

fn is_url_over(part: &PartRecord, when: &When) -> bool {
    age(part.created_at, when).unsigned_abs() >= UPLOAD_URL_LIFE
}

fn has_started(part: &PartRecord) -> bool {
    part.job_rank >= JobState::Queued.rank()
}

fn is_waited_for(part: &PartRecord, when: &When) -> bool {
    age(part.abandoned_at, when) >= UNSENT_CANCEL_PATIENCE
}

fn is_absent(part: &PartRecord) -> bool {
    part.absent_at.is_some() || part.overdue_at.is_some()
}

fn has_code(job: &Job) -> bool {
    job.error.as_ref().is_some_and(|error| error.is_coded())
}

fn failure(job: &Job) -> PartFailure {
    let message = job.error.as_ref().and_then(|e| e.message());
    let what = if job.state == JobState::Error { "the job failed" } else { "the job was cancelled" };
    let reason = message.map_or_else(|| what.to_owned(), |message| format!("{what}: {message}"));
    PartFailure { lost: false, reason }
}

fn record(job: &Job, state: Option<PartState>, failure: Option<PartFailure>) -> Action {
    Action::Record(JobChange { job: job.state.clone(), state, failure })
}

/// The job is reported, and is no further than it was.
fn still_reported(part: &PartRecord, job: &Job) -> Action {
    let unheard = |state: &JobState| matches!(state, JobState::Unknown(_));
    let back = part.job_state.as_ref().is_some_and(unheard) && job.state.rank() == part.job_rank;
    match () {
        () if is_absent(part) => Action::NoteReported,
        () if part.job_state.as_ref() != Some(&job.state) && (unheard(&job.state) || back) => {
            Action::NoteState(job.state.clone())
        }
        () => Action::Nothing,
    }
}

#[cfg(test)]
mod tests;
