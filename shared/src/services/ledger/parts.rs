//! A part's transitions. Each has a condition, and returns the current record.

use super::item::{part_key, read};
use super::update::Update;
use super::{Ledger, Recorded, WRITES_AT_ONCE};
use crate::job::{JobState, SignedUrl};
use crate::part::decide::{JobChange, JobFailure};
use crate::part::{NotStarted, PartFailure, PartRecord, PartState};
use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

/// A conditional write of a part's record.
pub(super) type Written = Result<Recorded<PartRecord>>;

/// The attributes about a part's job, beside its id, URL and time. A new job starts without them.
const OF_THE_JOB: [&str; 15] = [
    "job_state",
    "upload_began_at",
    "uploaded_at",
    "repeat_due_at",
    "repeat_began_at",
    "abandoned_at",
    "not_started",
    "absent_seconds",
    "absent_at",
    "overdue_at",
    "ended_at",
    "announced_at",
    "retry_at",
    "problem",
    "attempts",
];
/// The attributes about the absence of a part's job.
pub(super) const OF_ABSENCE: [&str; 3] = ["absent_seconds", "absent_at", "overdue_at"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedJob {
    pub id: String,
    pub upload_url: SignedUrl,
    /// When the call that created it began.
    pub created_at: Timestamp,
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

pub(super) fn update_part(part: &PartRecord) -> Update {
    Update::of(&part.drop, &part_key(part.plan.number))
}

pub(super) fn without(update: Update, attributes: &[&'static str]) -> Update {
    attributes.iter().fold(update, |update, name| update.remove(name))
}

/// Adds the condition that the part still has the state and the job that were read.
pub(super) fn if_unchanged(update: Update, part: &PartRecord) -> Result<Update> {
    update.and_still("state", Some(&part.state))?.and_still("job_id", part.job_id.as_ref())
}

/// Whether an upload may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    Begun(Box<BegunUpload>),
    /// The part, in its current state, is no longer to be uploaded to that job.
    MovedOn(Box<PartRecord>),
}

impl Ledger {
    /// PLANNED → CREATED: records the job and its upload URL, if the part is PLANNED without a job.
    /// The current record decides whether the job is the part's, never the answer to the write.
    ///
    /// # Errors
    /// The job may be recorded or not, and must not be cancelled.
    pub async fn record_job(&self, part: &PartRecord, job: &CreatedJob) -> Written {
        let update = without(update_part(part), &OF_THE_JOB)
            .set("state", &PartState::Created)?
            .set("job_id", &job.id)?;
        let update = update
            .set("upload_url", &job.upload_url)?
            .set("created_at", &job.created_at)?
            .set("job_rank", &0)?;
        let update =
            update.by("created_by").only_if("#state = :planned AND attribute_not_exists(#job_id)");
        let Recorded { record, .. } =
            self.update::<PartRecord>(update.value(":planned", &PartState::Planned)?).await?;
        Ok(Recorded { ours: record.job_id.as_deref() == Some(&job.id), record })
    }

    /// Records that an upload to the part's job begins, before its first byte, if the part is
    /// CREATED with that job. Otherwise nothing may be sent. The time of the first upload is kept.
    pub async fn begin_upload(&self, part: &PartRecord, now: Timestamp) -> Result<Upload> {
        let update = update_part(part).set_once("upload_began_at", &now)?.by("upload_began_by");
        let update = update
            .and_still("state", Some(&PartState::Created))?
            .and_still("job_id", part.job_id.as_ref())?;
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
            .by("uploaded_by");
        self.update(
            update
                .and_still("state", Some(&PartState::Created))?
                .and_still("job_id", part.job_id.as_ref())?,
        )
        .await
    }

    /// Records that the one repeat of a part's upload begins, if its job has not started and no
    /// repeat began before.
    pub async fn begin_repeat(&self, part: &PartRecord, now: Timestamp) -> Written {
        let update = update_part(part).set("repeat_began_at", &now)?.by("repeat_began_by");
        let update =
            update.only_if("attribute_not_exists(#repeat_began_at) AND #job_rank < :started");
        let update = update
            .value(":started", &JobState::Queued.rank())?
            .and_still("state", Some(&PartState::Uploaded))?;
        self.update(update.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// → ABANDONING: claims a part, so that its job can be cancelled and replaced. If nothing was
    /// sent: from CREATED, if no upload has begun. Otherwise: from CREATED or UPLOADED, if the job
    /// has not started. `ended` means that the job ended by itself before anything was sent to it,
    /// which is counted.
    pub async fn abandon(&self, part: &PartRecord, ended: bool, now: Timestamp) -> Written {
        let update =
            without(update_part(part), &OF_ABSENCE).set("state", &PartState::Abandoning)?;
        let update = update.set("abandoned_at", &now)?.remove("upload_url").by("abandoned_by");
        let update =
            if ended { update.set("ended_unsent", &(part.ended_unsent + 1))? } else { update };
        let update = if part.may_be_sent() {
            let once = update.only_if(
                "#job_rank < :started AND (attribute_not_exists(#replans) OR #replans = :replans)",
            );
            once.value(":started", &JobState::Queued.rank())?.value(":replans", &part.replans)?
        } else {
            update.only_if("attribute_not_exists(#upload_began_at)")
        };
        self.update(if_unchanged(update, part)?).await
    }

    /// ABANDONING → PLANNED: the job is cancelled, or will get no rows; the part gets another.
    pub async fn plan_again(&self, part: &PartRecord) -> Written {
        let update = without(update_part(part), &OF_THE_JOB)
            .set("state", &PartState::Planned)?
            .set("job_rank", &0)?;
        let update = without(update, &["job_id", "upload_url", "created_at"]);
        let update =
            if part.may_be_sent() { update.set("replans", &(part.replans + 1))? } else { update };
        let update =
            update.by("planned_again_by").and_still("state", Some(&PartState::Abandoning))?;
        self.update(update.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// PLANNED → FAILED: the API refuses for good to create a job for the part.
    pub async fn refuse_part(
        &self,
        part: &PartRecord,
        failure: &PartFailure,
        now: Timestamp,
    ) -> Written {
        let update = failed(part, failure, now)?
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
        let update = failed(part, failure, now)?.and_still("state", Some(&PartState::Created))?;
        let update = update
            .and_still("job_id", part.job_id.as_ref())?
            .and_still("upload_began_at", Some(&begun.at))?;
        self.update(update.and_still("upload_began_by", Some(&begun.by))?).await
    }

    /// Records the state of a part's job, and the part's new state, if the job is further along
    /// than recorded and the part has not changed since the decision: states only move forward.
    pub async fn record_job_state(
        &self,
        part: &PartRecord,
        change: &JobChange,
        now: Timestamp,
    ) -> Written {
        let job = &change.job;
        let mut update = match &change.failure {
            Some(failure) => failed(part, failure, now)?,
            None => update_part(part),
        };
        update =
            without(update, &OF_ABSENCE).set("job_state", job)?.set("job_rank", &job.rank())?;
        if job.is_started() {
            update = update.remove("upload_url").remove("not_started");
        }
        update = match change.state {
            Some(PartState::Failed) | None => update,
            Some(PartState::Completed) => update
                .set("state", &PartState::Completed)?
                .set("ended_at", &now)?
                .by("completed_by"),
            Some(state) => update.set("state", &state)?.by("started_by"),
        };
        let update = update.only_if("#job_rank < :rank").value(":rank", &job.rank())?;
        self.update(if_unchanged(update, part)?).await
    }

    /// Records a state of the job that does not change the part.
    pub async fn note_job_state(&self, part: &PartRecord, job: &JobState) -> Written {
        self.update(if_unchanged(update_part(part).set("job_state", job)?, part)?).await
    }

    /// Records for how long the job has been absent, if no other tick has done that since the part
    /// was read.
    pub async fn note_absent(&self, part: &PartRecord, seconds: u64, now: Timestamp) -> Written {
        let update = update_part(part)
            .set("absent_seconds", &seconds)?
            .set("absent_at", &now)?
            .by("absent_by");
        self.update(if_unchanged(update, part)?.and_still("absent_at", part.absent_at.as_ref())?)
            .await
    }

    /// Records that the job is reported again.
    pub async fn note_reported(&self, part: &PartRecord) -> Written {
        self.update(if_unchanged(without(update_part(part), &OF_ABSENCE), part)?).await
    }

    /// Records that the API did not report the job at an age at which it no longer has to keep it.
    pub async fn note_overdue(&self, part: &PartRecord, now: Timestamp) -> Written {
        self.update(if_unchanged(update_part(part).set_once("overdue_at", &now)?, part)?).await
    }

    /// → FAILED, lost: the API has not reported the job for a long time, and no other tick has seen
    /// it since the part was read. The rows end as missing. A part whose results are held is never
    /// lost.
    pub async fn mark_lost(
        &self,
        part: &PartRecord,
        failure: &PartFailure,
        now: Timestamp,
    ) -> Written {
        let update =
            if_unchanged(failed(part, failure, now)?.only_if("attribute_not_exists(#held)"), part)?;
        let update = update.and_still("absent_at", part.absent_at.as_ref())?;
        self.update(update.and_still("overdue_at", part.overdue_at.as_ref())?).await
    }

    /// FAILED, lost → UPLOADED: the API reports the job after all, and the part is not collected. A
    /// part that was claimed when it was lost is claimed again, since we may have cancelled its
    /// job.
    pub async fn find_again(&self, part: &PartRecord) -> Written {
        let claimed = part.abandoned_at.is_some() && part.job_rank < JobState::Queued.rank();
        let state = if claimed { PartState::Abandoning } else { PartState::Uploaded };
        // The next tick records the job's state again, whatever it was before.
        let update = without(update_part(part), &OF_ABSENCE).set("state", &state)?;
        let update =
            update.set("job_rank", &part.job_rank.min(JobState::Queued.rank()))?.by("found_by");
        let update = ["failure", "ended_at", "announced_at", "retry_at", "problem"]
            .into_iter()
            .fold(update, Update::remove);
        let update = update.only_if("#failure.#lost = :yes").value(":yes", &true)?;
        self.update(
            update
                .and_still("state", Some(&PartState::Failed))?
                .and_still("job_id", part.job_id.as_ref())?,
        )
        .await
    }

    /// COMPLETED → FAILED: the API reports that the job failed or was cancelled, before its results
    /// were fetched.
    pub async fn fail_completed(
        &self,
        part: &PartRecord,
        ended: &JobFailure,
        now: Timestamp,
    ) -> Written {
        let update = failed(part, &ended.failure, now)?
            .set("job_state", &ended.job)?
            .only_if("attribute_not_exists(#held)");
        self.update(if_unchanged(update, part)?).await
    }

    /// Records that the job has its rows and does not start. With `repeat`, also records that its
    /// rows are to be uploaded once more, if that was not recorded before.
    pub async fn note_not_started(
        &self,
        part: &PartRecord,
        problem: &NotStarted,
        repeat: Option<Timestamp>,
    ) -> Written {
        let update = update_part(part).set("not_started", problem)?;
        let update = match &repeat {
            Some(now) => {
                update.set("repeat_due_at", now)?.and_still("repeat_due_at", None::<&Timestamp>)?
            }
            None => update,
        };
        self.update(if_unchanged(update, part)?).await
    }

    /// Records that the ends of parts were announced to collect; returns the first failure.
    pub async fn record_announced(&self, parts: &[PartRecord], now: Timestamp) -> Result<()> {
        let updates: Vec<Update> = parts.iter().map(update_part).collect();
        let mut recording = stream::iter(updates)
            .map(|update| async move {
                self.write(update.set("announced_at", &now)?.only_if("attribute_exists(pk)")).await
            })
            .buffer_unordered(WRITES_AT_ONCE);
        let mut outcome = Ok(());
        while let Some(recorded) = recording.next().await {
            outcome = outcome.and(recorded.map(|_| ()));
        }
        outcome
    }
}

/// → FAILED. All such writes record their writer in one attribute: a part fails once, unless it was
/// found again.
fn failed(part: &PartRecord, failure: &PartFailure, now: Timestamp) -> Result<Update> {
    let update = update_part(part)
        .set("state", &PartState::Failed)?
        .set("failure", failure)?
        .set("ended_at", &now)?;
    Ok(update.remove("upload_url").by("failed_by"))
}
