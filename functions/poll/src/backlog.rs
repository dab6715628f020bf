//! The open drops and jobs of a tick, and their ages.

use crate::recover::is_refused;
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::metrics::{Metric, Metrics};
use moondrop_shared::source::DropId;
use std::collections::HashMap;

/// The values of each tick's metrics; ages are in seconds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    drops: u64,
    jobs: u64,
    oldest_drop: u64,
    oldest_job: u64,
    over_48h: u64,
    over_72h: u64,
    waiting: u64,
    oldest_waiting: u64,
    failed: u64,
    lost: u64,
    uncollected: u64,
    oldest_uncollected: u64,
    overdue: u64,
    unknown: u64,
    oldest_unknown: u64,
    not_started: u64,
    held: u64,
    oldest_held: u64,
    creates_refused: u64,
}

/// How long a job is absent before it is an alarm, in seconds.
const UNKNOWN_AFTER: u64 = 3_600;
/// How long results are held before it is an alarm, in seconds: ten days before the API may delete
/// its copy.
const HELD_ALARM_AFTER: u64 = 20 * 86_400;

/// How long a drop counts as newly overdue.
const OVERDUE_FOR: u64 = 600;

/// Counts the open drops, whose end is not reported, and the parts whose rows are not stored.
pub(crate) fn read(drops: &[DropRecord], parts: &[PartRecord], now: Timestamp) -> Backlog {
    let seconds =
        |since: Timestamp| u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    let ages = |part: &dyn Fn(&PartRecord) -> Option<u64>| -> Ages {
        Ages(parts.iter().filter_map(part).collect())
    };
    let count =
        |is: &dyn Fn(&PartRecord) -> bool| parts.iter().filter(|part| is(part)).count() as u64;
    let of_drops = Ages(drops.iter().map(|drop| seconds(drop.dropped_at)).collect());
    let planned_at: HashMap<&DropId, Timestamp> =
        drops.iter().filter_map(|drop| Some((&drop.id, drop.times.planned_at?))).collect();
    let jobs = ages(&|part| part.created_at.filter(|_| part.state.has_open_job()).map(seconds));
    let waiting = ages(&|part| {
        let planned_at = planned_at.get(&part.drop).copied().unwrap_or(now);
        (part.state == PartState::Planned).then(|| seconds(planned_at))
    });
    let uncollected = ages(&|part| {
        let is = part.state.is_collectable() && part.held.is_none();
        is.then(|| seconds(part.ended_at.unwrap_or(now)))
    });
    let held = ages(&|part| part.held.as_ref().map(|held| seconds(held.since)));
    let unknown = ages(&|part| is_unknown(part).then_some(part.absent_seconds));
    let failed = |lost: bool| {
        count(&|part| {
            let failure = part.failure.as_ref().filter(|_| part.state == PartState::Failed);
            failure.is_some_and(|failure| failure.lost == lost && !failure.cancelled)
        })
    };
    let overdue = drops.iter().filter_map(|drop| drop.overdue_at).map(seconds);
    Backlog {
        drops: of_drops.count(),
        jobs: jobs.count(),
        oldest_drop: of_drops.oldest(),
        oldest_job: jobs.oldest(),
        over_48h: jobs.over(48),
        over_72h: jobs.over(72),
        waiting: waiting.count(),
        oldest_waiting: waiting.oldest(),
        failed: failed(false),
        lost: failed(true),
        uncollected: uncollected.count(),
        oldest_uncollected: uncollected.oldest(),
        overdue: overdue.filter(|age| *age < OVERDUE_FOR).count() as u64,
        unknown: unknown.count(),
        oldest_unknown: unknown.oldest(),
        not_started: count(&|part| part.state.has_open_job() && part.not_started.is_some()),
        held: held.count(),
        oldest_held: held.oldest(),
        creates_refused: drops.iter().filter(|drop| is_refused(drop, now)).count() as u64,
    }
}

/// Ages in seconds.
struct Ages(Vec<u64>);

