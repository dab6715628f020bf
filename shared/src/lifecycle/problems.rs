//! What a drop, or the whole stack, waits for.

use crate::drop::stack::{StackCause, StackProblem};
use crate::drop::{DropProblem, DropRecord};
use crate::error_chain::describe;
use crate::problem::Problem;
use crate::services::Services;
use anyhow::Result;
use jiff::Timestamp;

/// Sets or removes a problem of a drop and returns the current record. The caller also reports it,
/// at once or with another change.
///
/// # Errors
/// If the ledger does not answer.
pub async fn set_drop_problem(
    services: &Services,
    drop: &DropRecord,
    kind: DropProblem,
    problem: Option<Problem>,
) -> Result<DropRecord> {
    if drop.waits_for(kind) == problem.as_ref() {
        return Ok(drop.clone());
    }
    Ok(services.ledger.set_drop_problem(drop, kind, problem.as_ref()).await?.record)
}

/// What a function has seen of a cause since `began`.
#[derive(Debug, Clone)]
pub struct Seen {
    pub cause: StackCause,
    /// The problem it met, or `None` for the opposite: the key was accepted, the host is allowed.
    pub problem: Option<Problem>,
    pub began: Timestamp,
}

/// Records or removes a problem of the stack, as seen. A failure is only logged: the next function
/// that sees it records it.
pub async fn note_stack_problem(services: &Services, seen: Seen) {
    let cause = seen.cause;
    if let Err(error) = note(services, seen).await {
        tracing::warn!(?cause, error = describe(&error), "a problem of the stack was not recorded");
    }
}

async fn note(services: &Services, seen: Seen) -> Result<()> {
    let Seen { cause, problem, began } = seen;
    let ledger = &services.ledger;
    let before = ledger.stack_problems().await?;
    match (before.of(cause), problem) {
        (None, None) => Ok(()),
        (Some(_), None) => ledger.clear_stack_problem(cause, began).await,
        (before, Some(problem)) => {
            let now = Timestamp::now();
            let same = before.filter(|before| before.problem == problem);
            let since = same.map_or(now, |before| before.since);
            ledger.set_stack_problem(cause, &StackProblem { problem, since, seen_at: now }).await
        }
    }
}
