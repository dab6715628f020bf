//! The transitions of a part that has ended: tried, held, collected.

use super::Ledger;
use super::parts::{OF_ABSENCE, Written, if_unchanged, update_part, without};
use super::update::Update;
use crate::part::{CollectedPart, HeldResults, PartRecord, PartState, Unconfirmed};
use crate::problem::Problem;
use jiff::Timestamp;

/// An attempt of collect that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// When collect is to try again.
    pub retry_at: Timestamp,
    pub problem: Problem,
    /// The results, if the attempt failed because they cannot be used.
    pub unconfirmed: Option<Unconfirmed>,
}

impl Ledger {
    /// Records an attempt of collect that failed.
    pub async fn record_attempt(&self, part: &PartRecord, attempt: &FailedAttempt) -> Written {
        let update = update_part(part)
            .set("attempts", &part.attempts.saturating_add(1))?
            .set("retry_at", &attempt.retry_at)?;
        let update = update
            .set("problem", &attempt.problem)?
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
        let update = without(update_part(part), &OF_ABSENCE).set("held", held)?;
        let update = update.set("retry_at", &retry_at)?.remove("problem");
        self.update(if_unchanged(update.remove("unconfirmed").by("held_by"), part)?).await
    }

    /// COMPLETED or FAILED → COLLECTED: the part's rows are joined and stored. Of several attempts
    /// one is recorded, and its object is published.
    pub async fn record_collected(&self, part: &PartRecord, collected: &CollectedPart) -> Written {
        let update =
            update_part(part).set("state", &PartState::Collected)?.set("collected", collected)?;
        let update = ["open", "open_since", "retry_at", "unconfirmed", "problem"]
            .into_iter()
            .fold(update, Update::remove);
        self.update(if_unchanged(update.by("collected_by"), part)?).await
    }
}
