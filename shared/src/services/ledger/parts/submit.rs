//! The transitions that submit makes: it records a job, uploads the rows, or fails a part whose rows
//! were not sent.

use super::{JOB_ATTRIBUTES, Written, fail, if_unchanged, remove_all, update_part};
use crate::job::{JobState, SignedUrl};
use crate::part::{PartFailure, PartRecord, PartState};
use crate::problem::Problem;
use crate::services::ledger::item::read;
use crate::services::ledger::{Ledger, Recorded};
use anyhow::Result;
use jiff::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedJob {
    pub id: String,
    pub upload_url: SignedUrl,
    /// When the call that created it began.
    pub created_at: Timestamp,
}

/// Whether an upload may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    Begun(Box<BegunUpload>),
    /// The part, in its current state, is no longer to be uploaded to that job.
    MovedOn(Box<PartRecord>),
}

/// An upload that may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunUpload {
    pub part: PartRecord,
    /// Whether it is the first upload to the part's job. If not, an earlier one may have taken
    /// effect.
    pub first: bool,
    by: String,
    at: Timestamp,
}

impl Ledger {
    /// PLANNED → CREATED: records the job and its upload URL, if the part is PLANNED without a job
    /// and is not cancelled.
    /// The current record decides whether the job is the part's, never the answer to the write.
    ///
    /// # Errors
    /// The job may be recorded or not, and must not be cancelled.
    pub async fn record_job(&self, part: &PartRecord, job: &CreatedJob) -> Written {
        let update = remove_all(update_part(part), &JOB_ATTRIBUTES)
            .set("state", &PartState::Created)?
            .set("job_id", &job.id)?;
        let update = update
            .set("upload_url", &job.upload_url)?
            .set("created_at", &job.created_at)?
            .set("job_rank", &0)?;
        let update = update.by("created_by").only_if(
            "#state = :planned AND attribute_not_exists(#job_id) AND attribute_not_exists(#cancelled_at)",
        );
        let Recorded { record, .. } =
            self.update::<PartRecord>(update.value(":planned", &PartState::Planned)?).await?;
        Ok(Recorded { ours: record.job_id.as_deref() == Some(&job.id), record })
    }

    /// Records that an upload to the part's job begins, before its first byte, if the part is
    /// CREATED with that job and is not cancelled. Otherwise nothing may be sent. The time of the first upload is kept.
    pub async fn begin_upload(&self, part: &PartRecord, now: Timestamp) -> Result<Upload> {
        let update = update_part(part).set_once("upload_began_at", &now)?.by("upload_began_by");
        let update = update
            .and_still("state", Some(&PartState::Created))?
            .and_still("job_id", part.job_id.as_ref())?
            .and_still("cancelled_at", None::<&Timestamp>)?;
        let (begun, item) = self.write(update).await?;
        let by =
            item.get("upload_began_by").and_then(|by| by.as_s().ok()).cloned().unwrap_or_default();
        let part: PartRecord = read(item)?;
        let first = part.upload_began_at == Some(now);
        Ok(if begun {
            Upload::Begun(Box::new(BegunUpload { part, first, by, at: now }))
        } else {
            Upload::MovedOn(Box::new(part))
        })
    }

    /// CREATED → UPLOADED: the job has its rows.
    pub async fn record_upload(&self, part: &PartRecord, now: Timestamp) -> Written {
        let update = update_part(part)
            .set("state", &PartState::Uploaded)?
            .set("uploaded_at", &now)?
            .remove("problem")
            .by("uploaded_by");
        self.update(
            update
                .and_still("state", Some(&PartState::Created))?
                .and_still("job_id", part.job_id.as_ref())?,
        )
        .await
    }

    /// Records why submit could not send a part's rows. Sending them removes it.
    pub async fn set_part_problem(&self, part: &PartRecord, problem: &Problem) -> Written {
        self.update(if_unchanged(update_part(part).set("problem", problem)?, part)?).await
    }

    /// Records that the one repeat of a part's upload begins, if its job has not started, no repeat
    /// began before, and the part is not cancelled.
    pub async fn begin_repeat(&self, part: &PartRecord, now: Timestamp) -> Written {
        let update = update_part(part).set("repeat_began_at", &now)?.by("repeat_began_by");
        let update =
            update.only_if("attribute_not_exists(#repeat_began_at) AND #job_rank < :started");
        let update = update
            .value(":started", &JobState::Queued.rank())?
            .and_still("state", Some(&PartState::Uploaded))?
            .and_still("cancelled_at", None::<&Timestamp>)?;
        self.update(update.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// PLANNED → FAILED: the API refuses for good to create a job for the part.
    pub async fn refuse_part(
        &self,
        part: &PartRecord,
        failure: &PartFailure,
        now: Timestamp,
    ) -> Written {
        let update = fail(part, failure, now)?
            .only_if("#state = :planned AND attribute_not_exists(#job_id)");
        self.update(update.value(":planned", &PartState::Planned)?).await
    }

    /// CREATED → FAILED: the part's rows can no longer be read, and this upload, which did not end,
    /// was the only one.
    pub async fn fail_unsent(
        &self,
        begun: &BegunUpload,
        failure: &PartFailure,
        now: Timestamp,
    ) -> Written {
        let part = &begun.part;
        if !begun.first {
            return Ok(Recorded { record: part.clone(), ours: false });
        }
        let update = fail(part, failure, now)?.and_still("state", Some(&PartState::Created))?;
        let update = update
            .and_still("job_id", part.job_id.as_ref())?
            .and_still("upload_began_at", Some(&begun.at))?;
        self.update(update.and_still("upload_began_by", Some(&begun.by))?).await
    }
}
