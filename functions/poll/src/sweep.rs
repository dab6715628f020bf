//! Sweeps: finds orphaned jobs, whose attempt died before it recorded them, and cancels them.

use crate::context::Tick;
use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{Job, JobName, JobState};
use moondrop_shared::part::PartState;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::ledger::{Open, Sweep};
use moondrop_shared::source::DropId;
use std::collections::{BTreeMap, BTreeSet};

/// The age from which a job of ours that waits for rows, and that no record has, is an orphan.
const ORPHAN_AFTER: SignedDuration = SignedDuration::from_hours(5);
/// The first and the longest wait until the next sweep after one that found orphans; the wait
/// doubles each time.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(5);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);
/// After how long a drop is swept no more: the API keeps jobs for at least 30 days, and no cancel
/// took effect on a job that it still lists then.
const ENDS_AFTER: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Cancels orphaned jobs of this stack. Nothing was uploaded to them, since their URL was never
/// recorded. The sweep of a drop is completed only when it finds no orphan: an accepted cancel may
/// not have taken effect yet.
pub(crate) async fn sweep(tick: &Tick<'_>) -> Result<()> {
    let (services, now) = (tick.services, tick.now);
    let Open { records: due, refused } = services.ledger.due_sweeps(now).await?;
    if due.is_empty() {
        return refused;
    }
    let mut found = Found::default();
    let waiting =
        services.api.waiting_jobs().await.inspect_err(|error| tick.cancels.failed(error))?;
    tick.cancels.accepted();
    for job in waiting {
        let name = JobName::parse(&job.name).filter(|name| name.stack == services.settings.stack);
        let Some(name) = name.filter(|_| job.state == JobState::Initialized) else { continue };
        if tick.deadline.is_near() {
            // The list was not read to its end: every due sweep is repeated.
            found.drops.extend(due.iter().map(|sweep| sweep.drop.clone()));
            break;
        }
        let sweep = due.iter().find(|sweep| sweep.drop == name.drop);
        let (has_time, old) = age(&job, sweep, now);
        if (!old && sweep.is_none()) || is_ours(tick, &name, &job.id).await? {
            continue;
        }
        // Also a job too young to cancel: it was created late in an invocation that died, or its
        // time is from another clock.
        found.drops.insert(name.drop.clone());
        if !has_time {
            found.seen.entry(name.drop.clone()).or_default().insert(job.id.clone());
        }
        if old {
            cancel(tick, &name, &job.id).await?;
        }
    }
    for sweep in &due {
        postpone_or_complete(tick, sweep, &found).await?;
    }
    refused
}

/// What a sweep found.
#[derive(Default)]
struct Found {
    /// The drops that have orphans.
    drops: BTreeSet<DropId>,
    /// The orphans without a creation time.
    seen: BTreeMap<DropId, BTreeSet<String>>,
}

/// Whether the job has a creation time, and whether it is old enough to be an orphan by that or by
/// when it was first seen.
fn age(job: &Job, sweep: Option<&Sweep>, now: Timestamp) -> (bool, bool) {
    let first_seen = || sweep.and_then(|sweep| sweep.seen.get(&job.id).copied());
    let since = job.created_at.or_else(first_seen);
    (job.created_at.is_some(), since.is_some_and(|since| now.duration_since(since) > ORPHAN_AFTER))
}

async fn cancel(tick: &Tick<'_>, name: &JobName, job: &str) -> Result<()> {
    match tick.services.api.cancel(job).await {
        Ok(()) => tracing::info!(
            drop = %name.drop, part = name.part, job,
            "an orphaned job is cancelled"
        ),
        Err(error @ (ApiError::Key | ApiError::NotPermitted(_))) => {
            tick.cancels.failed(&error);
            return Err(error.into());
        }
        Err(error) => {
            let error = describe(&error.into());
            tracing::warn!(
                drop = %name.drop, part = name.part, job, error,
                "an orphaned job was not cancelled"
            );
        }
    }
    Ok(())
}

async fn postpone_or_complete(tick: &Tick<'_>, sweep: &Sweep, found: &Found) -> Result<()> {
    let (ledger, now) = (&tick.services.ledger, tick.now);
    if !found.drops.contains(&sweep.drop) {
        return ledger.complete_sweep(sweep).await.map(|_| ());
    }
    let first_due = sweep.first_due.unwrap_or(sweep.open_since);
    if now.duration_since(first_due) > ENDS_AFTER {
        tracing::warn!(
            drop = %sweep.drop,
            "orphaned jobs of the drop could not be cancelled in a month; they are left"
        );
        return ledger.complete_sweep(sweep).await.map(|_| ());
    }
    let wait =
        FIRST_WAIT.checked_mul(1 << sweep.found.min(10)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
    // A job that is no longer listed is forgotten; one that was seen before keeps its time.
    let listed = found.seen.get(&sweep.drop).into_iter().flatten();
    let seen =
        listed.map(|job| (job.clone(), sweep.seen.get(job).copied().unwrap_or(now))).collect();
    let next = Sweep {
        open_since: now + wait,
        first_due: Some(first_due),
        found: sweep.found + 1,
        seen,
        ..sweep.clone()
    };
    ledger.put_off_sweep(&next, sweep.open_since).await.map(|_| ())
}

/// Whether the ledger, read consistently, has this job as a part's own.
async fn is_ours(tick: &Tick<'_>, name: &JobName, job: &str) -> Result<bool> {
    let part = tick.services.ledger.part(&name.drop, name.part).await?;
    Ok(part.is_some_and(|part| {
        let alive =
            matches!(part.state, PartState::Created | PartState::Abandoning | PartState::Uploaded);
        // The API may report a lost job again until its part is collected.
        let lost = part.state == PartState::Failed
            && part.failure.as_ref().is_some_and(|failure| failure.lost);
        (alive || lost) && part.job_id.as_deref() == Some(job)
    }))
}
