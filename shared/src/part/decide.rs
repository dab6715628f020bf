//! Decides what to do about a part from its record and the API's answer about its job. Values in, a
//! decision out.
//!
//! What the API reports is used; what it leaves out proves nothing. The table has a row for each
//! answer and a column for each state. A part is "sent" if an upload began: it may have taken
//! effect, whatever the answer to it.
//!
//! | job | CREATED, nothing sent | sent: CREATED, UPLOADED | ABANDONING, nothing sent | ABANDONING, sent | COMPLETED |
//! |---|---|---|---|---|---|
//! | INITIALIZED | claimed half an hour after the URL expired | after 1 h not started, after 3 h repeated once, 24 h after the URL expired claimed once | cancelled; planned again after 1 h | cancelled | |
//! | started | UPLOADED | UPLOADED | UPLOADED | UPLOADED | |
//! | COMPLETED, with a URL | COMPLETED | COMPLETED | COMPLETED | COMPLETED | |
//! | CANCELLED | FAILED before the URL expires; else claimed, at most twice | FAILED | planned again | planned again | FAILED |
//! | ERROR | FAILED with a code; without one claimed, at most twice | FAILED | FAILED with a code; else planned again | FAILED | FAILED |
//! | absent for 24 h | claimed, at most twice | FAILED, lost | planned again after 1 h | FAILED, lost | FAILED, lost |
//! | no answer that counts | claimed half an hour after the URL expired | | planned again after 1 h | | |
//! | not reported in 35 days | | FAILED, lost | | FAILED, lost | FAILED, lost |
//!
//! A part that the user cancelled is decided like any other, and then by `cancelled`: it gets no
//! other job, its job is cancelled, and after a day it ends in any case.
//!
//! A claim is safe: nothing is uploaded to the job of a claimed part, and a part to which nothing
//! was sent is claimed only on the condition that no upload began (`Ledger::abandon`).

mod action;
mod cancelled;

pub use action::{Action, JobAnswer, JobChange, JobFailure, When};
pub use cancelled::CANCEL_PATIENCE;

use crate::job::{Job, JobState, OVERDUE_AFTER, UPLOAD_URL_LIFE, UPLOAD_URL_USED_FOR};
use crate::part::{NotStarted, PartFailure, PartRecord, PartState};
use cancelled::Cancelled;
use jiff::{SignedDuration, Timestamp};

/// The age from which a job to which nothing was sent is given up: half an hour after its upload
/// URL expired.
pub const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(4 * 60 + 30);
/// How long after the upload a job that does not start is a problem.
const NOT_STARTED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// How long after the upload its rows are uploaded once more, if the URL is still valid.
const REPEATED_AFTER: SignedDuration = SignedDuration::from_hours(3);
/// The age from which a job that has its rows and never started is cancelled and replaced: 24 hours
/// after its URL expired at the age of 4. Every upload to it ended at least 24 hours ago by then,
/// so if the job had started, the API would report that.
pub const NEVER_STARTED_AFTER: SignedDuration = SignedDuration::from_hours(4 + 24);
/// How long after the claim a part to which nothing was sent waits for its job to be cancelled,
/// before it gets another.
pub const UNSENT_CANCEL_PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// How many jobs of a part may end before rows were sent to them.
pub const ENDED_UNSENT: u32 = 2;
/// How often a part is planned again after an upload began.
pub const REPLANS: u32 = 1;
/// How long after the first answer without it an overdue job is lost.
pub const OVERDUE_PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// One absence adds at most this many intervals of poll: missed ticks are no absence.
const MOST_INTERVALS: i32 = 4;

/// Decides about a part from the answer about its job.
pub fn decide(part: &PartRecord, answer: &JobAnswer, when: &When) -> Action {
    let action = match answer {
        JobAnswer::Job(job) => reported(part, job, when),
        JobAnswer::Absent => absent(part, when),
        JobAnswer::Nothing => unanswered(part, when),
    };
    match part.cancelled_at {
        Some(at) => cancelled::decide(&Cancelled { part, answer, at, now: when.now }, action),
        None => action,
    }
}

