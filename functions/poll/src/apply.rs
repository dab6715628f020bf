//! Doing what was decided about a part.

use anyhow::{Context, Result};
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::{NeedsAction, OutgoingEvent};
use moondrop_shared::job::JobState;
use moondrop_shared::part::decide::Move;
use moondrop_shared::part::{NotStarted, PartFailure, PartRecord, PartState};
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::metrics::Metric;

/// Does what was decided; whether the part's record changed in a way worth telling. `part` then stands as it is recorded.
pub(crate) async fn apply(
    services: &Services,
    drops: &[DropRecord],
    part: &mut PartRecord,
    decided: Move,
    now: Timestamp,
) -> Result<bool> {
    let ledger = &services.ledger;
    match decided {
        Move::Nothing => Ok(false),
        Move::Record { job, state, failure } => {
            let recorded = ledger.record_job_state(part, &job, state, failure.as_ref(), now).await?;
            if recorded {
                part.state = state.unwrap_or(part.state);
                (part.job_rank, part.absent_at, part.absent_seconds) = (job.rank(), None, 0);
                if job.is_started() {
                    part.not_started = None;
                }
                part.job_state = Some(job);
                note_failure(services, part, failure);
            }
            Ok(recorded)
        }
        Move::NoteState(job) => {
            let noted = ledger.note_job_state(part, &job).await?;
            if noted && let JobState::Unknown(word) = &job {
                tracing::warn!(drop = %part.drop, part = part.plan.number, job = part.job_id, state = word, "the job is in a state that Moondrop does not know; it counts as under way");
            }
            part.job_state = Some(job);
            Ok(noted)
        }
        Move::NoteAbsent(seconds) => {
            if part.absent_at.is_none() {
                tracing::warn!(drop = %part.drop, part = part.plan.number, job = part.job_id, "the API does not report a job; it is held");
            }
            let noted = ledger.note_absent(part, seconds, now).await?;
            (part.absent_seconds, part.absent_at) = (seconds, Some(now));
            Ok(noted)
        }
        Move::NoteReported => {
            let noted = ledger.note_reported(part).await?;
            (part.absent_seconds, part.absent_at, part.overdue_at) = (0, None, None);
            Ok(noted)
        }
        Move::NoteOverdue => ledger.note_overdue(part, now).await,
        Move::Lose(failure) => {
            let lost = ledger.lose(part, &failure, now).await?;
            if lost {
                tracing::error!(drop = %part.drop, part = part.plan.number, job = part.job_id, alarm = "job_lost", error = failure.reason, "a job is lost; its rows end as missing");
                services.metrics.count(Metric::JobsLost, 1);
                (part.state, part.failure) = (PartState::Failed, Some(failure));
            }
            Ok(lost)
        }
        Move::Fail { job, failure } => {
            let failed = ledger.fail_completed(part, &job, &failure, now).await?;
            if failed {
                (part.state, part.job_state) = (PartState::Failed, Some(job));
                note_failure(services, part, Some(failure));
            }
            Ok(failed)
        }
        Move::Abandon { ended } => {
            // The claim first: cancelling without it could hit a job that another attempt is feeding.
            let claimed = ledger.abandon(part, ended, now).await?;
            if claimed {
                part.state = PartState::Abandoning;
                cancel(services, part).await?;
            }
            Ok(claimed)
        }
        Move::Cancel => cancel(services, part).await.map(|()| false),
        Move::PlanAgain => {
            let planned = ledger.plan_again(part).await?;
            if planned {
                tracing::info!(drop = %part.drop, part = part.plan.number, job = part.job_id, "a job is given up; the part gets another");
                (part.state, part.job_id) = (PartState::Planned, None);
            }
            Ok(planned)
        }
        Move::NoteNotStarted(problem) => note_not_started(services, drops, part, problem, None, now).await,
        Move::Repeat(problem) => note_not_started(services, drops, part, problem, Some(now), now).await,
    }
}

fn note_failure(services: &Services, part: &mut PartRecord, failure: Option<PartFailure>) {
    if let Some(failure) = failure {
        let state = part.job_state.as_ref().map(JobState::as_str);
        tracing::error!(drop = %part.drop, part = part.plan.number, job = part.job_id, state, alarm = "job_failed", error = failure.reason, "a job ended without results");
        services.metrics.count(Metric::JobsFailed, 1);
        part.failure = Some(failure);
    }
}

/// Records that a job does not start. The event goes first: one that the bus did not take is put again at the next tick.
async fn note_not_started(
    services: &Services,
    drops: &[DropRecord],
    part: &mut PartRecord,
    problem: NotStarted,
    repeat: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool> {
    if part.not_started.is_none() {
        let seen = PartRecord { not_started: Some(problem), ..part.clone() };
        let meta = drops.iter().find(|meta| meta.id == part.drop);
        let event = NeedsAction::of(&seen, meta, &services.settings.results_bucket);
        let event: Vec<_> = event.map(|event| OutgoingEvent::DropNeedsAction(Box::new(event))).into_iter().collect();
        services.bus.put(&event).await?;
        let error = seen.trouble().map(|trouble| trouble.reason);
        tracing::error!(drop = %part.drop, part = part.plan.number, job = part.job_id, alarm = "job_not_started", error, "a job has its rows and does not start");
    }
    let noted = services.ledger.note_not_started(part, &problem, repeat).await?;
    if noted {
        part.not_started = Some(problem);
        if repeat.is_some() {
            part.repeat_due_at = Some(now);
            tracing::warn!(drop = %part.drop, part = part.plan.number, job = part.job_id, "its rows are to be uploaded once more");
        }
    }
    Ok(noted)
}

async fn cancel(services: &Services, part: &PartRecord) -> Result<()> {
    let job = part.job_id.as_deref().context("a claimed part has no job")?;
    match services.api.cancel(job).await {
        // What became of it, the next tick sees.
        Ok(()) | Err(ApiError::NotFound(_)) => Ok(()),
        // A job that cannot be cancelled has ended, or is gone, or waits on; the part waits with it.
        Err(error @ (ApiError::Refused(_) | ApiError::Invalid(_))) => {
            let error = describe(&error.into());
            tracing::warn!(drop = %part.drop, part = part.plan.number, job, error, "a claimed job was not cancelled");
            Ok(())
        }
        // Not this job's alone: the key, or its rights.
        Err(ApiError::NotPermitted(_)) => Err(ApiError::Key.into()),
        Err(error) => Err(error.into()),
    }
}
