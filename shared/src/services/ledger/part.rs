//! A part's transitions. Each names its condition; `true` if it took place, now or by this very write's lost first sending.

use super::item::{part_key, read};
use super::update::Update;
use super::{Ledger, WRITES_AT_ONCE};
use crate::form::SCHEMA;
use crate::job::{JobState, SignedUrl};
use crate::part::{CollectedPart, HeldResults, NotStarted, PartFailure, PartRecord, PartState, Unconfirmed};
use crate::problem::Problem;
use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

/// What a record keeps of a job beside its id, URL and time, and not of the next one; `missing_since` is of form 1.
const OF_THE_JOB: [&str; 16] = [
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
    "missing_since",
    "ended_at",
    "announced_at",
    "retry_at",
    "failing",
    "attempts",
];
/// What it says of the job's absence.
const OF_ABSENCE: [&str; 4] = ["absent_seconds", "absent_at", "overdue_at", "missing_since"];

/// Whose job is recorded for a part.
#[derive(Debug)]
pub struct Recorded {
    /// The part as it stands.
    pub part: PartRecord,
    /// Whether it is the one that was to be recorded.
    pub ours: bool,
}

/// An upload that may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Whether it is the first to the part's job. If not, an earlier one may have taken effect.
    pub first: bool,
    by: String,
    at: Timestamp,
}

fn update_part(part: &PartRecord) -> Update {
    Update::of(&part.drop, &part_key(part.plan.number))
}

