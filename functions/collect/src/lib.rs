//! `collect`: a job has ended. Joins its results to the rows they belong to and stores them; whoever stores the last part of a
//! drop publishes it.
//!
//! It may be called for the same part any number of times, and at the same time: the ledger says which attempt's rows count,
//! and nothing is published twice.

mod held;
mod part;
mod publish;
mod results;
mod unjoined;

use anyhow::{Context, Result};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::{JobEnded, JobEndedDetail};
use moondrop_shared::lifecycle::conclude::conclude;
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::results::ResultsTooLarge;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::batch_api::transfer::TransferError;
use moondrop_shared::services::lambda::invocation;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::{Services, logs};
use moondrop_shared::source::DropId;
use tracing::Instrument;
use tracing::field::Empty;

/// Runs the function: reads the settings, builds the clients, and serves invocations until the process ends.
///
/// # Errors
/// If a setting is missing or bad, or the Runtime API is gone.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    logs::init();
    let services = &Services::from_env().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<JobEnded>| async move {
        services.ledger.set_request(&event.context.request_id);
        let work = Box::pin(handle(services, &event.payload));
        invocation(&event.context, &services.metrics, work).await
    }))
    .await
}

/// Collects a part, and publishes its drop if it was the last. A part that could not be collected is no error: its record says
/// why it is tried again, and when, and poll announces it then.
///
/// # Errors
/// If the ledger does not answer, or the drop could not be published; it is tried again, and poll announces it again.
pub async fn handle(services: &Services, ended: &JobEnded) -> Result<()> {
    let JobEndedDetail { drop, part } = &ended.detail;
    let span = tracing::error_span!("part", %drop, part, job = Empty);
    let carried = async {
        let carried = carry(services, drop, *part).await;
        if let Err(error) = &carried {
            // Lambda is told as well, and does not log it.
            tracing::error!(error = describe(error), "the part is not collected, or its drop not published");
        }
        carried
    };
    Box::pin(carried.instrument(span)).await
}

async fn carry(services: &Services, drop: &DropId, number: u32) -> Result<()> {
    let Some(meta) = services.ledger.meta(drop).await? else {
        tracing::warn!(%drop, part = number, "a job ended whose drop has no record");
        return Ok(());
    };
    if meta.state.is_final() {
        return if meta.closed_at.is_none() { conclude(services, &meta).await } else { Ok(()) };
    }
    let Some(record) = services.ledger.part(drop, number).await? else {
        tracing::warn!(%drop, part = number, "a job ended whose part has no record");
        return Ok(());
    };
    if let Some(job) = &record.job_id {
        tracing::Span::current().record("job", job);
    }
    if meta.plan.is_none() {
        // A part without a row to send has ended before its drop is planned to the end.
        return Ok(());
    }
    if record.state.is_collectable() {
        let collected = part::collect(services, &meta, &record).await;
        let collected = collected.with_context(|| format!("collect part {number} of the drop {drop}"));
        if let Err(error) = &collected {
            note_failure(services, &record, error).await?;
        }
        services.reporter.try_report(&meta.id, 0).await;
        if !matches!(collected, Ok(true)) {
            return Ok(());
        }
    } else if record.state != PartState::Collected {
        tracing::info!(%drop, part = number, state = record.state.as_str(), "the part has not ended");
        return Ok(());
    }
    let published = publish::publish_if_last(services, meta.clone()).await;
    let published = published.with_context(|| format!("publish the drop {drop}"));
    if let Err(error) = &published {
        note_trouble(services, &meta, error).await;
    }
    published
}

/// The part's record owns its retries: nothing else tries it again.
async fn note_failure(services: &Services, part: &PartRecord, cause: &anyhow::Error) -> Result<()> {
    let retry_at = held::next_try(services, part, Timestamp::now());
    let (attempts, error) = (part.attempts + 1, describe(cause));
    tracing::error!(attempts, retry_at = %retry_at, error, "the part is not collected; it is tried again");
    services.metrics.count(Metric::CollectAttemptsFailed, 1);
    services.ledger.note_attempt(part, retry_at, &trouble(cause), part.doubtful.as_ref()).await.map(|_| ())
}

/// Writes what keeps the drop from being published into its record and status.
async fn note_trouble(services: &Services, meta: &DropRecord, error: &anyhow::Error) {
    let trouble = Some(trouble(error));
    if trouble != meta.trouble
        && let Err(error) = services.ledger.note_trouble(&DropRecord { trouble, ..meta.clone() }).await
    {
        tracing::warn!(drop = %meta.id, error = describe(&error), "the drop's trouble was not noted");
    }
    services.reporter.try_report(&meta.id, 0).await;
}

fn trouble(error: &anyhow::Error) -> Problem {
    let signed = error.chain().find_map(|cause| cause.downcast_ref());
    let api = error.chain().find_map(|cause| cause.downcast_ref());
    if let Some(ResultsTooLarge(limit)) = error.chain().find_map(|cause| cause.downcast_ref()) {
        let reason = format!("the results of a job take more than the {} MiB that collect has for them", limit >> 20);
        let next = "It needs you to give collect more memory: half of it is for results. The drop goes on by itself then.";
        return Problem::new("E_RESULTS_SIZE", reason, next);
    }
    match (signed, api) {
        (Some(TransferError::Host(host)), _) => Problem::host_refused("keeps the results at", host),
        (_, Some(ApiError::Key | ApiError::NotPermitted(_))) => Problem::key_refused(),
        (_, Some(ApiError::NoKey(_))) => Problem::no_key(),
        _ => {
            let next = "It will be tried again by itself. If it stays so for hours, it needs you to look at collect's logs.";
            Problem::new("E_RESULTS", "results could not be fetched, read or stored", next)
        }
    }
}