/// No answer counts. A part to which nothing was sent, and to which nothing can be sent any more,
/// does not wait for one: an API that has no other job of ours may never give one.
fn unanswered(part: &PartRecord, when: &When) -> Action {
    match part.state {
        _ if part.may_be_sent() => overdue(part, when).unwrap_or(Action::Nothing),
        PartState::Created if is_given_up(part, when) => Action::Abandon { ended: false },
        PartState::Abandoning if has_waited_for_cancel(part, when) => Action::PlanAgain,
        _ => Action::Nothing,
    }
}

fn reported(part: &PartRecord, job: &Job, when: &When) -> Action {
    let further = job.state.rank() > part.job_rank;
    let sent = part.may_be_sent();
    match (&job.state, part.state) {
        (JobState::Error | JobState::Cancelled, PartState::Completed) => {
            Action::Fail(JobFailure { job: job.state.clone(), failure: failure(job) })
        }
        (_, PartState::Completed) => still_reported(part, job),
        (JobState::Cancelled, PartState::Abandoning) if !sent || part.replans < REPLANS => {
            Action::PlanAgain
        }
        (JobState::Cancelled, PartState::Created)
            if !sent && is_url_expired(part, when) && part.ended_unsent < ENDED_UNSENT =>
        {
            Action::Abandon { ended: true }
        }
        (JobState::Error, PartState::Abandoning) if !sent && !has_code(job) => Action::PlanAgain,
        (JobState::Error, PartState::Created)
            if !sent && !has_code(job) && part.ended_unsent < ENDED_UNSENT =>
        {
            Action::Abandon { ended: true }
        }
        (JobState::Error | JobState::Cancelled, _) if further => {
            Action::record(job, Some(PartState::Failed), Some(failure(job)))
        }
        // Reported again: end the absence before anything else, or the next one would be added to
        // it.
        (JobState::Initialized, _) if is_absent(part) => Action::NoteReported,
        // A part to which nothing was sent waits for no answer, and for no state that we do not
        // know.
        (state, PartState::Abandoning)
            if !sent && !state.is_started() && has_waited_for_cancel(part, when) =>
        {
            Action::PlanAgain
        }
        (state, PartState::Abandoning) if !sent && !state.is_started() => Action::Cancel,
        (state, PartState::Created) if !sent && !state.is_started() && is_given_up(part, when) => {
            Action::Abandon { ended: false }
        }
        (JobState::Initialized, PartState::Abandoning) => Action::Cancel,
        // About a job that has started, this is an old answer.
        (JobState::Initialized, PartState::Created | PartState::Uploaded)
            if sent && !has_started(part) =>
        {
            not_started(part, job, when)
        }
        // Without a URL for its results, a job is not completed yet.
        (JobState::Completed, _) if job.output_file_url.is_none() => still_reported(part, job),
        (JobState::Completed, _) if further => {
            Action::record(job, Some(PartState::Completed), None)
        }
        // It has started, although the record says that nothing was sent, or that it is being given
        // up: the upload took effect.
        (state, PartState::Created | PartState::Abandoning) if state.is_started() && further => {
            Action::record(job, Some(PartState::Uploaded), None)
        }
        _ if further => Action::record(job, None, None),
        _ => still_reported(part, job),
    }
}

/// A job that should have its rows, and is reported as waiting for them.
fn not_started(part: &PartRecord, job: &Job, when: &When) -> Action {
    let began = part.upload_began_at.or(part.uploaded_at).or(part.created_at);
    let waited = age(began, when);
    let none_started =
        began.is_some_and(|began| when.started_at.is_none_or(|started| started < began));
    let since = part.not_started.map_or(when.now, |noted| noted.since);
    let problem = NotStarted { since, none_started };
    let repeats = part.state == PartState::Uploaded
        && !none_started
        && part.repeat_due_at.is_none()
        && part.upload_url.is_some()
        && age(part.created_at, when) < UPLOAD_URL_USED_FOR;
    match () {
        () if age(part.created_at, when) >= NEVER_STARTED_AFTER && part.replans < REPLANS => {
            Action::Abandon { ended: false }
        }
        () if waited >= REPEATED_AFTER && repeats => Action::Repeat(problem),
        () if waited >= NOT_STARTED_AFTER && part.not_started != Some(problem) => {
            Action::NoteNotStarted(problem)
        }
        () if job.state.rank() > part.job_rank => Action::record(job, None, None),
        () => still_reported(part, job),
    }
}