fn without(update: Update, attributes: &[&'static str]) -> Update {
    attributes.iter().fold(update, |update, name| update.remove(name))
}

/// Only if the part stands as it was read: in its state, with its job.
fn if_unchanged(update: Update, part: &PartRecord) -> Result<Update> {
    update.and_still("state", Some(&part.state))?.and_still("job_id", part.job_id.as_ref())
}

impl Ledger {
    /// PLANNED → CREATED: records the job and its upload URL, if the part is PLANNED without a job. Whether the job is the part's
    /// is decided by the record as it stands, never by the write's answer.
    ///
    /// # Errors
    /// If DynamoDB does not answer: the job may be recorded or not, and must not be cancelled.
    pub async fn record_job(&self, part: &PartRecord, job: &str, url: &SignedUrl, created_at: Timestamp) -> Result<Recorded> {
        let update = without(update_part(part), &OF_THE_JOB).set("state", &PartState::Created)?.set("job_id", &job)?;
        let update =
            update.set("upload_url", url)?.set("created_at", &created_at)?.set("job_rank", &0)?.set("schema", &SCHEMA)?;
        let update = update.by("created_by").only_if("#state = :planned AND attribute_not_exists(#job_id)");
        let (_, item) = self.update_and_read(update.value(":planned", &PartState::Planned)?).await?;
        let part: PartRecord = read(item)?;
        Ok(Recorded { ours: part.job_id.as_deref() == Some(job), part })
    }

    /// Records that an upload to the part's job begins, before its first byte, if the part is CREATED with that job. If it is not,
    /// nothing may be sent: gives the part as it stands. The first time stays.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn begin_upload(&self, part: &PartRecord, now: Timestamp) -> Result<Result<Begun, PartRecord>> {
        let update = update_part(part).set_once("upload_began_at", &now)?.set("schema", &SCHEMA)?.by("upload_began_by");
        let update = update.and_still("state", Some(&PartState::Created))?.and_still("job_id", part.job_id.as_ref())?;
        let (begun, item) = self.update_and_read(update).await?;
        if !begun {
            return read(item).map(Err);
        }
        let by = item.get("upload_began_by").and_then(|by| by.as_s().ok()).cloned().unwrap_or_default();
        let stands: PartRecord = read(item)?;
        // A job that was created by an older release, which did not mark uploads, may have been fed before.
        let first = stands.upload_began_at == Some(now) && part.schema >= crate::form::MARKS_UPLOADS;
        Ok(Ok(Begun { first, by, at: now }))
    }

    /// CREATED → UPLOADED: the job has its rows.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_upload(&self, part: &PartRecord, now: Timestamp) -> Result<bool> {
        let update = update_part(part).set("state", &PartState::Uploaded)?.set("uploaded_at", &now)?.by("uploaded_by");
        self.update(update.and_still("state", Some(&PartState::Created))?.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// Records that the one repeat of a part's upload begins, if its job has not been seen started and none began before.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn begin_repeat(&self, part: &PartRecord, now: Timestamp) -> Result<bool> {
        let update = update_part(part).set("repeat_began_at", &now)?.by("repeat_began_by");
        let update = update.only_if("attribute_not_exists(#repeat_began_at) AND #job_rank < :started");
        let update = update.value(":started", &JobState::Queued.rank())?.and_still("state", Some(&PartState::Uploaded))?;
        self.update(update.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// → ABANDONING: claims a part, so that its job can be cancelled and the part have another. With nothing sent: from CREATED, if
    /// no upload has begun. Otherwise from CREATED or UPLOADED, if the job has not been seen started. `ended` if the job ended by
    /// itself with nothing sent to it, which is counted.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn abandon(&self, part: &PartRecord, ended: bool, now: Timestamp) -> Result<bool> {
        let update = without(update_part(part), &OF_ABSENCE).set("state", &PartState::Abandoning)?;
        let update = update.set("abandoned_at", &now)?.set("schema", &SCHEMA)?.remove("upload_url").by("abandoned_by");
        let update = if ended { update.set("ended_unfed", &(part.ended_unfed + 1))? } else { update };
        let update = if part.may_be_fed() {
            let once = update.only_if("#job_rank < :started AND (attribute_not_exists(#replans) OR #replans = :replans)");
            once.value(":started", &JobState::Queued.rank())?.value(":replans", &part.replans)?
        } else {
            update.only_if("attribute_not_exists(#upload_began_at)")
        };
        self.update(if_unchanged(update, part)?).await
    }

    /// ABANDONING → PLANNED: the job is cancelled, or will get no rows; the part may have another.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn plan_again(&self, part: &PartRecord) -> Result<bool> {
        let update = without(update_part(part), &OF_THE_JOB).set("state", &PartState::Planned)?.set("job_rank", &0)?;
        let update = without(update, &["job_id", "upload_url", "created_at"]);
        let update = if part.may_be_fed() { update.set("replans", &(part.replans + 1))? } else { update };
        let update = update.by("planned_again_by").and_still("state", Some(&PartState::Abandoning))?;
        self.update(update.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// PLANNED → FAILED: the API will not make a job for this part, and never will.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn refuse_part(&self, part: &PartRecord, failure: &PartFailure, now: Timestamp) -> Result<bool> {
        let update = failed(part, failure, now)?.only_if("#state = :planned AND attribute_not_exists(#job_id)");
        self.update(update.value(":planned", &PartState::Planned)?).await
    }

    /// CREATED → FAILED: the part's rows can no longer be read, and this upload was the only one that began, and never ended.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn fail_unfed(&self, part: &PartRecord, begun: &Begun, failure: &PartFailure, now: Timestamp) -> Result<bool> {
        if !begun.first {
            return Ok(false);
        }
        let update = failed(part, failure, now)?.and_still("state", Some(&PartState::Created))?;
        let update = update.and_still("job_id", part.job_id.as_ref())?.and_still("upload_began_at", Some(&begun.at))?;
        self.update(update.and_still("upload_began_by", Some(&begun.by))?).await
    }

    /// Records what the API says of a part's job, if it is further along than what was recorded, and the part stands as it did
    /// when that was decided: states only move forward. `state` is what it makes of the part, if anything.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_job_state(
        &self,
        part: &PartRecord,
        job: &JobState,
        state: Option<PartState>,
        failure: Option<&PartFailure>,
        now: Timestamp,
    ) -> Result<bool> {
        let mut update = match failure {
            Some(failure) => failed(part, failure, now)?,
            None => update_part(part),
        };
        update = without(update, &OF_ABSENCE).set("job_state", job)?.set("job_rank", &job.rank())?;
        if job.is_started() {
            update = update.remove("upload_url").remove("not_started");
        }
        update = match state {
            Some(PartState::Failed) | None => update,
            Some(PartState::Completed) => update.set("state", &PartState::Completed)?.set("ended_at", &now)?.by("completed_by"),
            Some(state) => update.set("state", &state)?.by("started_by"),
        };
        let update = update.only_if("#job_rank < :rank").value(":rank", &job.rank())?;
        self.update(if_unchanged(update, part)?).await
    }

    /// Records a state of the job that changes nothing.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_job_state(&self, part: &PartRecord, job: &JobState) -> Result<bool> {
        self.update(if_unchanged(update_part(part).set("job_state", job)?, part)?).await
    }

    /// Records for how long the job has been absent, if no other tick has done so since the part was read.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_absent(&self, part: &PartRecord, seconds: u64, now: Timestamp) -> Result<bool> {
        let update = update_part(part).set("absent_seconds", &seconds)?.set("absent_at", &now)?.by("absent_by");
        self.update(if_unchanged(update, part)?.and_still("absent_at", part.absent_at.as_ref())?).await
    }

    /// Records that the job is reported again.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_reported(&self, part: &PartRecord) -> Result<bool> {
        self.update(if_unchanged(without(update_part(part), &OF_ABSENCE), part)?).await
    }

    /// Records that a job older than the API keeps any was asked for in vain.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_overdue(&self, part: &PartRecord, now: Timestamp) -> Result<bool> {
        self.update(if_unchanged(update_part(part).set_once("overdue_at", &now)?, part)?).await
    }

    /// → FAILED, lost: the API has not reported the job for long, and no other tick has seen it since the part was read. Its rows
    /// end as missing. A part whose results are kept is never lost.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn lose(&self, part: &PartRecord, failure: &PartFailure, now: Timestamp) -> Result<bool> {
        let update = if_unchanged(failed(part, failure, now)?.only_if("attribute_not_exists(#held)"), part)?;
        let update = update.and_still("absent_at", part.absent_at.as_ref())?;
        self.update(update.and_still("overdue_at", part.overdue_at.as_ref())?).await
    }

    /// FAILED, lost → UPLOADED: the API reports the job after all, and the part is not collected. If it was claimed when it was
    /// lost, it is claimed again: its job may be cancelled by us.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn find_again(&self, part: &PartRecord) -> Result<bool> {
        let claimed = part.abandoned_at.is_some() && part.job_rank < JobState::Queued.rank();
        let state = if claimed { PartState::Abandoning } else { PartState::Uploaded };
        // Whatever it was before, the job's state is recorded again as the API reports it.
        let update = without(update_part(part), &OF_ABSENCE).set("state", &state)?;
        let update = update.set("job_rank", &part.job_rank.min(JobState::Queued.rank()))?.by("found_by");
        let update = ["failure", "ended_at", "announced_at", "retry_at", "failing"].into_iter().fold(update, Update::remove);
        let update = update.only_if("#failure.#lost = :yes").value(":yes", &true)?;
        self.update(update.and_still("state", Some(&PartState::Failed))?.and_still("job_id", part.job_id.as_ref())?).await
    }

    /// COMPLETED → FAILED: the API says that the job has ended otherwise, before its results were fetched.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn fail_completed(
        &self,
        part: &PartRecord,
        job: &JobState,
        failure: &PartFailure,
        now: Timestamp,
    ) -> Result<bool> {
        let update = failed(part, failure, now)?.set("job_state", job)?.only_if("attribute_not_exists(#held)");
        self.update(if_unchanged(update, part)?).await
    }

    /// Records that the job has its rows and does not start; with `repeat`, also that its rows are to be uploaded once more, if
    /// that was not recorded before.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_not_started(&self, part: &PartRecord, problem: &NotStarted, repeat: Option<Timestamp>) -> Result<bool> {
        let update = update_part(part).set("not_started", problem)?;
        // An older release would not keep to the one repeat.
        let update = if repeat.is_some() { update.set("schema", &SCHEMA)? } else { update };
        let update = match &repeat {
            Some(now) => update.set("repeat_due_at", now)?.and_still("repeat_due_at", None::<&Timestamp>)?,
            None => update,
        };
        self.update(if_unchanged(update, part)?).await
    }

    /// Notes that the ends of parts were announced to collect; gives the first failure.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_announced(&self, parts: &[PartRecord], now: Timestamp) -> Result<()> {
        let updates: Vec<Update> = parts.iter().map(update_part).collect();
        let mut noting = stream::iter(updates)
            .map(|update| async move { self.update(update.set("announced_at", &now)?.only_if("attribute_exists(pk)")).await })
            .buffer_unordered(WRITES_AT_ONCE);
        let mut outcome = Ok(());
        while let Some(noted) = noting.next().await {
            outcome = outcome.and(noted.map(|_| ()));
        }
        outcome
    }

    /// Notes that collect has failed at a part, why, when it is to try again, and what was doubtful about the results.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn note_attempt(
        &self,
        part: &PartRecord,
        retry_at: Timestamp,
        failing: &Problem,
        doubtful: Option<&Unconfirmed>,
    ) -> Result<bool> {
        let update = update_part(part).set("attempts", &part.attempts.saturating_add(1))?.set("retry_at", &retry_at)?;
        let update = update.set("failing", failing)?.put("doubtful", doubtful)?;
        self.update(if_unchanged(update, part)?).await
    }

    /// Keeps a part's results that cannot be used: while they are kept, the part is neither lost nor failed.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn hold(&self, part: &PartRecord, held: &HeldResults, retry_at: Timestamp) -> Result<bool> {
        // An older release would read the results without holding them.
        let update = without(update_part(part), &OF_ABSENCE).set("held", held)?.set("schema", &SCHEMA)?;
        let update = update.set("retry_at", &retry_at)?.remove("failing");
        self.update(if_unchanged(update.remove("doubtful").by("held_by"), part)?).await
    }

    /// COMPLETED or FAILED → COLLECTED: the part's rows are joined and stored. Of several attempts one wins, and its object is
    /// the one that is published.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn record_collected(&self, part: &PartRecord, collected: &CollectedPart) -> Result<bool> {
        let update = update_part(part).set("state", &PartState::Collected)?.set("collected", collected)?;
        let update = ["open", "open_since", "retry_at", "doubtful", "failing"].into_iter().fold(update, Update::remove);
        self.update(if_unchanged(update.by("collected_by"), part)?).await
    }
}

/// → FAILED. Who fails a part is kept in one attribute: a part fails once, unless it was found again.
fn failed(part: &PartRecord, failure: &PartFailure, now: Timestamp) -> Result<Update> {
    let update = update_part(part).set("state", &PartState::Failed)?.set("failure", failure)?.set("ended_at", &now)?;
    Ok(update.remove("upload_url").by("failed_by"))
}
