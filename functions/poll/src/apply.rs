//! Applies the decision about a part to its record.

use crate::context::Tick;
use anyhow::{Context, Result};
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::{NeedsAction, OutgoingEvent};
use moondrop_shared::job::JobState;
use moondrop_shared::part::decide::Action;
use moondrop_shared::part::{NotStarted, PartFailure, PartRecord, PartState};
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::ledger::Recorded;

/// The current part, and whether it changed in a way that status.json shows.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) part: PartRecord,
    pub(crate) is_worth_reporting: bool,
}

impl Applied {
    fn unchanged(part: &PartRecord) -> Self {
        Applied { part: part.clone(), is_worth_reporting: false }
    }
}

impl From<Recorded<PartRecord>> for Applied {
    fn from(recorded: Recorded<PartRecord>) -> Self {
        Applied { part: recorded.record, is_worth_reporting: recorded.ours }
    }
}

pub(crate) async fn apply(tick: &Tick<'_>, part: &PartRecord, action: Action) -> Result<Applied> {
    let (ledger, now) = (&tick.services.ledger, tick.now);
    let number = part.plan.number;
    match action {
        Action::Nothing => Ok(Applied::unchanged(part)),
        Action::Record(change) => {
            let recorded = ledger.record_job_state(part, &change, now).await?;
            log_failure(&recorded, change.failure.as_ref());
            Ok(recorded.into())
        }
        Action::NoteState(job) => {
            let recorded = ledger.note_job_state(part, &job).await?;
            if recorded.ours
                && let JobState::Unknown(state) = &job
            {
                tracing::warn!(
                    drop = %part.drop, part = number, job = part.job_id, state,
                    "the job is in a state that Moondrop does not know; it counts as not ended"
                );
            }
            Ok(recorded.into())
        }
        Action::NoteAbsent(seconds) => {
            if part.absent_at.is_none() {
                tracing::warn!(
                    drop = %part.drop, part = number, job = part.job_id,
                    "the API does not report a job; its part waits"
                );
            }
            Ok(ledger.note_absent(part, seconds, now).await?.into())
        }
        Action::NoteReported => Ok(ledger.note_reported(part).await?.into()),
        Action::NoteOverdue => Ok(ledger.note_overdue(part, now).await?.into()),
        Action::Lose(failure) => {
            let recorded = ledger.mark_lost(part, &failure, now).await?;
            if recorded.ours {
                tracing::error!(
                    drop = %part.drop, part = number, job = part.job_id, alarm = "job_lost",
                    error = failure.reason,
                    "a job is lost; its rows end as missing"
                );
            }
            Ok(recorded.into())
        }
        Action::Fail(ended) => {
            let recorded = ledger.fail_completed(part, &ended, now).await?;
            log_failure(&recorded, Some(&ended.failure));
            Ok(recorded.into())
        }
        Action::Abandon { ended } => {
            // Claim first: otherwise another attempt could be uploading to the job that is
            // cancelled.
            let recorded = ledger.abandon(part, ended, now).await?;
            if recorded.ours {
                cancel(tick, part).await?;
            }
            Ok(recorded.into())
        }
        Action::CancelOnRequest => {
            // Recorded first: an API that does not answer is asked again in an hour, not each tick.
            let recorded = ledger.note_cancel_sent(part, now).await?;
            if recorded.ours || recorded.record.cancel_sent_at == Some(now) {
                cancel_on_request(tick, part).await?;
            }
            Ok(recorded.into())
        }
        Action::FailCancelled => {
            let recorded = ledger.fail_cancelled(part, now).await?;
            if recorded.ours {
                tracing::warn!(
                    drop = %part.drop, part = number, job = part.job_id,
                    "a part of a cancelled drop ends without results"
                );
                if part.job_id.is_some() && part.state != PartState::Completed {
                    cancel_on_request(tick, part).await?;
                }
            }
            Ok(recorded.into())
        }
        Action::Cancel => cancel(tick, part).await.map(|()| Applied::unchanged(part)),
        Action::PlanAgain => {
            let recorded = ledger.plan_again(part).await?;
            if recorded.ours {
                tracing::info!(
                    drop = %part.drop, part = number, job = part.job_id,
                    "a job is given up; its part gets another"
                );
            }
            Ok(recorded.into())
        }
        Action::NoteNotStarted(problem) => note_not_started(tick, part, problem, false).await,
        Action::Repeat(problem) => note_not_started(tick, part, problem, true).await,
    }
}

