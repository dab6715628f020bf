//! Recovery: drops that no one works on are put on the queue again.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::event::OutgoingEvent;
use moondrop_shared::job::{UPLOAD_URL_LIFE, UPLOAD_URL_USED_FOR};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::Services;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::source::DropId;
use std::collections::HashMap;

/// When an unfinished drop is warned of, and when it is an alarm.
const WARN_AFTER: SignedDuration = SignedDuration::from_hours(48);
const ALARM_AFTER: SignedDuration = SignedDuration::from_hours(72);
/// When it is an alarm that the API refuses to create jobs for a drop.
const REFUSED_ALARM_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What an open drop needs.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: it is being worked on, or waits for its jobs.
    Nothing,
    /// Submit has to go on with it.
    Submit,
    /// All its parts may be collected: collect has to publish it.
    Publish,
}

/// Has submit or collect go on with every drop that no one works on.
pub(crate) async fn recover_drops(
    services: &Services,
    drops: &[DropRecord],
    parts: &[PartRecord],
    now: Timestamp,
) -> Result<()> {
    let mut by_drop: HashMap<&DropId, Vec<&PartRecord>> = HashMap::new();
    for part in parts {
        by_drop.entry(&part.drop).or_default().push(part);
    }
    // What fails of one drop holds back no other; the first failure is told in the end.
    let mut outcome = Ok(());
    let (mut announcements, mut recovered) = (Vec::new(), Vec::new());
    for meta in drops {
        warn_of_age(meta, now);
        warn_of_refusals(meta, now);
        let own = by_drop.get(&meta.id).map_or(&[][..], Vec::as_slice);
        match remedy(services, meta, own, now).await {
            Ok(None) => {}
            Ok(Some(announcement)) => {
                announcements.push(announcement);
                recovered.push(meta);
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    // Told first, and marked as told then: an event that the bus did not take is put again at the next tick.
    services.bus.put(&announcements).await?;
    for meta in recovered {
        outcome = outcome.and(services.ledger.touch(meta, now).await.map(|_| ()));
    }
    outcome
}

/// The event by which a drop goes on, if it needs one by now.
async fn remedy(
    services: &Services,
    meta: &DropRecord,
    open_parts: &[&PartRecord],
    now: Timestamp,
) -> Result<Option<OutgoingEvent>> {
    let idle = now.duration_since(meta.touched_at).unsigned_abs();
    match need(meta, open_parts, now) {
        Need::Submit if idle >= services.settings.stalled_after => {
            tracing::warn!(drop = %meta.id, state = meta.state.as_str(), "the drop stands still; it goes back on the queue");
            services.metrics.count(Metric::DropsStalled, 1);
            Ok(Some(OutgoingEvent::DropStalled { source: meta.source.clone() }))
        }
        Need::Publish if idle >= services.settings.stalled_after => {
            // The index lags: only a consistent read can say that everything is collected.
            let parts = services.ledger.parts(&meta.id).await?;
            let collected = parts.iter().all(|part| part.state == PartState::Collected);
            Ok(parts.first().filter(|_| collected).map(|first| {
                let (drop, part, job) = (meta.id.clone(), first.plan.number, first.job_id.clone());
                OutgoingEvent::JobCompleted { drop, part, job }
            }))
        }
        Need::Nothing | Need::Submit | Need::Publish => Ok(None),
    }
}

fn need(meta: &DropRecord, open_parts: &[&PartRecord], now: Timestamp) -> Need {
    // Submit also concludes a drop whose end was recorded by an attempt that then died.
    if meta.state == DropState::Checking || meta.state.is_final() {
        return Need::Submit;
    }
    let life = SignedDuration::try_from(UPLOAD_URL_LIFE).unwrap_or(SignedDuration::ZERO);
    let young = |part: &PartRecord| part.created_at.is_some_and(|at| now.duration_since(at) < life);
    let usable = |part: &PartRecord| part.created_at.is_some_and(|at| now.duration_since(at) < UPLOAD_URL_USED_FOR);
    let to_repeat = |part: &PartRecord| part.repeat_due_at.is_some() && part.repeat_began_at.is_none() && usable(part);
    let hungry = open_parts.iter().any(|part| match part.state {
        PartState::Planned => true,
        PartState::Created => young(part),
        PartState::Uploaded => to_repeat(part),
        _ => false,
    });
    let waiting = open_parts.iter().any(|part| matches!(part.state, PartState::Created | PartState::Abandoning));
    match () {
        () if hungry || (meta.state == DropState::Uploading && !waiting && !open_parts.is_empty()) => Need::Submit,
        () if open_parts.is_empty() => Need::Publish,
        () => Need::Nothing,
    }
}

/// Whether the API has refused to create jobs for a drop for so long that someone has to look.
pub(crate) fn is_refused(meta: &DropRecord, now: Timestamp) -> bool {
    !meta.state.is_final() && meta.refused_since.is_some_and(|since| now.duration_since(since) >= REFUSED_ALARM_AFTER)
}

fn warn_of_refusals(meta: &DropRecord, now: Timestamp) {
    if is_refused(meta, now) {
        let error = meta.trouble.as_ref().map(|trouble| trouble.reason.as_str());
        tracing::error!(drop = %meta.id, key = meta.source.key, folder = meta.folder, alarm = "create_refused", error, "the API has refused to create jobs for over an hour");
    }
}

fn warn_of_age(meta: &DropRecord, now: Timestamp) {
    let age = now.duration_since(meta.dropped_at);
    let (key, folder, state) = (&meta.source.key, &meta.folder, meta.state.as_str());
    let error = meta.trouble.as_ref().map(|trouble| trouble.reason.as_str());
    if age > ALARM_AFTER {
        tracing::error!(drop = %meta.id, key, folder, state, hours = age.as_hours(), alarm = "drop_over_72h", error, "the drop is not finished");
    } else if age > WARN_AFTER {
        tracing::warn!(drop = %meta.id, key, folder, state, hours = age.as_hours(), alarm = "drop_over_48h", error, "the drop is not finished");
    }
}
