//! The problems of the stack, as a tick sees them.

use crate::context::Tick;
use moondrop_shared::drop::stack::{StackCause, StackProblems};
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::{Seen, note_stack_problem};
use moondrop_shared::part::PartRecord;
use moondrop_shared::problem::Problem;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::metrics::Metric;

/// What a tick saw.
pub(crate) struct Evidence<'a> {
    /// Whether the API accepted the key, or why not; `None` if nothing was asked, or calls failed
    /// for another reason.
    pub(crate) key: Option<Result<(), ApiError>>,
    /// Whether the hosts of results are allowed; `None` if the API named none.
    pub(crate) hosts: Option<Result<(), String>>,
    /// The open parts, as they are now.
    pub(crate) parts: &'a [PartRecord],
}

/// Records what the tick saw; returns the problems that there are then, unless they cannot be read.
pub(crate) async fn note(tick: &Tick<'_>, evidence: &Evidence<'_>) -> Option<StackProblems> {
    let began = tick.began;
    let key = match &evidence.key {
        None => None,
        Some(Ok(())) => Some(None),
        Some(Err(ApiError::NoKey(_))) => Some(Some(Problem::no_key())),
        Some(Err(_)) => Some(Some(Problem::key_refused())),
    };
    if let Some(Some(problem)) = &key {
        tracing::error!(
            alarm = "api_key_refused",
            error = problem.message,
            "the API cannot be called with the API key"
        );
    }
    let hosts = evidence.hosts.as_ref().map(|allowed| {
        let host = allowed.as_ref().err()?;
        Some(Problem::host_refused("keeps the results at", host))
    });
    let seen = [
        (StackCause::Key, key),
        (StackCause::ResultsHost, hosts),
        (StackCause::NotStarted, Some(nothing_starts(evidence.parts))),
    ];
    for (cause, problem) in seen {
        if let Some(problem) = problem {
            note_stack_problem(tick.services, Seen { cause, problem, began }).await;
        }
    }
    match tick.services.ledger.stack_problems().await {
        Ok(stack) => {
            let hosts = [&stack.upload_host, &stack.results_host];
            let refused = hosts.into_iter().flatten().count() as u64;
            tick.services.metrics.note(Metric::HostsRefused, refused);
            if let Some(host) = stack.upload_host.as_ref().or(stack.results_host.as_ref()) {
                let error = &host.problem.message;
                tracing::error!(alarm = "host_refused", error, "a host is not contacted");
            }
            Some(stack)
        }
        Err(error) => {
            tracing::warn!(error = describe(&error), "the stack's problems were not read");
            None
        }
    }
}

/// The problem that the API starts no job, by the first part whose job waits for that.
fn nothing_starts(parts: &[PartRecord]) -> Option<Problem> {
    let waits = |part: &&PartRecord| {
        part.state.has_open_job() && part.not_started.is_some_and(|noted| noted.none_started)
    };
    let part = parts.iter().find(waits)?;
    Some(Problem::nothing_starts(part.job_id.as_deref().unwrap_or_default()))
}
