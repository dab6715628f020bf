//! One tick: announce, fetch and apply, recover, sweep, report.

use crate::context::{Cancels, Tick};
use crate::fetched::Fetched;
use crate::{announce, backlog, cancel, fetch_jobs, overdue, recover, report, stack, sweep};
use anyhow::{Result, bail};
use futures_util::StreamExt;
use jiff::Timestamp;
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::ledger::Open;
use moondrop_shared::services::metrics::Metric;
use std::collections::HashMap;

/// How many calls announce parts at the same time.
const ANNOUNCEMENTS_AT_ONCE: usize = 4;

pub(crate) async fn tick(services: &Services, now: Timestamp, deadline: Deadline) -> Result<()> {
    services.metrics.count(Metric::Ticks, 1);
    let paused_at = services.ledger.paused_at().await?;
    services.metrics.note(Metric::Paused, u64::from(paused_at.is_some()));
    if let Some(since) = paused_at {
        tracing::warn!(since, "all is paused: nothing is done until it is resumed");
        return Ok(());
    }
    let Open { records: mut parts, refused: parts_refused } = services.ledger.open_parts().await?;
    let Open { records: drops, refused: drops_refused } = services.ledger.open_drops().await?;
    let mut open_parts = HashMap::new();
    for part in &parts {
        *open_parts.entry(part.drop.clone()).or_default() += 1;
    }
    let (report_name, cancels) = (services.ledger.report_name(), Cancels::default());
    let tick = Tick {
        services,
        drops: &drops,
        open_parts: &open_parts,
        report_name: &report_name,
        cancels: &cancels,
        began: Timestamp::now(),
        now,
        deadline,
    };

    // A failed step does not stop the others: ended parts are announced even if the API cannot be
    // called.
    let (cancelled_drops, cancelled) = cancel::cancel_rest(&tick, &mut parts).await;
    let announced = announce_due(&tick, &parts).await;
    let Fetched { key, host, unanswered, mut changed, outcome: fetched } =
        Box::pin(fetch_jobs::fetch_jobs(&tick, &mut parts)).await;
    let unanswered = unanswered.unwrap_or_default();
    let (overdue_drops, ended) = cancel::end_overdue(&tick, &mut parts, &unanswered).await;
    changed.extend(cancelled_drops.into_iter().chain(overdue_drops));
    let (drops, overdue) = overdue::note(&tick).await;
    let tick = Tick { drops: &drops, ..tick };
    backlog::measure(&services.metrics, &backlog::read(&drops, &parts, now));
    backlog::warn(&parts, now);
    let recovered = recover::recover_drops(&tick, &parts).await;
    let closed = recover::close_strays(&tick, &parts).await;
    let swept = sweep_in_time(&tick).await;
    // A cancel, or the sweep, may meet a key that is refused where nothing else was asked.
    let is_of_the_key = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(ApiError::Key));
    let is_refused =
        [&fetched, &ended, &swept].into_iter().any(|done| done.as_ref().is_err_and(is_of_the_key));
    let key = if is_refused { Some(Err(ApiError::Key)) } else { key };
    let evidence = stack::Evidence { key, host, parts: &parts };
    let stack = stack::note(&tick, &evidence).await;
    changed.extend(report::due(&tick, stack.as_ref()));
    report::report(&tick, &changed, stack).await;
    if drops.is_empty() && parts.is_empty() {
        tracing::debug!("ticked, with nothing open");
    } else {
        tracing::info!(drops = drops.len(), parts = parts.len(), changed = changed.len(), "ticked");
    }
    let done =
        fetched.and(announced).and(cancelled).and(ended).and(recovered).and(swept).and(overdue);
    done.and(parts_refused).and(drops_refused).and(closed)
}

/// Sweeps, within the time of the invocation: what is left of it is for the reports.
async fn sweep_in_time(tick: &Tick<'_>) -> Result<()> {
    if tick.deadline.is_near() {
        return Ok(());
    }
    match tokio::time::timeout(tick.deadline.left(), sweep::sweep(tick)).await {
        Ok(swept) => swept,
        Err(_) => bail!("the sweep is not done: the time of the invocation is over"),
    }
}

/// Announces the parts that ended before this tick and are due; returns the first failure.
async fn announce_due(tick: &Tick<'_>, parts: &[PartRecord]) -> Result<()> {
    let settings = &tick.services.settings;
    let due: Vec<PartRecord> =
        parts.iter().filter(|part| announce::is_due(part, settings, tick.now)).cloned().collect();
    let mut announcing = futures_util::stream::iter(
        due.chunks(announce::AT_ONCE).take_while(|_| !tick.deadline.is_near()),
    )
    .map(|some| announce::announce(tick, some.to_vec()))
    .buffer_unordered(ANNOUNCEMENTS_AT_ONCE);
    let mut outcome = Ok(());
    while let Some(announced) = announcing.next().await {
        outcome = outcome.and(announced);
    }
    outcome
}