impl Ages {
    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn oldest(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    fn over(&self, hours: u64) -> u64 {
        self.0.iter().filter(|age| **age > hours * 3_600).count() as u64
    }
}

fn is_unknown(part: &PartRecord) -> bool {
    (part.state.has_open_job() || part.state == PartState::Completed)
        && part.absent_seconds >= UNKNOWN_AFTER
}

/// Logs the jobs and the results that may soon be lost.
pub(crate) fn warn(parts: &[PartRecord], now: Timestamp) {
    for part in parts {
        let (number, job, hours) =
            (part.plan.number, part.job_id.as_deref(), part.absent_seconds / 3_600);
        if is_unknown(part) {
            tracing::error!(
                drop = %part.drop, part = number, job, hours, alarm = "job_unknown",
                "the API has not reported a job for over an hour"
            );
        }
        if let Some(held) = part.held.as_ref().filter(|held| {
            now.duration_since(held.since).as_secs().unsigned_abs() >= HELD_ALARM_AFTER
        }) {
            let (code, error, object) = (held.code.as_str(), &held.message, held.key.as_str());
            tracing::error!(
                drop = %part.drop, part = number, job, code, error, object, alarm = "held_20_days",
                "results have been held for twenty days"
            );
        }
    }
}

/// Writes the metrics, at once: what follows in the tick may take long. What can happen in a tick
/// and did not is counted as 0, so that every tick has every metric.
pub(crate) fn measure(metrics: &Metrics, backlog: &Backlog) {
    for (metric, level) in [
        (Metric::OpenDrops, backlog.drops),
        (Metric::OpenJobs, backlog.jobs),
        (Metric::OldestDropAge, backlog.oldest_drop),
        (Metric::OldestJobAge, backlog.oldest_job),
        (Metric::JobsOver48h, backlog.over_48h),
        (Metric::JobsOver72h, backlog.over_72h),
        (Metric::PartsWaiting, backlog.waiting),
        (Metric::OldestWaitingAge, backlog.oldest_waiting),
        (Metric::JobsFailed, backlog.failed),
        (Metric::JobsLost, backlog.lost),
        (Metric::JobsUncollected, backlog.uncollected),
        (Metric::OldestUncollectedAge, backlog.oldest_uncollected),
        (Metric::DropsOverdue, backlog.overdue),
        (Metric::JobsUnknown, backlog.unknown),
        (Metric::OldestUnknownAge, backlog.oldest_unknown),
        (Metric::JobsNotStarted, backlog.not_started),
        (Metric::PartsHeld, backlog.held),
        (Metric::OldestHeldAge, backlog.oldest_held),
        (Metric::CreatesRefused, backlog.creates_refused),
    ] {
        metrics.note(metric, level);
    }
    for metric in [Metric::NoJobReported, Metric::DropsStalled] {
        metrics.count(metric, 0);
    }
    metrics.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use moondrop_shared::part::PartFailure;
    use moondrop_shared::plan::PlannedPart;

    fn job(state: PartState, hours: i64, now: Timestamp) -> PartRecord {
        let plan = PlannedPart {
            number: 1,
            first_line: 2,
            first_row: Some(1),
            offset: 9,
            end: 99,
            rows: 1,
            accepted: 1,
            upload_bytes: 99,
            rejected_offset: 0,
            rejected_bytes: 0,
        };
        let created_at =
            Some(now - SignedDuration::from_hours(hours) - SignedDuration::from_secs(1));
        PartRecord {
            state,
            job_id: Some("j".into()),
            created_at,
            ..PartRecord::planned(DropId::of("b", "k", "v"), plan)
        }
    }

    #[test]
    fn open_jobs_are_counted_by_their_age_and_ended_ones_are_not() {
        let now = Timestamp::now();
        let parts = [
            job(PartState::Created, 1, now),
            job(PartState::Uploaded, 48, now),
            job(PartState::Abandoning, 72, now),
            job(PartState::Completed, 90, now),
            job(PartState::Failed, 90, now),
            PartRecord { created_at: None, job_id: None, ..job(PartState::Planned, 90, now) },
        ];
        let expected = Backlog {
            jobs: 3,
            oldest_job: 72 * 3600 + 1,
            over_48h: 2,
            over_72h: 1,
            waiting: 1,
            uncollected: 2,
            ..Backlog::default()
        };
        assert_eq!(read(&[], &parts, now), expected);
        assert_eq!(read(&[], &[], now), Backlog::default());
    }

    #[test]
    fn failed_and_lost_jobs_count_until_their_rows_are_stored_and_cancelled_ones_do_not() {
        let now = Timestamp::now();
        let ended = |failure: PartFailure, state| PartRecord {
            failure: Some(failure),
            ended_at: Some(now - SignedDuration::from_secs(30)),
            ..job(state, 1, now)
        };
        let parts = [
            ended(PartFailure::failed("why"), PartState::Failed),
            ended(PartFailure::lost("why"), PartState::Failed),
            ended(PartFailure::cancelled(), PartState::Failed),
            ended(PartFailure::failed("why"), PartState::Collected),
        ];
        let backlog = read(&[], &parts, now);
        assert_eq!((backlog.failed, backlog.lost), (1, 1));
        assert_eq!((backlog.uncollected, backlog.oldest_uncollected), (3, 30));
    }
}
