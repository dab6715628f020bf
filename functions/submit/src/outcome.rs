//! The outcome of a part in one invocation.

use jiff::Timestamp;
use moondrop_shared::drop::stack::StackCause;
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::Seen;
use moondrop_shared::part::{PartFailure, PartRecord};
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::services::Services;

/// The outcome of a part in one invocation.
pub(crate) enum PartOutcome {
    /// Nothing is left to do: its rows are with its job, or it has ended.
    Done,
    /// Nothing can be sent to its job, or it is unknown whether something was. Poll decides, and
    /// may plan the part again.
    Waits,
    /// It was not uploaded: the time was over, or another part's problem stopped the uploads.
    Left,
    /// It was not uploaded, for this reason; trying again may help.
    Later(Cause),
}

/// Why a part was not uploaded, by what has the problem.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// The part alone.
    Part(Problem),
    /// The drop: the API creates no job for it.
    Create(Problem),
    /// The whole stack.
    Stack(Seen),
}

impl Cause {
    /// A problem of the stack, met now.
    pub(crate) fn of_stack(cause: StackCause, problem: Problem) -> Self {
        Cause::Stack(Seen::refused(cause, problem, Timestamp::now()))
    }

    /// Whether the cause is known and recorded, and ends by itself or by the user.
    pub(crate) fn is_to_be_waited_for(&self) -> bool {
        self.problem().is_some_and(|problem| problem.code != Code::Part)
    }

    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Cause::Part(problem) | Cause::Create(problem) => Some(problem),
            Cause::Stack(seen) => seen.problem.as_ref(),
        }
    }
}

/// Logs a part that ended without its rows being sent. Poll counts it at its next tick.
pub(crate) fn log_failure(part: &PartRecord, failure: &PartFailure) {
    let (number, job) = (part.plan.number, part.job_id.as_deref());
    tracing::error!(
        drop = %part.drop, part = number, job, alarm = "job_failed", error = failure.reason,
        "a part's rows were not sent"
    );
}

/// Cancels a job that will get no rows. If that fails, the sweep finds it.
pub(crate) async fn cancel(services: &Services, part: &PartRecord, job: &str) {
    if let Err(error) = services.api.cancel(job).await {
        let error = describe(&error.into());
        tracing::warn!(
            drop = %part.drop, part = part.plan.number, job, error,
            "an unused job was not cancelled; the sweep will cancel it"
        );
    }
}
