//! `poll`: every few minutes, asks the API for all open jobs, updates their parts, and recovers
//! stalled drops.
//!
//! It is level-triggered: each tick derives from the records what is to be done, whatever was done,
//! lost or repeated before. If nothing is open, it makes no API call.
//!
//! ```text
//! ledger ──▶ cancel, announce what has ended ──▶ fetch jobs ─▶ decide ─▶ apply ─▶ announce (one stream) ──▶ recover, backlog, sweep, report
//! ```

mod announce;
mod apply;
mod backlog;
mod cancel;
mod context;
mod fetch_jobs;
mod fetched;
mod overdue;
mod queries;
mod recover;
mod report;
mod stack;
mod sweep;
mod tick;

use anyhow::Result;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use moondrop_shared::error_chain::describe;
use moondrop_shared::services::lambda::{Deadline, invocation};
use moondrop_shared::services::{Services, logs};
use serde::Deserialize;

/// The schedule's event. None of its fields are read.
#[derive(Debug, Deserialize)]
pub struct Scheduled {}

/// Runs the function: reads the settings, builds the clients, and serves invocations until the
/// process ends.
///
/// # Errors
/// If a setting is missing or invalid, or the Runtime API is gone.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    logs::init();
    let services = &Services::from_env().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Scheduled>| async move {
        let deadline = Deadline::of(&event.context);
        services.ledger.set_request(&event.context.request_id);
        let work = Box::pin(handle(services, Timestamp::now(), deadline));
        invocation(&event.context, &services.metrics, work).await
    }))
    .await
}

/// Runs one tick.
///
/// # Errors
/// If a call or a write failed; the next tick does the rest.
pub async fn handle(services: &Services, now: Timestamp, deadline: Deadline) -> Result<()> {
    let ticked = Box::pin(tick::tick(services, now, deadline)).await;
    if let Err(error) = &ticked {
        // Lambda gets the error too, but does not log it.
        tracing::error!(error = describe(error), "the tick did not do all it had to");
    }
    ticked
}
