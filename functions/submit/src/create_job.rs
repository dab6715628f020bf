//! Creates a job for a part, and interprets the API's refusals.

use crate::outcome::{Cause, PartOutcome, cancel, log_failure};
use anyhow::{Context, Result};
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::drop::stack::StackCause;
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::JobName;
use moondrop_shared::part::{PartFailure, PartRecord};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::ledger::CreatedJob;
use moondrop_shared::services::metrics::Metric;
use std::sync::{Mutex, PoisonError};

pub(crate) enum JobOutcome {
    /// The part has a job, this attempt's or another's; the current record.
    Recorded(Box<PartRecord>),
    /// The part has no job.
    None(PartOutcome),
}

/// Since when the API has refused to create jobs for the drop, and since when it has blamed the
/// request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) refused: Option<Timestamp>,
    pub(crate) invalid: Option<Timestamp>,
}

impl Since {
    pub(crate) fn of(drop: &DropRecord) -> Self {
        Since { refused: drop.refused_since, invalid: drop.invalid_since }
    }
}

/// The refusals of a drop's jobs, shared by its parts. A refusal ends rows only if it comes twice,
/// far enough apart; for any parts, since the jobs of a drop differ only in their names.
pub(crate) struct Refusals(Mutex<Since>);

impl Refusals {
    pub(crate) fn of(drop: &DropRecord) -> Self {
        Refusals(Mutex::new(Since::of(drop)))
    }

    pub(crate) fn since(&self) -> Since {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the refusals: a job was created, or none is needed any more.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Since::default();
    }

    fn add(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refused.get_or_insert(now);
    }

    /// Adds a refusal that blames the request; returns when the first such one came.
    fn add_invalid(&self, now: Timestamp) -> Timestamp {
        self.add(now);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).invalid.get_or_insert(now)
    }
}

pub(crate) async fn create_job(
    services: &Services,
    drop: &DropRecord,
    part: &PartRecord,
    refusals: &Refusals,
) -> Result<JobOutcome> {
    let stack = services.settings.stack.clone();
    let name = JobName { stack, drop: drop.id.clone(), part: part.plan.number }.to_string();
    let policy = drop.policy.as_deref().context("the drop has no policy")?;
    // Before the call, so that the URL never looks younger than it is.
    let created_at = Timestamp::now();
    let created = match services.api.create(&name, policy).await {
        Ok(created) => created,
        Err(error) => {
            return not_created(services, part, refusals, error).await.map(JobOutcome::None);
        }
    };
    refusals.clear();
    let job = CreatedJob { id: created.id, upload_url: created.upload_url, created_at };
    // Exactly once: of all attempts, one gets its job recorded, and the others cancel theirs
    // unused. If the ledger does not answer, the job may be recorded and is not cancelled; if it is
    // not recorded, the sweep finds it.
    let recorded = services.ledger.record_job(part, &job).await?;
    if recorded.ours {
        services.metrics.count(Metric::JobsCreated, 1);
    } else {
        tracing::info!(
            drop = %drop.id, part = part.plan.number, job = job.id,
            "another attempt was first; its job is used"
        );
        cancel(services, part, &job.id).await;
    }
    Ok(JobOutcome::Recorded(Box::new(recorded.record)))
}

/// The outcome of a part for which no job was created, or none that we know of.
async fn not_created(
    services: &Services,
    part: &PartRecord,
    refusals: &Refusals,
    error: ApiError,
) -> Result<PartOutcome> {
    let now = Timestamp::now();
    let cause = match &error {
        ApiError::Invalid(message) => {
            let since = refusals.add_invalid(now);
            if now.duration_since(since).unsigned_abs() >= services.settings.confirm_after {
                let failure =
                    PartFailure::failed(format!("the API refuses to create a job: {message}"));
                if services.ledger.refuse_part(part, &failure, now).await?.ours {
                    log_failure(part, &failure);
                }
                return Ok(PartOutcome::Done);
            }
            Cause::Create(Problem::create_invalid(message))
        }
        ApiError::Refused(message) | ApiError::NotFound(message) => {
            refusals.add(now);
            Cause::Create(Problem::create_refused(message))
        }
        ApiError::Key => Cause::of_stack(StackCause::Key, Problem::key_refused()),
        ApiError::NotPermitted(_) => {
            Cause::of_stack(StackCause::CreateRight, Problem::key_refused())
        }
        ApiError::NoKey(_) => Cause::of_stack(StackCause::Key, Problem::no_key()),
        ApiError::Busy { .. } => Cause::Create(Problem::api_busy()),
        ApiError::Unreachable(_) | ApiError::Unclear(_) | ApiError::Unknown(_) => {
            Cause::Create(Problem::api_unclear())
        }
    };
    let error = describe(&error.into());
    tracing::warn!(
        drop = %part.drop, part = part.plan.number, error,
        "no job was created, or none we know of"
    );
    Ok(PartOutcome::Later(cause))
}
