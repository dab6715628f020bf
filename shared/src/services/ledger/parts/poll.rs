//! The transitions that poll makes: it records a job's state or absence, loses a part, or claims one
//! and plans it again.

use super::{
    ABSENCE_ATTRIBUTES, JOB_ATTRIBUTES, Written, fail, if_unchanged, remove_all, update_part,
};
use crate::job::JobState;
use crate::part::decide::{JobChange, JobFailure};
use crate::part::{NotStarted, PartFailure, PartRecord, PartState};
use crate::services::ledger::update::Update;
use crate::services::ledger::{Ledger, WRITES_AT_ONCE};
use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

impl Ledger {
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
            Some(failure) => fail(part, failure, now)?,
            None => update_part(part),
        };
        update = remove_all(update, &ABSENCE_ATTRIBUTES)
            .set("job_state", job)?
            .set("job_rank", &job.rank())?;
        if job.is_started() {
            // Submit's problem as well: the job has its rows.
            update = update.remove("upload_url").remove("not_started").remove("problem");
        }
        if let Some(provenance) = &change.provenance {
            update = update.set("provenance", provenance)?;
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
        self.update(if_unchanged(remove_all(update_part(part), &ABSENCE_ATTRIBUTES), part)?).await
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
            if_unchanged(fail(part, failure, now)?.only_if("attribute_not_exists(#held)"), part)?;
        let update = update.and_still("absent_at", part.absent_at.as_ref())?;
        self.update(update.and_still("overdue_at", part.overdue_at.as_ref())?).await
    }

    /// COMPLETED → FAILED: the API reports that the job failed or was cancelled, before its results
    /// were fetched.
    pub async fn fail_completed(
        &self,
        part: &PartRecord,
        ended: &JobFailure,
        now: Timestamp,
    ) -> Written {
        let update = fail(part, &ended.failure, now)?
            .set("job_state", &ended.job)?
            .only_if("attribute_not_exists(#held)");
        self.update(if_unchanged(update, part)?).await
    }

    /// → ABANDONING: claims a part, so that its job can be cancelled and replaced. If nothing was
    /// sent: from CREATED, if no upload has begun. Otherwise: from CREATED or UPLOADED, if the job
    /// has not started. `ended` means that the job ended by itself before anything was sent to it,
    /// which is counted.
    pub async fn abandon(&self, part: &PartRecord, ended: bool, now: Timestamp) -> Written {
        let update = remove_all(update_part(part), &ABSENCE_ATTRIBUTES)
            .set("state", &PartState::Abandoning)?;
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

    /// ABANDONING → PLANNED: the job is cancelled, or will get no rows; the part, which is not
    /// cancelled, gets another.
    pub async fn plan_again(&self, part: &PartRecord) -> Written {
        let update = remove_all(update_part(part), &JOB_ATTRIBUTES)
            .set("state", &PartState::Planned)?
            .set("job_rank", &0)?;
        let update = remove_all(update, &["job_id", "upload_url", "created_at"]);
        let update =
            if part.may_be_sent() { update.set("replans", &(part.replans + 1))? } else { update };
        let update =
            update.by("planned_again_by").and_still("state", Some(&PartState::Abandoning))?;
        let update = update.and_still("cancelled_at", None::<&Timestamp>)?;
        self.update(update.and_still("job_id", part.job_id.as_ref())?).await
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
