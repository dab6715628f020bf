//! `collect`: called when a job has ended. Joins its results to the rows of its part and stores
//! them; the invocation that stores the last part of a drop publishes the drop.
//!
//! A queue calls it at least once for each part, perhaps several times at once: the ledger records
//! which attempt's rows count, and nothing is published twice. The part's record says when to try
//! again, and poll announces it then; the queue delivers again what could not be recorded.
//!
//! ```text
//! part ─┬─▶ held ──▶ join ─┬─▶ as_they_come     join and store while reading
//!       │                  ├─▶ results          fetch and read whole
//!       │                  ├─▶ rows             write rows with their results
//!       └───────────▶      ├─▶ source_missing   rows without their source
//!                          └─▶ work_file        store and record      ──▶ publish, after the last part, and safe
//! ```

mod as_they_come;
mod assemble;
mod collector;
mod held;
mod join;
mod part;
mod pieces;
mod publish;
mod results;
mod rows;
mod safe;
mod source_missing;
mod work_file;

use anyhow::{Context, Result};
use collector::Collector;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use moondrop_shared::drop::stack::StackCause;
use moondrop_shared::drop::{DropProblem, DropRecord};
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::{JobEnded, JobEndedDetail};
use moondrop_shared::lifecycle::{DueReport, Seen, note_stack_problem, set_drop_problem, wait};
use moondrop_shared::part::PartState;
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::results::ResultsTooLarge;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::batch_api::transfer::TransferError;
use moondrop_shared::services::lambda::{Deadline, invocation};
use moondrop_shared::services::ledger::FailedAttempt;
use moondrop_shared::services::logs;
use moondrop_shared::services::messages::{Failures, Messages};
use moondrop_shared::services::metrics::Metric;
use publish::Publication;
use tokio::sync::OnceCell;
use tracing::Instrument;
use tracing::field::Empty;

/// Runs the function: reads the settings, builds the clients, and serves invocations until the
/// process ends.
///
/// # Errors
/// If a setting is missing or invalid, or the Runtime API is gone.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    logs::init();
    let services = &Services::from_env().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Messages>| async move {
        services.ledger.set_request(&event.context.request_id);
        let deadline = Deadline::of(&event.context);
        let work = async { Ok(Box::pin(handle(services, event.payload, deadline)).await) };
        invocation(&event.context, &services.metrics, work).await
    }))
    .await
}

/// Collects each announced part, and publishes its drop if it was the last one. A part that cannot
/// be collected is no failure: its record says why and when to try again, and poll announces it
/// then. So is a drop that cannot be published.
pub async fn handle(services: &Services, messages: Messages, deadline: Deadline) -> Failures {
    messages
        .each(async |body| {
            let ended = JobEnded::read(body)?;
            let JobEndedDetail { drop, part, .. } = &ended.detail;
            let span = tracing::error_span!("part", drop = %drop, part, job = Empty);
            Box::pin(process(services, &ended.detail, deadline)).instrument(span).await
        })
        .await
}

async fn process(services: &Services, ended: &JobEndedDetail, deadline: Deadline) -> Result<()> {
    let JobEndedDetail { drop: drop_id, part: number, publish } = ended;
    let Some(drop) = services.ledger.drop_record(drop_id).await? else {
        tracing::warn!(drop = %drop_id, part = number, "a job ended whose drop has no record");
        return Ok(());
    };
    let drop = safe::write_if_due(services, drop).await?;
    if publish::conclude(services, &drop).await? {
        return Ok(());
    }
    let Some(part) = services.ledger.part(drop_id, *number).await? else {
        tracing::warn!(drop = %drop_id, part = number, "a job ended whose part has no record");
        return Ok(());
    };
    if let Some(job) = &part.job_id {
        tracing::Span::current().record("job", job);
    }
    if drop.plan.is_none() {
        // A part without a row to send ends before the plan of its drop is recorded.
        return Ok(());
    }
    if part.state.is_collectable() {
        let (report, began) = (OnceCell::new(), Timestamp::now());
        let collector = Collector { services, drop: &drop, part: &part, report };
        if part.problem().is_some() {
            // It ends with this, or is another one.
            collector.report_is_due().await?;
        }
        let collected = part::collect(&collector).await;
        let collected =
            collected.with_context(|| format!("collect part {number} of the drop {drop_id}"));
        match &collected {
            Err(error) => record_failure(&collector, error).await?,
            Ok(true) if part.asks_api() => note_accepted(services, began).await,
            Ok(_) => {}
        }
        if let Some(report) = collector.report.into_inner() {
            report.make(services, &drop).await;
        }
        if !matches!(collected, Ok(true)) {
            return Ok(());
        }
    } else if part.state != PartState::Collected {
        tracing::info!(
            drop = %drop_id, part = number, state = part.state.as_str(),
            "the part has not ended"
        );
        return Ok(());
    }
    // Of a part that was collected before, whoever did it may have been killed before this.
    if !services.ledger.take_out(drop_id, *number).await? && !publish {
        return Ok(());
    }
    let published = Box::pin(publish::publish_if_last(services, &drop, deadline)).await;
    match published.with_context(|| format!("publish the drop {drop_id}")) {
        Ok(Publication::Done) => Ok(()),
        Ok(Publication::PlaceIsTaken) => {
            not_published(services, &drop, Problem::conflict()).await.map(|_| ())
        }
        Err(error) => {
            tracing::error!(
                error = describe(&error),
                "the drop is not published, or its end not announced"
            );
            let recorded = not_published(services, &drop, Problem::publish_failed()).await?;
            // Poll announces a drop again whose record has the problem. One that moved on has not.
            if recorded.publish_problem.is_some() { Ok(()) } else { Err(error) }
        }
    }
}

