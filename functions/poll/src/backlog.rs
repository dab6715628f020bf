//! The open drops and jobs of a tick, and their ages.

use crate::recover::is_refused;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::metrics::{Metric, Metrics};

/// The values of each tick's metrics; ages are in seconds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    drops: u64,
    jobs: u64,
    oldest_drop: u64,
    oldest_job: u64,
    over_48h: u64,
    over_72h: u64,
    unknown: u64,
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

/// Counts the open drops, whose end is not reported, and the open jobs, which have not ended.
pub(crate) fn read(drops: &[DropRecord], parts: &[PartRecord], now: Timestamp) -> Backlog {
    let seconds =
        |since: Timestamp| u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    let creates_refused = drops.iter().filter(|drop| is_refused(drop, now)).count() as u64;
    let held: Vec<u64> = parts
        .iter()
        .filter_map(|part| part.held.as_ref())
        .map(|held| seconds(held.since))
        .collect();
    let count =
        |is: &dyn Fn(&PartRecord) -> bool| parts.iter().filter(|part| is(part)).count() as u64;
    let drops: Vec<u64> = drops.iter().map(|drop| seconds(drop.dropped_at)).collect();
    let open = parts.iter().filter(|part| part.state.has_open_job());
    let jobs: Vec<u64> = open.filter_map(|part| part.created_at).map(seconds).collect();
    let over = |hours: i64| {
        let limit = SignedDuration::from_hours(hours).as_secs().unsigned_abs();
        jobs.iter().filter(|age| **age > limit).count() as u64
    };
    Backlog {
        drops: drops.len() as u64,
        jobs: jobs.len() as u64,
        oldest_drop: drops.iter().copied().max().unwrap_or(0),
        oldest_job: jobs.iter().copied().max().unwrap_or(0),
        over_48h: over(48),
        over_72h: over(72),
        unknown: count(&|part| is_unknown(part)),
        not_started: count(&|part| part.state.has_open_job() && part.not_started.is_some()),
        held: held.len() as u64,
        oldest_held: held.iter().copied().max().unwrap_or(0),
        creates_refused,
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

/// Writes the metrics. What can happen in a tick and did not is counted as 0, so that every tick
/// has every metric.
pub(crate) fn measure(metrics: &Metrics, backlog: &Backlog) {
    metrics.note(Metric::OpenDrops, backlog.drops);
    metrics.note(Metric::OpenJobs, backlog.jobs);
    metrics.note(Metric::OldestDropAge, backlog.oldest_drop);
    metrics.note(Metric::OldestJobAge, backlog.oldest_job);
    metrics.note(Metric::JobsOver48h, backlog.over_48h);
    metrics.note(Metric::JobsOver72h, backlog.over_72h);
    metrics.note(Metric::JobsUnknown, backlog.unknown);
    metrics.note(Metric::JobsNotStarted, backlog.not_started);
    metrics.note(Metric::PartsHeld, backlog.held);
    metrics.note(Metric::OldestHeldAge, backlog.oldest_held);
    metrics.note(Metric::CreatesRefused, backlog.creates_refused);
    for metric in
        [Metric::NoJobReported, Metric::JobsFailed, Metric::JobsLost, Metric::DropsStalled]
    {
        metrics.count(metric, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moondrop_shared::plan::PlannedPart;
    use moondrop_shared::source::DropId;

    fn job(state: PartState, hours: i64, now: Timestamp) -> PartRecord {
        let plan = PlannedPart {
            number: 1,
            first_line: 2,
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
            ..Backlog::default()
        };
        assert_eq!(read(&[], &parts, now), expected);
        assert_eq!(read(&[], &[], now), Backlog::default());
    }
}
