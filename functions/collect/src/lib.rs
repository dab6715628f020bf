//! `collect`: a job has ended. Joins its results to the rows they belong to and stores them; whoever stores the last part of a
//! drop publishes it.
//!
//! It may be called for the same part any number of times, and at the same time: the ledger says which attempt's rows count,
//! and nothing is published twice.

mod part;
mod publish;
mod results;
mod unjoined;

use anyhow::{Context, Result};
use lambda_runtime::{LambdaEvent, service_fn};
use moondrop_shared::aws::Services;
use moondrop_shared::conclude::conclude;
use moondrop_shared::event::JobEnded;
use moondrop_shared::record::PartState;
use moondrop_shared::runtime::{Failure, init_logs};

/// Runs the function: reads the settings, builds the clients, and serves invocations until the process ends.
///
/// # Errors
/// If a setting is missing or bad, or the Runtime API is gone.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    init_logs();
    let services = &Services::from_env().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<JobEnded>| async move {
        Box::pin(handle(services, &event.payload)).await.map_err(Failure::from)
    }))
    .await
}

/// Collects a part, and publishes its drop if it was the last.
///
/// # Errors
/// If something could not be read or stored; poll announces the job again.
pub async fn handle(services: &Services, ended: &JobEnded) -> Result<()> {
    let detail = &ended.detail;
    let (drop, number) = (&detail.drop, detail.part);
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
    if record.state.is_collectable() {
        part::collect(services, &meta, &record).await.with_context(|| format!("collect part {number} of the drop {drop}"))?;
        services.reporter.try_report(drop, 0).await;
    } else if record.state != PartState::Collected {
        tracing::info!(%drop, part = number, state = record.state.as_str(), "the part has not ended");
        return Ok(());
    }
    publish::publish_if_last(services, meta).await.with_context(|| format!("publish the drop {drop}"))
}