fn absent(part: &PartRecord, when: &When) -> Action {
    if let Some(overdue) = overdue(part, when) {
        return overdue;
    }
    let sent = part.may_be_sent();
    match part.state {
        // Rows may still be sent to the job: its absence matters only when they no longer may.
        PartState::Created if !sent && !is_given_up(part, when) => return Action::Nothing,
        PartState::Abandoning if !sent && has_waited_for_cancel(part, when) => {
            return Action::PlanAgain;
        }
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
        PartState::Created | PartState::Abandoning if !sent && part.ended_unsent < ENDED_UNSENT => {
            match part.state {
                PartState::Created => Action::Abandon { ended: true },
                _ => Action::PlanAgain,
            }
        }
        _ => Action::Lose(lost(format!(
            "the API has not reported the job for {} hours",
            seconds / 3600
        ))),
    }
}

/// The action for a part whose job is not reported at an age at which the API no longer has to keep
/// it.
fn overdue(part: &PartRecord, when: &When) -> Option<Action> {
    if !part.may_be_sent() || age(part.created_at, when) < OVERDUE_AFTER {
        return None;
    }
    match part.overdue_at {
        None => Some(Action::NoteOverdue),
        Some(at) if when.now.duration_since(at) >= OVERDUE_PATIENCE => {
            let days = OVERDUE_AFTER.as_hours() / 24;
            Some(Action::Lose(lost(format!(
                "the job is over {days} days old, and the API no longer reports it"
            ))))
        }
        Some(_) => None,
    }
}

fn lost(reason: String) -> PartFailure {
    PartFailure::lost(reason)
}

fn age(since: Option<Timestamp>, when: &When) -> SignedDuration {
    since.map_or(SignedDuration::ZERO, |since| when.now.duration_since(since))
}

fn is_given_up(part: &PartRecord, when: &When) -> bool {
    age(part.created_at, when) > GIVEN_UP_AFTER
}

fn is_url_expired(part: &PartRecord, when: &When) -> bool {
    age(part.created_at, when).unsigned_abs() >= UPLOAD_URL_LIFE
}

fn has_started(part: &PartRecord) -> bool {
    part.job_rank >= JobState::Queued.rank()
}

fn has_waited_for_cancel(part: &PartRecord, when: &When) -> bool {
    age(part.abandoned_at, when) >= UNSENT_CANCEL_PATIENCE
}

fn is_absent(part: &PartRecord) -> bool {
    part.absent_at.is_some() || part.overdue_at.is_some()
}

fn has_code(job: &Job) -> bool {
    job.error.as_ref().is_some_and(|error| error.is_coded())
}

fn failure(job: &Job) -> PartFailure {
    let message = job.error.as_ref().and_then(|error| error.message());
    let what =
        if job.state == JobState::Error { "the job failed" } else { "the job was cancelled" };
    let reason = message.map_or_else(|| what.to_owned(), |message| format!("{what}: {message}"));
    PartFailure::failed(reason)
}

/// The job is reported, and is no further along than recorded.
fn still_reported(part: &PartRecord, job: &Job) -> Action {
    let unknown = |state: &JobState| matches!(state, JobState::Unknown(_));
    let known_again =
        part.job_state.as_ref().is_some_and(unknown) && job.state.rank() == part.job_rank;
    match () {
        () if is_absent(part) => Action::NoteReported,
        () if part.job_state.as_ref() != Some(&job.state)
            && (unknown(&job.state) || known_again) =>
        {
            Action::NoteState(job.state.clone())
        }
        () => Action::Nothing,
    }
}

#[cfg(test)]
mod tests;
