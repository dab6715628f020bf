//! Drops that have not ended 72 hours after they were dropped: announced once each.

use crate::context::Tick;
use crate::recover::ALARM_AFTER;
use anyhow::Result;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::event::{DropEvent, OutgoingEvent};
use moondrop_shared::results::tally::Outcomes;

/// Announces and records the drops that have come to be overdue; returns all open drops as they are
/// then. The event goes first: if the bus does not accept it, the next tick puts it again.
pub(crate) async fn note(tick: &Tick<'_>) -> (Vec<DropRecord>, Result<()>) {
    let mut drops = tick.drops.to_vec();
    let mut outcome = Ok(());
    for drop in &mut drops {
        let age = tick.now.duration_since(drop.dropped_at);
        if drop.overdue_at.is_some() || drop.state.is_final() || age <= ALARM_AFTER {
            continue;
        }
        match note_one(tick, drop).await {
            Ok(now) => *drop = now,
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    (drops, outcome)
}

async fn note_one(tick: &Tick<'_>, drop: &DropRecord) -> Result<DropRecord> {
    let services = tick.services;
    let rejected = drop.plan.as_ref().map_or(0, |plan| plan.rejected);
    let outcomes = Outcomes { rejected, ..Outcomes::default() };
    let event = DropEvent::of(drop, outcomes, &services.settings.results_bucket);
    services.bus.put(&[OutgoingEvent::DropOverdue(Box::new(event))]).await?;
    Ok(services.ledger.note_overdue_drop(&drop.id, tick.now).await?.record)
}
