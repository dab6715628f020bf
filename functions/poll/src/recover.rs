//! Recovery: requeues drops that no function works on.

use crate::context::Tick;
use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::event::OutgoingEvent;
use moondrop_shared::job::{UPLOAD_URL_LIFE, UPLOAD_URL_USED_FOR};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::source::DropId;
use std::collections::{HashMap, HashSet};

/// The ages at which an unfinished drop is a warning, and an alarm.
const WARN_AFTER: SignedDuration = SignedDuration::from_hours(48);
pub(crate) const ALARM_AFTER: SignedDuration = SignedDuration::from_hours(72);
/// After how long it is an alarm that the API refuses to create jobs for a drop.
const REFUSED_ALARM_AFTER: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// It waits for its jobs.
    Nothing,
    /// Submit has to resume it.
    Submit,
    /// It has no open part in the index: if all are collected, collect has to publish it.
    Publish,
}

/// Makes submit or collect resume every stalled drop.
pub(crate) async fn recover_drops(tick: &Tick<'_>, parts: &[PartRecord]) -> Result<()> {
    let mut by_drop: HashMap<&DropId, Vec<&PartRecord>> = HashMap::new();
    for part in parts {
        by_drop.entry(&part.drop).or_default().push(part);
    }
    // A failure of one drop does not hold back the others; the first one is returned at the end.
    let mut outcome = Ok(());
    let (mut events, mut recovered) = (Vec::new(), Vec::new());
    for drop in tick.drops {
        warn_of_age(drop, tick.now);
        warn_of_refusals(drop, tick.now);
        let own = by_drop.get(&drop.id).map_or(&[][..], Vec::as_slice);
        match remedy(tick, drop, own).await {
            Ok(None) => {}
            Ok(Some(event)) => {
                events.push(event);
                recovered.push(drop);
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    // The event goes first: if the bus does not accept it, the next tick puts it again.
    tick.services.bus.put(&events).await?;
    for drop in recovered {
        outcome = outcome.and(tick.services.ledger.resume(drop, tick.now).await.map(|_| ()));
    }
    outcome
}

/// Removes from the open index the parts of drops that ended without them: a plan that was not
/// recorded leaves some.
pub(crate) async fn close_strays(tick: &Tick<'_>, parts: &[PartRecord]) -> Result<()> {
    let strays = parts.iter().filter(|part| tick.drop_of(part).is_none());
    let ids: HashSet<&DropId> = strays.map(|part| &part.drop).collect();
    let ledger = &tick.services.ledger;
    for id in ids {
        // Read consistently: the index lags, and the drop may be open.
        let drop = ledger.drop_record(id).await?;
        if drop.is_none_or(|drop| !drop.state.is_final()) {
            continue;
        }
        for part in parts.iter().filter(|part| part.drop == *id) {
            tracing::info!(drop = %id, part = part.plan.number, "a part of an ended drop is closed");
            ledger.close_part(part).await?;
        }
    }
    Ok(())
}

/// The event that makes a function resume the drop, if it is stalled.
async fn remedy(
    tick: &Tick<'_>,
    drop: &DropRecord,
    open_parts: &[&PartRecord],
) -> Result<Option<OutgoingEvent>> {
    let services = tick.services;
    let idle = tick.now.duration_since(drop.active_at).unsigned_abs();
    let is_due = drop.retry_at.is_some_and(|at| at <= tick.now);
    let is_idle_for = |time| idle >= time && drop.retry_at.is_none();
    // A drop that waits is not stalled.
    let is_stalled = is_idle_for(services.settings.stalled_after);
    // Whatever it waits for, a drop of which everything is collected is published.
    let is_to_be_published = is_due
        || idle >= services.settings.stalled_after
        || (drop.publish_problem.is_some() && is_idle_for(services.settings.retry_after));
    match need(drop, open_parts, tick.now) {
        Need::Submit if is_due => {
            tracing::info!(drop = %drop.id, "the drop waited, and is requeued");
            Ok(Some(OutgoingEvent::DropStalled { drop: drop.id.clone() }))
        }
        Need::Submit if is_stalled => {
            tracing::warn!(
                drop = %drop.id, state = drop.state.as_str(),
                "the drop is stalled; it is requeued"
            );
            services.metrics.count(Metric::DropsStalled, 1);
            Ok(Some(OutgoingEvent::DropStalled { drop: drop.id.clone() }))
        }
        Need::Publish if is_to_be_published => {
            // The index lags: only a consistent read shows that everything is collected.
            let parts = services.ledger.parts(&drop.id).await?;
            let collected = parts.iter().all(|part| part.state == PartState::Collected);
            Ok(parts.first().filter(|_| collected).map(|first| {
                let (drop, part, job) = (drop.id.clone(), first.plan.number, first.job_id.clone());
                OutgoingEvent::JobCompleted { drop, part, job, publish: true }
            }))
        }
        Need::Nothing | Need::Submit | Need::Publish => Ok(None),
    }
}

fn need(drop: &DropRecord, open_parts: &[&PartRecord], now: Timestamp) -> Need {
    if drop.is_safe_due() {
        return Need::Publish;
    }
    // Collect also deletes the work files of a drop that is published.
    if drop.state.is_final() && drop.results_bytes.is_some() {
        return Need::Publish;
    }
    // Submit also concludes a drop if an attempt died after it recorded the end.
    if drop.state == DropState::Checking || drop.state.is_final() {
        return Need::Submit;
    }
    if drop.cancelled_at.is_some() {
        // Poll itself cancels what is left.
        return if open_parts.is_empty() { Need::Publish } else { Need::Nothing };
    }
    let life = SignedDuration::try_from(UPLOAD_URL_LIFE).unwrap_or(SignedDuration::ZERO);
    let young = |part: &PartRecord| part.created_at.is_some_and(|at| now.duration_since(at) < life);
    let usable = |part: &PartRecord| {
        part.created_at.is_some_and(|at| now.duration_since(at) < UPLOAD_URL_USED_FOR)
    };
    let pending = open_parts.iter().any(|part| match part.state {
        PartState::Planned => true,
        PartState::Created => young(part),
        PartState::Uploaded => part.is_to_be_repeated() && usable(part),
        _ => false,
    });
    let waiting = open_parts
        .iter()
        .any(|part| matches!(part.state, PartState::Created | PartState::Abandoning));
    if pending || (drop.state == DropState::Uploading && !waiting && !open_parts.is_empty()) {
        Need::Submit
    } else if open_parts.is_empty() {
        Need::Publish
    } else {
        Need::Nothing
    }
}

/// Whether the API has refused to create jobs for a drop for so long that it is an alarm.
pub(crate) fn is_refused(drop: &DropRecord, now: Timestamp) -> bool {
    !drop.state.is_final()
        && drop.refused_since.is_some_and(|since| now.duration_since(since) >= REFUSED_ALARM_AFTER)
}

fn warn_of_refusals(drop: &DropRecord, now: Timestamp) {
    if is_refused(drop, now) {
        let error = drop.own_problem().map(|problem| problem.message.as_str());
        tracing::error!(
            drop = %drop.id, key = drop.source.key, folder = drop.folder, alarm = "create_refused",
            error,
            "the API has refused to create jobs for over an hour"
        );
    }
}

fn warn_of_age(drop: &DropRecord, now: Timestamp) {
    let age = now.duration_since(drop.dropped_at);
    let (key, folder, state) = (&drop.source.key, &drop.folder, drop.state.as_str());
    let error = drop.own_problem().map(|problem| problem.message.as_str());
    if age > ALARM_AFTER {
        tracing::error!(
            drop = %drop.id, key, folder, state, hours = age.as_hours(), alarm = "drop_over_72h",
            error,
            "the drop is not finished"
        );
    } else if age > WARN_AFTER {
        tracing::warn!(
            drop = %drop.id, key, folder, state, hours = age.as_hours(), alarm = "drop_over_48h",
            error,
            "the drop is not finished"
        );
    }
}
