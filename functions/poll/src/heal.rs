//! Healing: drops that stand still, and jobs that no record knows.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::aws::Services;
use moondrop_shared::batch_api::{Job, UPLOAD_URL_LIFE};
use moondrop_shared::drop::DropId;
use moondrop_shared::event::Announcement;
use moondrop_shared::job::{JobName, JobState};
use moondrop_shared::ledger::Sweep;
use moondrop_shared::metrics::Metric;
use moondrop_shared::record::{DropState, Meta, Part, PartState};
use moondrop_shared::runtime::describe;
use std::collections::HashMap;

/// The age from which an unfed job of ours that no record knows is an orphan.
const ORPHAN_AFTER: SignedDuration = SignedDuration::from_hours(5);
/// When an unfinished drop is warned of, and when it is an alarm.
const WARN_AFTER: SignedDuration = SignedDuration::from_hours(48);
const ALARM_AFTER: SignedDuration = SignedDuration::from_hours(72);

/// What an open drop needs.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: it is being worked on, or waits for its jobs.
    Nothing,
    /// Submit has to take it up again.
    Submit,
    /// All its parts may be collected: collect has to publish it.
    Publish,
}

/// Puts back on its way every drop that no one works on.
pub(crate) async fn heal_drops(services: &Services, drops: &[Meta], parts: &[Part], now: Timestamp) -> Result<()> {
    let mut by_drop: HashMap<&DropId, Vec<&Part>> = HashMap::new();
    for part in parts {
        by_drop.entry(&part.drop).or_default().push(part);
    }
    // What fails of one drop holds back no other; the first failure is told in the end.
    let mut outcome = Ok(());
    let (mut announcements, mut healed) = (Vec::new(), Vec::new());
    for meta in drops {
        warn_of_age(meta, now);
        let own = by_drop.get(&meta.id).map_or(&[][..], Vec::as_slice);
        match remedy(services, meta, own, now).await {
            Ok(None) => {}
            Ok(Some(announcement)) => {
                announcements.push(announcement);
                healed.push(meta);
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    // Told first, and marked as told then: an event that the bus did not take is put again at the next tick.
    services.bus.put(&announcements).await?;
    for meta in healed {
        outcome = outcome.and(services.ledger.touch(meta, now).await.map(|_| ()));
    }
    outcome
}

/// The event that puts a drop back on its way, if it needs one by now.
async fn remedy(services: &Services, meta: &Meta, open_parts: &[&Part], now: Timestamp) -> Result<Option<Announcement>> {
    let idle = now.duration_since(meta.touched_at).unsigned_abs();
    match need(meta, open_parts, now) {
        Need::Submit if idle >= services.settings.stalled_after => {
            tracing::warn!(drop = %meta.id, state = meta.state.as_str(), "the drop stands still; it goes back on the queue");
            services.metrics.count(Metric::DropsStalled, 1);
            Ok(Some(Announcement::DropStalled { source: meta.source.clone() }))
        }
        Need::Publish if idle >= services.settings.remind_after => {
            // The index lags: only a consistent read can say that everything is collected.
            let parts = services.ledger.parts(&meta.id).await?;
            let collected = parts.iter().all(|part| part.state == PartState::Collected);
            Ok(parts.first().filter(|_| collected).map(|first| {
                let (drop, part, job) = (meta.id.clone(), first.plan.number, first.job_id.clone());
                Announcement::JobCompleted { drop, part, job }
            }))
        }
        Need::Nothing | Need::Submit | Need::Publish => Ok(None),
    }
}

fn need(meta: &Meta, open_parts: &[&Part], now: Timestamp) -> Need {
    // Submit also concludes a drop whose end was recorded by an attempt that then died.
    if meta.state == DropState::Checking || meta.state.is_final() {
        return Need::Submit;
    }
    let life = SignedDuration::try_from(UPLOAD_URL_LIFE).unwrap_or(SignedDuration::ZERO);
    let young = |part: &Part| part.created_at.is_some_and(|at| now.duration_since(at) < life);
    let hungry = open_parts.iter().any(|part| match part.state {
        PartState::Planned => true,
        PartState::Created => young(part),
        _ => false,
    });
    let waiting = open_parts.iter().any(|part| matches!(part.state, PartState::Created | PartState::Abandoning));
    match () {
        () if hungry || (meta.state == DropState::Uploading && !waiting && !open_parts.is_empty()) => Need::Submit,
        () if open_parts.is_empty() => Need::Publish,
        () => Need::Nothing,
    }
}

fn warn_of_age(meta: &Meta, now: Timestamp) {
    let age = now.duration_since(meta.dropped_at);
    let (key, folder, state) = (&meta.source.key, &meta.folder, meta.state.as_str());
    let error = meta.trouble.as_ref().map(|trouble| trouble.reason.as_str());
    if age > ALARM_AFTER {
        tracing::error!(drop = %meta.id, key, folder, state, hours = age.as_hours(), alarm = "drop_over_72h", error, "the drop is not finished");
    } else if age > WARN_AFTER {
        tracing::warn!(drop = %meta.id, key, folder, state, hours = age.as_hours(), alarm = "drop_over_48h", error, "the drop is not finished");
    }
}

/// Cancels jobs of this stack that wait for rows which will never come: made by an attempt that died before it could record
/// them. Nothing was uploaded to them, since their address was never recorded.
pub(crate) async fn sweep(services: &Services, now: Timestamp) -> Result<()> {
    let due = services.ledger.due_sweeps(now).await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut clean = true;
    for job in services.api.waiting_jobs().await? {
        let Some((name, old)) = waiting(&job, &services.settings.stack, &due, now) else { continue };
        if is_ours(services, &name, &job.id).await? {
            continue;
        }
        if !old {
            // Made late in an invocation that then died, or by a clock other than ours: the sweep is made again.
            clean = false;
            continue;
        }
        match services.api.cancel(&job.id).await {
            Ok(()) => tracing::info!(drop = %name.drop, part = name.part, job = job.id, "an orphaned job is cancelled"),
            Err(error) => {
                clean = false;
                let error = describe(&error.into());
                tracing::warn!(drop = %name.drop, part = name.part, job = job.id, error, "an orphaned job was not cancelled");
            }
        }
    }
    if clean {
        for sweep in &due {
            services.ledger.swept(sweep).await?;
        }
    }
    Ok(())
}

/// The name of a job that may be an orphan, and whether it is old enough to be one: it waits for rows, is this stack's, and
/// is old, by its own time or, if it tells none, by its drop's; a young one matters only if its drop is due.
fn waiting(job: &Job, stack: &str, due: &[Sweep], now: Timestamp) -> Option<(JobName, bool)> {
    let name = JobName::parse(&job.name).filter(|name| name.stack == stack && job.state == JobState::Initialized)?;
    let is_due = due.iter().any(|sweep| sweep.drop == name.drop);
    let old = job.created_at.map_or(is_due, |at| now.duration_since(at) > ORPHAN_AFTER);
    (old || is_due).then_some((name, old))
}

/// Whether the ledger, read consistently, has this job as a part's own.
async fn is_ours(services: &Services, name: &JobName, job: &str) -> Result<bool> {
    let part = services.ledger.part(&name.drop, name.part).await?;
    Ok(part.is_some_and(|part| {
        let alive = matches!(part.state, PartState::Created | PartState::Abandoning | PartState::Uploaded);
        alive && part.job_id.as_deref() == Some(job)
    }))
}
