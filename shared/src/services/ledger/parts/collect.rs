//! The transitions that collect makes: it records a part as collected, held or to be tried again, or
//! finds a lost one.

use super::{ABSENCE_ATTRIBUTES, Written, if_unchanged, remove_all, update_part};
use crate::job::JobState;
use crate::part::{CollectedPart, HeldResults, PartRecord, PartState, Unconfirmed};
use crate::problem::Problem;
use crate::services::ledger::Ledger;
use jiff::Timestamp;

/// An attempt of collect that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// When collect is to try again.
    pub retry_at: Timestamp,
    /// What the part waits for; `None` if that is a problem of the stack.
    pub problem: Option<Problem>,
    /// The results, if the attempt failed because they cannot be used.
    pub unconfirmed: Option<Unconfirmed>,
}

impl Ledger {
    /// COMPLETED or FAILED → COLLECTED: the part's rows are joined and stored. Of several attempts
    /// one is recorded, and its object is published.
    pub async fn record_collected(&self, part: &PartRecord, collected: &CollectedPart) -> Written {
        let update =
            update_part(part).set("state", &PartState::Collected)?.set("collected", collected)?;
        let update =
            remove_all(update, &["open", "open_since", "retry_at", "unconfirmed", "problem"]);
        self.update(if_unchanged(update.by("collected_by"), part)?).await
    }

    /// Records an attempt of collect that failed.
    pub async fn record_attempt(&self, part: &PartRecord, attempt: &FailedAttempt) -> Written {
        let update = update_part(part)
            .set("attempts", &part.attempts.saturating_add(1))?
            .set("retry_at", &attempt.retry_at)?;
        let update = update
            .put("problem", attempt.problem.as_ref())?
            .put("unconfirmed", attempt.unconfirmed.as_ref())?;
        self.update(if_unchanged(update, part)?).await
    }

    /// Records that a part's results cannot be used and are held. A held part is neither lost nor
    /// failed.
    pub async fn hold(
        &self,
        part: &PartRecord,
        held: &HeldResults,
        retry_at: Timestamp,
    ) -> Written {
        let update = remove_all(update_part(part), &ABSENCE_ATTRIBUTES).set("held", held)?;
        let update = update.set("retry_at", &retry_at)?.remove("problem");
        self.update(if_unchanged(update.remove("unconfirmed").by("held_by"), part)?).await
    }

    /// FAILED, lost → UPLOADED: the API reports the job after all, and the part is not collected. A
    /// part that was claimed when it was lost is claimed again, since we may have cancelled its
    /// job.
    pub async fn find_again(&self, part: &PartRecord) -> Written {
        let claimed = part.abandoned_at.is_some() && part.job_rank < JobState::Queued.rank();
        let state = if claimed { PartState::Abandoning } else { PartState::Uploaded };
        // The next tick records the job's state again, whatever it was before.
        let update = remove_all(update_part(part), &ABSENCE_ATTRIBUTES).set("state", &state)?;
        let update =
            update.set("job_rank", &part.job_rank.min(JobState::Queued.rank()))?.by("found_by");
        let update =
            remove_all(update, &["failure", "ended_at", "announced_at", "retry_at", "problem"]);
        let update = update.only_if("#failure.#lost = :yes").value(":yes", &true)?;
        self.update(
            update
                .and_still("state", Some(&PartState::Failed))?
                .and_still("job_id", part.job_id.as_ref())?,
        )
        .await
    }
}
