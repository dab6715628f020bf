//! `submit`: called when an object was dropped. Checks the whole file, plans its parts, and uploads
//! each to a batch job of its own.
//!
//! A queue calls it at least once for each drop, perhaps several times at once. The ledger says
//! what is left to do, so each call begins or resumes. An invalid file is reported and answered
//! with `Ok`. `Err` returns the drop to the queue: trying again may help.
//!
//! ```text
//! accept ─┬▶ check ──▶ upload ─┬─▶ create_job ──▶ upload_part
//!         └▶ cancel            └─▶ …  (several parts at once)
//! ```

mod accept;
mod at_once;
mod cancel;
mod check;
mod create_job;
mod outcome;
mod rejected_files;
mod saves;
mod upload;
mod upload_part;

use accept::Announced;
use anyhow::{Context, Result};
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use moondrop_shared::drop::{DropProblem, DropRecord, DropState};
use moondrop_shared::lifecycle::{DueReport, conclude_if_ended, set_drop_problem, try_report};
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::{Deadline, invocation};
use moondrop_shared::services::logs;
use moondrop_shared::services::messages::{Failures, Messages};
use tracing::field::display;

/// Runs the function: reads the settings, builds the clients, and serves invocations until the
/// process ends.
///
/// # Errors
/// If a setting is missing or invalid, or the Runtime API is gone.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    logs::init();
    let services = &Services::from_env().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Messages>| async move {
        let deadline = Deadline::of(&event.context);
        services.ledger.set_request(&event.context.request_id);
        let work = async { Ok(Box::pin(handle(services, event.payload, deadline)).await) };
        invocation(&event.context, &services.metrics, work).await
    }))
    .await
}

/// Processes each announced drop.
pub async fn handle(services: &Services, messages: Messages, deadline: Deadline) -> Failures {
    messages.each(async |body| Box::pin(process(services, body, deadline)).await).await
}

async fn process(services: &Services, body: &str, deadline: Deadline) -> Result<()> {
    let mut drop = match accept::read(services, body).await? {
        None => return Ok(()),
        Some(Announced::Drop(new)) => {
            tracing::Span::current().record("drop", display(&new.id));
            Box::pin(accept::record(services, *new)).await?
        }
        Some(Announced::Requeued(drop_id)) => {
            tracing::Span::current().record("drop", display(&drop_id));
            let Some(drop) = services.ledger.drop_record(&drop_id).await? else {
                tracing::warn!("no record has the drop that is to go on");
                return Ok(());
            };
            drop
        }
        Some(Announced::Cancel(drop_id)) => {
            let cancelled = Box::pin(cancel::request(services, &drop_id)).await;
            return cancelled.with_context(|| format!("cancel the drop {drop_id}"));
        }
    };
    let id = drop.id.clone();
    if conclude_if_ended(services, &drop).await? {
        return Ok(());
    }
    if drop.cancelled_at.is_some() {
        return Box::pin(cancel::cancel(services, drop))
            .await
            .with_context(|| format!("cancel the drop {id}"));
    }
    if services.ledger.paused_at().await?.is_some() {
        return wait_paused(services, &drop).await;
    }
    drop = services.ledger.resume(&drop, Timestamp::now()).await?.record;
    if drop.state == DropState::Checking {
        try_report(services, &drop).await;
        drop = match Box::pin(check::check_and_plan(services, &drop, deadline)).await {
            Ok(Some(drop)) => drop,
            Ok(None) => return Ok(()),
            Err(error) => {
                let due = DueReport::begin(services, &id).await?;
                let problem = Some(check::problem(&error));
                drop = set_drop_problem(services, &drop, DropProblem::Check, problem).await?;
                due.make(services, &drop).await;
                return Err(error.context(format!("check the drop {id}")));
            }
        };
    }
    if conclude_if_ended(services, &drop).await? {
        return Ok(());
    }
    if drop.cancelled_at.is_some() {
        // Cancelled while it was checked.
        return Box::pin(cancel::cancel(services, drop))
            .await
            .with_context(|| format!("cancel the drop {id}"));
    }
    let uploaded = Box::pin(upload::upload(services, drop, deadline)).await;
    uploaded.with_context(|| format!("upload the drop {id}"))
}

/// A drop that comes while all is paused is recorded and waits: poll requeues it at its first tick
/// after the pause.
async fn wait_paused(services: &Services, drop: &DropRecord) -> Result<()> {
    if matches!(drop.state, DropState::Checking | DropState::Uploading) {
        services.ledger.wait(drop, None, Timestamp::now()).await?;
    }
    tracing::info!("all is paused; the drop waits");
    try_report(services, drop).await;
    Ok(())
}
