//! The transitions that a cancelled drop's parts make.

use super::{Written, fail, if_unchanged, update_part};
use crate::job::JobState;
use crate::part::{PartFailure, PartRecord, PartState};
use crate::services::ledger::update::Update;
use crate::services::ledger::{Ledger, Recorded};
use anyhow::Result;
use jiff::Timestamp;

/// How often a part is read again that changes while it is being cancelled.
const ATTEMPTS: u32 = 3;

impl Ledger {
    /// Cancels a part. If nothing was sent, it fails: PLANNED, CREATED or ABANDONING → FAILED, on
    /// the condition that no upload has begun and no other job was recorded: so a job that is being
    /// created at that moment is not recorded, and is cancelled by who created it. Otherwise the
    /// part is marked with the time of the user's request: it gets no other job and no other upload.
    pub async fn cancel_part(
        &self,
        part: &PartRecord,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> Written {
        let mut part = part.clone();
        for _ in 0..ATTEMPTS {
            if !part.is_unsent() {
                break;
            }
            let failed = self.fail_cancelled(&part, now).await?;
            if failed.ours || !failed.record.is_unsent() {
                return self.mark_cancelled(failed, requested_at).await;
            }
            part = failed.record;
        }
        self.mark_cancelled(Recorded { record: part, ours: false }, requested_at).await
    }

    /// Marks a part that has not ended; `ours` stays as it was.
    async fn mark_cancelled(&self, was: Recorded<PartRecord>, requested_at: Timestamp) -> Written {
        let Recorded { record: part, ours } = was;
        if part.cancelled_at.is_some() || part.state == PartState::Collected || ours {
            return Ok(Recorded { record: part, ours });
        }
        let update = update_part(&part).set_once("cancelled_at", &requested_at)?;
        let update = update.only_if("#state <> :collected");
        let Recorded { record, .. } =
            self.update(update.value(":collected", &PartState::Collected)?).await?;
        Ok(Recorded { record, ours })
    }

    /// → FAILED: the part was cancelled, and its results are not held. If nothing was sent when it
    /// was read, nothing must have been sent since.
    pub async fn fail_cancelled(&self, part: &PartRecord, now: Timestamp) -> Written {
        let update = fail(part, &PartFailure::cancelled(), now)?.set_once("cancelled_at", &now)?;
        let update = match part.is_unsent() {
            true => if_unsent(update)?,
            false => update.only_if("attribute_not_exists(#held)"),
        };
        self.update(if_unchanged(update, part)?).await
    }

    /// Records that the API was asked to cancel a part's job on the user's request.
    pub async fn note_cancel_sent(&self, part: &PartRecord, now: Timestamp) -> Written {
        self.update(if_unchanged(update_part(part).set("cancel_sent_at", &now)?, part)?).await
    }

    /// Removes a part, whose drop has ended without it, from the open index.
    pub async fn close_part(&self, part: &PartRecord) -> Written {
        let update = update_part(part).remove("open").remove("open_since");
        self.update(update.only_if("attribute_exists(pk)")).await
    }
}

fn if_unsent(update: Update) -> Result<Update> {
    update
        .only_if("attribute_not_exists(#upload_began_at) AND #job_rank < :started")
        .value(":started", &JobState::Queued.rank())
}