fn log_failure(recorded: &Recorded<PartRecord>, failure: Option<&PartFailure>) {
    let Some(failure) = failure.filter(|failure| recorded.ours && !failure.cancelled) else {
        return;
    };
    let part = &recorded.record;
    let state = part.job_state.as_ref().map(JobState::as_str);
    tracing::error!(
        drop = %part.drop, part = part.plan.number, job = part.job_id, state, alarm = "job_failed",
        error = failure.reason,
        "a job ended without results"
    );
}

/// Records that a job does not start. The event goes first: if the bus does not accept it, the next
/// tick puts it again.
async fn note_not_started(
    tick: &Tick<'_>,
    part: &PartRecord,
    problem: NotStarted,
    repeat: bool,
) -> Result<Applied> {
    let services = tick.services;
    if part.not_started.is_none() {
        let noted = PartRecord { not_started: Some(problem), ..part.clone() };
        let event = NeedsAction::of(&noted, tick.drop_of(part), &services.settings.results_bucket);
        let event: Vec<_> = event
            .map(|event| OutgoingEvent::DropNeedsAction(Box::new(event)))
            .into_iter()
            .collect();
        services.bus.put(&event).await?;
        let error = noted.problem().map(|problem| problem.message);
        tracing::error!(
            drop = %part.drop, part = part.plan.number, job = part.job_id,
            alarm = "job_not_started", error,
            "a job has its rows and does not start"
        );
    }
    let recorded =
        services.ledger.note_not_started(part, &problem, repeat.then_some(tick.now)).await?;
    if recorded.ours && repeat {
        tracing::warn!(
            drop = %part.drop, part = part.plan.number, job = part.job_id,
            "its rows are to be uploaded once more"
        );
    }
    Ok(recorded.into())
}

/// Asks the API to cancel the job of a cancelled part. What hinders it concerns the key or its
/// rights, or passes.
async fn cancel_on_request(tick: &Tick<'_>, part: &PartRecord) -> Result<()> {
    match cancel(tick, part).await {
        Err(error) if !is_of_the_key(&error) => {
            tracing::warn!(
                drop = %part.drop, part = part.plan.number, job = part.job_id,
                error = describe(&error),
                "the job of a cancelled drop was not cancelled"
            );
            Ok(())
        }
        done => done,
    }
}

/// Whether the API refuses the key, or does not let it do this.
pub(crate) fn is_of_the_key(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ApiError::Key | ApiError::NotPermitted(_)))
}

async fn cancel(tick: &Tick<'_>, part: &PartRecord) -> Result<()> {
    let job = part.job_id.as_deref().context("a claimed part has no job")?;
    match tick.services.api.cancel(job).await {
        // The next tick sees whether it took effect.
        Ok(()) | Err(ApiError::NotFound(_)) => {
            tick.cancels.accepted();
            Ok(())
        }
        // A job that cannot be cancelled has ended, is gone, or still waits; its part waits too.
        Err(error @ (ApiError::Refused(_) | ApiError::Invalid(_))) => {
            let error = describe(&error.into());
            tracing::warn!(
                drop = %part.drop, part = part.plan.number, job, error,
                "a claimed job was not cancelled"
            );
            Ok(())
        }
        Err(error) => {
            tick.cancels.failed(&error);
            Err(error.into())
        }
    }
}
