//! What a part's cancellation changes of a decision.

use super::action::{Action, JobAnswer, JobChange};
use crate::job::{Job, JobState};
use crate::part::{PartFailure, PartRecord, PartState};
use jiff::{SignedDuration, Timestamp};

/// How long after the user's request a cancelled part waits for its job to end.
pub const CANCEL_PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// How long after it asked the API to cancel such a job, poll asks again.
const CANCEL_REPEATED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// A part that the user cancelled, and the answer about its job.
#[derive(Clone, Copy)]
pub(super) struct Cancelled<'a> {
    pub(super) part: &'a PartRecord,
    pub(super) answer: &'a JobAnswer,
    /// When it was cancelled.
    pub(super) at: Timestamp,
    pub(super) now: Timestamp,
}

/// The decision about a cancelled part that would get `action` if it was not.
///
/// Results that come all the same are taken, and a job that failed keeps its reason. Otherwise the
/// part fails: at once if nothing was sent, when its job is cancelled, or after a day; one whose job
/// has completed only if the API cannot be asked for it. Held results stay held.
pub(super) fn decide(cancelled: &Cancelled<'_>, action: Action) -> Action {
    let Cancelled { part, answer, at, now } = *cancelled;
    let is_open = part.state.has_open_job();
    if is_open && !part.may_be_sent() {
        return Action::FailCancelled;
    }
    let is_unanswered = matches!(answer, JobAnswer::Nothing);
    let may_fail =
        is_open || (part.state == PartState::Completed && part.held.is_none() && is_unanswered);
    // Results that have just come are collected in peace.
    let since = part.ended_at.filter(|_| !is_open).map_or(at, |ended| ended.max(at));
    let is_over = now.duration_since(since) >= CANCEL_PATIENCE;
    let is_cancel_due =
        part.cancel_sent_at.is_none_or(|at| now.duration_since(at) >= CANCEL_REPEATED_AFTER);
    let replaces = matches!(action, Action::PlanAgain | Action::Abandon { .. });
    match (action, ended(answer)) {
        (Action::Record(JobChange { failure: Some(_), .. }), Some(job)) => fail(job),
        // It failed by itself.
        (action @ Action::Record(JobChange { failure: Some(_), .. }), None) => action,
        // Its job has ended, and would be replaced.
        (_, Some(job)) if replaces => fail(job),
        (action @ Action::Fail(_), _) => action,
        (action @ Action::Record(JobChange { state: Some(PartState::Completed), .. }), _) => action,
        _ if is_over && may_fail => Action::FailCancelled,
        _ if is_open && is_cancel_due => Action::CancelOnRequest,
        // No other job, and no other upload.
        (
            Action::PlanAgain
            | Action::Abandon { .. }
            | Action::Cancel
            | Action::Repeat(_)
            | Action::NoteNotStarted(_),
            _,
        ) => Action::Nothing,
        (action, _) => action,
    }
}

/// A job that is reported as cancelled.
fn ended(answer: &JobAnswer) -> Option<&Job> {
    match answer {
        JobAnswer::Job(job) if job.state == JobState::Cancelled => Some(job),
        JobAnswer::Job(_) | JobAnswer::Absent | JobAnswer::Nothing => None,
    }
}

fn fail(job: &Job) -> Action {
    Action::record(job, Some(PartState::Failed), Some(PartFailure::cancelled()))
}
