//! One tick: announce, fetch and apply, recover, sweep, report.

use crate::context::Tick;
use crate::fetch_jobs::Fetched;
use crate::{announce, backlog, cancel, fetch_jobs, recover, sweep};
use anyhow::Result;
use futures_util::StreamExt;
use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::{set_problem, try_report};
use moondrop_shared::part::PartRecord;
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::ledger::Open;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::source::DropId;
use std::collections::BTreeSet;

/// How many reports are written at the same time. Each holds the records of all parts of its drop.
const REPORTS_AT_ONCE: usize = 4;
/// How many calls announce parts at the same time.
const ANNOUNCEMENTS_AT_ONCE: usize = 4;

pub(crate) async fn tick(services: &Services, now: Timestamp, deadline: Deadline) -> Result<()> {
    services.metrics.count(Metric::Ticks, 1);
    let Open { records: mut parts, refused: parts_refused } = services.ledger.open_parts().await?;
    let Open { records: drops, refused: drops_refused } = services.ledger.open_drops().await?;
    let tick = Tick { services, drops: &drops, now, deadline };

    // A failed step does not stop the others: ended parts are announced even if the API cannot be
    // called.
    let (cancelled_drops, cancelled) = cancel::cancel_rest(&tick, &mut parts).await;
    let announced = announce_due(&tick, &parts).await;
    let Fetched { key, mut changed, outcome: fetched } =
        Box::pin(fetch_jobs::fetch_jobs(&tick, &mut parts)).await;
    let (overdue_drops, ended) = cancel::end_overdue(&tick, &mut parts, &tick.when(None)).await;
    changed.extend(cancelled_drops.into_iter().chain(overdue_drops));
    let recovered = recover::recover_drops(&tick, &parts).await;
    let closed = recover::close_strays(&tick, &parts).await;
    backlog::measure(&services.metrics, &backlog::read(&drops, &parts, now));
    backlog::warn(&parts, now);
    let swept = if deadline.is_near() { Ok(()) } else { sweep::sweep(&tick).await };
    let is_of_the_key = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(ApiError::Key));
    let key_refused =
        [&fetched, &swept].into_iter().any(|done| done.as_ref().is_err_and(is_of_the_key));
    changed.extend(
        set_key_problem(&tick, if key_refused { Some(Err(ApiError::Key)) } else { key }).await,
    );
    report_changed(&tick, &changed).await;
    if drops.is_empty() && parts.is_empty() {
        tracing::debug!("ticked, with nothing open");
    } else {
        tracing::info!(drops = drops.len(), parts = parts.len(), changed = changed.len(), "ticked");
    }
    let done =
        fetched.and(announced).and(cancelled).and(ended).and(recovered).and(closed).and(swept);
    done.and(parts_refused).and(drops_refused)
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

/// Sets or removes the problem of a key that the API does not accept, for every drop that waits for
/// the API; returns the drops that changed. If no call was made, or calls failed for another
/// reason, nothing is known about the key, and the records stay.
async fn set_key_problem(tick: &Tick<'_>, key: Option<Result<(), ApiError>>) -> Vec<DropId> {
    let problem = match key {
        None => return Vec::new(),
        Some(Ok(())) => None,
        Some(Err(ApiError::NoKey(_))) => Some(Problem::no_key()),
        Some(Err(_)) => Some(Problem::key_refused()),
    };
    if let Some(problem) = &problem {
        tracing::error!(
            alarm = "api_key_refused",
            error = problem.message,
            "the API cannot be called with the API key"
        );
    }
    let mut changed = Vec::new();
    for drop in tick.drops.iter().filter(|drop| drop.state == DropState::Evaluating) {
        let is_set = drop.problem.as_ref().is_some_and(|problem| problem.code == Code::ApiKey);
        if is_set == problem.is_some() {
            continue;
        }
        if let Err(error) = set_problem(tick.services, drop, problem.clone()).await {
            tracing::warn!(
                drop = %drop.id, error = describe(&error),
                "the drop's problem was not recorded"
            );
        }
        changed.push(drop.id.clone());
    }
    changed
}

async fn report_changed(tick: &Tick<'_>, changed: &BTreeSet<DropId>) {
    let reports = futures_util::stream::iter(changed)
        .for_each_concurrent(REPORTS_AT_ONCE, |id| report_one(tick, id));
    if tokio::time::timeout(tick.deadline.last_moment(), reports).await.is_err() {
        tracing::warn!("some reports were not written: the time of the invocation is over");
    }
}

async fn report_one(tick: &Tick<'_>, id: &DropId) {
    if let Some(drop) = tick.drops.iter().find(|drop| drop.id == *id) {
        return try_report(tick.services, drop).await;
    }
    // The index lags: the drop may not be in it yet.
    match tick.services.ledger.drop_record(id).await {
        Ok(Some(drop)) => try_report(tick.services, &drop).await,
        Ok(None) => {}
        Err(error) => tracing::warn!(
            drop = %id, error = describe(&error),
            "status.json was not written"
        ),
    }
}
