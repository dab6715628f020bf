//! What a drop, or the whole stack, waits for.

use crate::drop::stack::{StackCause, StackProblem, StackProblems};
use crate::drop::{DropProblem, DropRecord};
use crate::error_chain::describe;
use crate::job::is_aws;
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
    /// The host that the problem is about.
    pub host: Option<String>,
    pub began: Timestamp,
}

impl Seen {
    /// The opposite of a problem.
    #[must_use]
    pub fn accepted(cause: StackCause, began: Timestamp) -> Self {
        Seen { cause, problem: None, host: None, began }
    }

    #[must_use]
    pub fn refused(cause: StackCause, problem: Problem, began: Timestamp) -> Self {
        Seen { cause, problem: Some(problem), host: None, began }
    }

    /// A host that is not allowed; `what` is as in [`Problem::host_refused`].
    #[must_use]
    pub fn host_refused(cause: StackCause, what: &str, host: &str) -> Self {
        let mut problem = Problem::host_refused(what, host);
        if is_aws(host) {
            problem = problem.with_next_step(
                "Action required: ask the API's vendor. Of the hosts of AWS, Moondrop contacts only S3's, on port 443: no setting allows another.",
            );
        }
        Seen { cause, problem: Some(problem), host: Some(host.to_owned()), began: Timestamp::now() }
    }
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
    let Seen { cause, problem, host, began } = seen;
    let ledger = &services.ledger;
    let before = ledger.stack_problems().await?;
    match (before.of(cause), problem) {
        (None, None) => Ok(()),
        (Some(_), None) => ledger.clear_stack_problem(cause, began).await,
        (before, Some(problem)) => {
            let now = Timestamp::now();
            let same = before.filter(|before| before.problem == problem);
            let since = same.map_or(now, |before| before.since);
            let met = StackProblem { problem, since, seen_at: now, host };
            ledger.set_stack_problem(cause, &met).await
        }
    }
}

/// Removes the problems of hosts that the settings allow by now.
pub async fn clear_allowed_hosts(services: &Services, stack: &StackProblems) {
    for cause in [StackCause::UploadHost, StackCause::ResultsHost] {
        let host = stack.of(cause).and_then(|problem| problem.host.as_deref());
        if host.is_some_and(|host| services.settings.signed_url_hosts.allow_host(host)) {
            note_stack_problem(services, Seen::accepted(cause, Timestamp::now())).await;
        }
    }
}
