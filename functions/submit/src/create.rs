//! Creating a job for a part, and what the API's refusals mean.

use crate::feed::{Fed, cancel, later, note_failure};
use anyhow::{Context, Result};
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::JobName;
use moondrop_shared::part::{PartFailure, PartRecord};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::metrics::Metric;
use std::sync::{Mutex, PoisonError};

/// The class of the trouble with an API that refuses to create jobs.
pub(crate) const CREATE_REFUSED: &str = "E_API_REFUSED";

/// What became of a job that was to be created.
pub(crate) enum Created {
    /// One is recorded, this attempt's or another's: the part as it stands now.
    Recorded(Box<PartRecord>),
    /// None is.
    Not(Fed),
}

/// Since when the API refuses to create jobs for the drop. A refusal ends rows, so it has to be given twice, well apart; whom it
/// is given does not matter, since the jobs of a drop differ in their names alone.
pub(crate) struct Refusals {
    refused: Mutex<Option<Timestamp>>,
    invalid: Mutex<Option<Timestamp>>,
}

impl Refusals {
    pub(crate) fn of(meta: &DropRecord) -> Self {
        Refusals { refused: Mutex::new(meta.refused_since), invalid: Mutex::new(meta.invalid_since) }
    }

    pub(crate) fn since(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let read = |since: &Mutex<Option<Timestamp>>| *since.lock().unwrap_or_else(PoisonError::into_inner);
        (read(&self.refused), read(&self.invalid))
    }

    pub(crate) fn are_other_than(&self, meta: &DropRecord) -> bool {
        self.since() != (meta.refused_since, meta.invalid_since)
    }

    /// A job was created, or none is needed any more: what was refused before is over.
    pub(crate) fn clear(&self) {
        for since in [&self.refused, &self.invalid] {
            *since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Notes a refusal; since when the API blames the request, if it does.
    fn note(&self, blames_request: bool, now: Timestamp) -> Option<Timestamp> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
        let mut invalid = self.invalid.lock().unwrap_or_else(PoisonError::into_inner);
        if blames_request {
            invalid.get_or_insert(now);
        }
        *invalid
    }
}

/// Creates a job and records it.
pub(crate) async fn create(services: &Services, meta: &DropRecord, part: &PartRecord, refusals: &Refusals) -> Result<Created> {
    let settings = &services.settings;
    let name = JobName { stack: settings.stack.clone(), drop: meta.id.clone(), part: part.plan.number }.to_string();
    let policy = meta.policy.as_deref().context("the drop has no policy")?;
    // Before the call, so that the URL is never taken for younger than it is.
    let created_at = Timestamp::now();
    match services.api.create(&name, policy).await {
        Ok(job) => {
            refusals.clear();
            // Exactly once: of all attempts, the one that gets its job recorded feeds it; the others' are cancelled unfed. If the
            // ledger does not answer, the job may be recorded, and is left alone: the sweep finds it if it is not.
            let recorded = services.ledger.record_job(part, &job.id, &job.upload_url, created_at).await?;
            if recorded.ours {
                services.metrics.count(Metric::JobsCreated, 1);
            } else {
                tracing::info!(drop = %meta.id, part = part.plan.number, job = job.id, "another attempt was first; its job stands");
                cancel(services, meta, part, &job.id).await;
            }
            Ok(Created::Recorded(Box::new(recorded.part)))
        }
        Err(error) => not_created(services, meta, part, refusals, error).await.map(Created::Not),
    }
}

/// What becomes of a part for which no job was created, or none that we know of.
async fn not_created(
    services: &Services,
    meta: &DropRecord,
    part: &PartRecord,
    refusals: &Refusals,
    error: ApiError,
) -> Result<Fed> {
    let again = "It will be tried again by itself.";
    let fed = match &error {
        ApiError::Invalid(words) => {
            let now = Timestamp::now();
            let since = refusals.note(true, now).unwrap_or(now);
            if now.duration_since(since).unsigned_abs() >= services.settings.confirm_after {
                let failure = PartFailure { lost: false, reason: format!("the API refuses to create a job: {words}") };
                if services.ledger.refuse_part(part, &failure, now).await? {
                    note_failure(services, meta, part, &failure);
                }
                return Ok(Fed::Done);
            }
            let next = "It will be asked once more in a while. If it refuses again, the rows end as failed: then check the policy's id.";
            later(CREATE_REFUSED, format!("the API refuses to create a job: {words}"), next)
        }
        ApiError::Refused(words) | ApiError::NotFound(words) => {
            refusals.note(false, Timestamp::now());
            let next = "It will be tried again by itself. If it stays so for an hour, it needs you to ask the API's vendor.";
            later(CREATE_REFUSED, format!("the API refuses to create a job: {words}"), next)
        }
        ApiError::Key | ApiError::NotPermitted(_) => Fed::Later(Problem::key_refused()),
        ApiError::NoKey(_) => Fed::Later(Problem::no_key()),
        ApiError::Busy { .. } => {
            let next = "It will be tried again by itself; a daily limit may take until tomorrow.";
            later("E_API_BUSY", "the API takes no more requests for now (429)", next)
        }
        ApiError::Unreachable(_) | ApiError::Unclear(_) | ApiError::Unknown(_) => {
            later("E_API", "the API could not be reached, or gave no clear answer", again)
        }
    };
    let error = describe(&error.into());
    tracing::warn!(drop = %meta.id, part = part.plan.number, error, "no job was created, or none we know of");
    Ok(fed)
}
