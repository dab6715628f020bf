//! One tick: announce, ask and move, recover, sweep, report.

use crate::stream::Streamed;
use crate::{announce, gauge, recover, stream, sweep};
use anyhow::Result;
use futures_util::StreamExt;
use jiff::Timestamp;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::error_chain::describe;
use moondrop_shared::part::PartRecord;
use moondrop_shared::problem::{KEY_REFUSED, Problem};
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::ledger::Open;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::source::DropId;
use std::collections::BTreeSet;

/// Reports under way at once. Each holds the records of all parts of its drop.
const REPORTS_AT_ONCE: usize = 4;
/// Announcements of parts that ended before this tick, under way at once.
const ANNOUNCEMENTS_AT_ONCE: usize = 4;

pub(crate) async fn tick(services: &Services, now: Timestamp, deadline: Deadline) -> Result<()> {
    services.metrics.count(Metric::Ticks, 1);
    let Open { records: mut parts, refused: parts_refused } = services.ledger.open_parts().await?;
    let Open { records: drops, refused: drops_refused } = services.ledger.open_drops().await?;
    let mut changed = BTreeSet::new();

    // What fails of one step stops no other: what has ended is announced though the API cannot be asked.
    let announced = announce_due(services, &drops, &parts, now, deadline).await;
    let Streamed { key, outcome: asked } =
        Box::pin(stream::run(services, &drops, &mut parts, now, deadline, &mut changed)).await;
    let recovered = recover::recover_drops(services, &drops, &parts, now).await;
    gauge::note(&services.metrics, &gauge::read(&drops, &parts, now));
    gauge::warn(&parts, now);
    let swept = if deadline.is_near() { Ok(()) } else { sweep::sweep(services, now, deadline).await };
    let of_the_key = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(ApiError::Key));
    let refused = [&asked, &swept].into_iter().any(|done| done.as_ref().is_err_and(of_the_key));
    note_key(services, &drops, if refused { Some(Err(ApiError::Key)) } else { key }, &mut changed).await;
    let reports =
        futures_util::stream::iter(&changed).for_each_concurrent(REPORTS_AT_ONCE, |drop| services.reporter.try_report(drop, 0));
    if tokio::time::timeout(deadline.last_moment(), reports).await.is_err() {
        tracing::warn!("some reports were not written: the time of the invocation is over");
    }
    if drops.is_empty() && parts.is_empty() {
        tracing::debug!("ticked, with nothing open");
    } else {
        tracing::info!(drops = drops.len(), parts = parts.len(), changed = changed.len(), "ticked");
    }
    asked.and(announced).and(recovered).and(swept).and(parts_refused).and(drops_refused)
}

/// Announces the parts that ended before this tick and are due; gives the first failure.
async fn announce_due(
    services: &Services,
    drops: &[DropRecord],
    parts: &[PartRecord],
    now: Timestamp,
    deadline: Deadline,
) -> Result<()> {
    let due: Vec<PartRecord> = parts.iter().filter(|part| announce::is_due(part, &services.settings, now)).cloned().collect();
    let mut announcing = futures_util::stream::iter(due.chunks(announce::AT_ONCE).take_while(|_| !deadline.is_near()))
        .map(|some| announce::announce(services, drops, some.to_vec(), now))
        .buffer_unordered(ANNOUNCEMENTS_AT_ONCE);
    let mut outcome = Ok(());
    while let Some(announced) = announcing.next().await {
        outcome = outcome.and(announced);
    }
    outcome
}

/// A key that the API does not take stands in the status of every drop that waits for it, until it is taken again. Where nothing
/// was asked, or the asking failed of something else, nothing is known of the key, and what stands there stays.
async fn note_key(
    services: &Services,
    drops: &[DropRecord],
    key: Option<Result<(), ApiError>>,
    changed: &mut BTreeSet<DropId>,
) {
    let trouble = match key {
        None => return,
        Some(Ok(())) => None,
        Some(Err(ApiError::NoKey(_))) => Some(Problem::no_key()),
        Some(Err(_)) => Some(Problem::key_refused()),
    };
    if let Some(trouble) = &trouble {
        tracing::error!(alarm = "api_key_refused", error = trouble.reason, "the API cannot be called with the API key");
    }
    for meta in drops.iter().filter(|meta| meta.state == DropState::Evaluating) {
        let stands = meta.trouble.as_ref().is_some_and(|trouble| trouble.class == KEY_REFUSED);
        if stands == trouble.is_some() {
            continue;
        }
        let trouble = trouble.clone();
        if let Err(error) = services.ledger.note_trouble(&DropRecord { trouble, ..meta.clone() }).await {
            tracing::warn!(drop = %meta.id, error = describe(&error), "the drop's trouble was not noted");
        }
        changed.insert(meta.id.clone());
    }
}