/// Records why a drop is not published. Poll has it tried again, later the longer it lasts.
async fn not_published(
    services: &Services,
    drop: &DropRecord,
    problem: Problem,
) -> Result<DropRecord> {
    let was = drop.publish_problem.as_ref().map(|problem| problem.code);
    if problem.code == Code::Conflict && was != Some(Code::Conflict) {
        tracing::error!(
            drop = %drop.id, alarm = "results_conflict",
            "there is another results.csv under the drop's key; it is not overwritten, and the drop waits"
        );
        services.metrics.count(Metric::ResultsConflicts, 1);
    }
    let due = DueReport::begin(services, &drop.id).await?;
    let recorded = set_drop_problem(services, drop, DropProblem::Publish, Some(problem)).await?;
    // One that moved on is another attempt's.
    if recorded.publish_problem.is_some() {
        wait(services, &recorded, false).await?;
    }
    due.make(services, drop).await;
    Ok(recorded)
}

/// Results were fetched from the API: it accepts the key, and lets it read jobs.
async fn note_accepted(services: &Services, began: Timestamp) {
    for cause in [StackCause::Key, StackCause::ReadRight] {
        note_stack_problem(services, Seen::accepted(cause, began)).await;
    }
}

/// The record alone controls the retries of a part, so this failure is not returned to Lambda.
async fn record_failure(collector: &Collector<'_>, cause: &anyhow::Error) -> Result<()> {
    let Collector { services, part, .. } = collector;
    let retry_at = collector.next_try(Timestamp::now());
    let (attempts, error) = (part.attempts + 1, describe(cause));
    tracing::error!(
        attempts, retry_at = %retry_at, error,
        "the part is not collected; it is tried again"
    );
    services.metrics.count(Metric::CollectAttemptsFailed, 1);
    collector.report_is_due().await?;
    let problem = match of_stack(cause) {
        Some(seen) => {
            note_stack_problem(services, seen).await;
            None
        }
        None => Some(of_part(cause)),
    };
    let attempt = FailedAttempt { retry_at, problem, unconfirmed: part.unconfirmed.clone() };
    services.ledger.record_attempt(part, &attempt).await.map(|_| ())
}

/// The problem of the stack that a failure comes from.
fn of_stack(error: &anyhow::Error) -> Option<Seen> {
    let now = Timestamp::now();
    if let Some(TransferError::Host(host)) = error.chain().find_map(|cause| cause.downcast_ref()) {
        return Some(Seen::host_refused(StackCause::ResultsHost, "keeps the results at", host));
    }
    match error.chain().find_map(|cause| cause.downcast_ref()) {
        Some(ApiError::Key) => Some(Seen::refused(StackCause::Key, Problem::key_refused(), now)),
        Some(ApiError::NotPermitted(_)) => {
            Some(Seen::refused(StackCause::ReadRight, Problem::key_refused(), now))
        }
        Some(ApiError::NoKey(_)) => Some(Seen::refused(StackCause::Key, Problem::no_key(), now)),
        _ => None,
    }
}

fn of_part(error: &anyhow::Error) -> Problem {
    match error.chain().find_map(|cause| cause.downcast_ref()) {
        Some(ResultsTooLarge(limit)) => Problem::results_too_large(*limit),
        None => Problem::results_failed(),
    }
}
