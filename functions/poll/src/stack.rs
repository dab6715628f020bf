//! The problems of the stack, as a tick sees them.

use crate::context::Tick;
use anyhow::Result;
use moondrop_shared::drop::stack::{StackCause, StackProblems, waits_for_upload};
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::{Seen, clear_allowed_hosts, note_stack_problem};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::metrics::Metric;

/// What a tick saw.
pub(crate) struct Evidence<'a> {
    /// Whether the API accepted the key and let it read jobs, or why not; `None` if nothing was
    /// asked, or calls failed for another reason.
    pub(crate) key: Option<Result<(), ApiError>>,
    /// A host of results that is not allowed.
    pub(crate) host: Option<String>,
    /// The open parts, as they are now.
    pub(crate) parts: &'a [PartRecord],
}

/// Records what the tick saw; returns the problems that there are then, unless they cannot be read.
pub(crate) async fn note(tick: &Tick<'_>, evidence: &Evidence<'_>) -> Option<StackProblems> {
    for seen in seen(tick, evidence) {
        if let Some(problem) = seen.problem.as_ref().filter(|one| one.code == Code::ApiKey) {
            tracing::error!(
                alarm = "api_key_refused",
                error = problem.message,
                "the API cannot be called with the API key"
            );
        }
        note_stack_problem(tick.services, seen).await;
    }
    match clear_hosts(tick, evidence.parts).await {
        Ok(stack) => {
            let hosts = [&stack.upload_host, &stack.results_host];
            let refused: Vec<_> = hosts.into_iter().flatten().collect();
            tick.services.metrics.note(Metric::HostsRefused, refused.len() as u64);
            for host in refused {
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

fn seen(tick: &Tick<'_>, evidence: &Evidence<'_>) -> Vec<Seen> {
    let began = tick.began;
    let accepted = |cause| Seen::accepted(cause, began);
    let refused = |cause, problem| Seen::refused(cause, problem, began);
    let mut seen = match &evidence.key {
        None => Vec::new(),
        Some(Ok(())) => vec![accepted(StackCause::Key), accepted(StackCause::ReadRight)],
        Some(Err(ApiError::NoKey(_))) => vec![refused(StackCause::Key, Problem::no_key())],
        Some(Err(ApiError::NotPermitted(_))) => {
            vec![refused(StackCause::ReadRight, Problem::key_refused())]
        }
        Some(Err(_)) => vec![refused(StackCause::Key, Problem::key_refused())],
    };
    seen.extend(tick.cancels.allowed().map(|allowed| match allowed {
        true => accepted(StackCause::CancelRight),
        false => refused(StackCause::CancelRight, Problem::key_refused()),
    }));
    let host = evidence.host.as_ref();
    seen.extend(
        host.map(|host| Seen::host_refused(StackCause::ResultsHost, "keeps the results at", host)),
    );
    seen.push(match nothing_starts(evidence.parts) {
        Some(problem) => refused(StackCause::NotStarted, problem),
        None => accepted(StackCause::NotStarted),
    });
    seen
}

/// Removes the problem of a host that the settings allow by now, or that no part waits for any more.
async fn clear_hosts(tick: &Tick<'_>, parts: &[PartRecord]) -> Result<StackProblems> {
    let services = tick.services;
    let stack = services.ledger.stack_problems().await?;
    clear_allowed_hosts(services, &stack).await;
    let uncollected = |part: &PartRecord| part.state == PartState::Completed && part.held.is_none();
    for (cause, is_waited_for) in [
        (StackCause::UploadHost, parts.iter().any(waits_for_upload)),
        (StackCause::ResultsHost, parts.iter().any(uncollected)),
    ] {
        if stack.of(cause).is_some() && !is_waited_for {
            note_stack_problem(services, Seen::accepted(cause, tick.began)).await;
        }
    }
    services.ledger.stack_problems().await
}

/// The problem that the API starts no job, by the first part whose job waits for that.
fn nothing_starts(parts: &[PartRecord]) -> Option<Problem> {
    let waits = |part: &&PartRecord| {
        part.state.has_open_job() && part.not_started.is_some_and(|noted| noted.none_started)
    };
    let part = parts.iter().find(waits)?;
    Some(Problem::nothing_starts(part.job_id.as_deref().unwrap_or_default()))
}
