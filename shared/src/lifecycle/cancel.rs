//! Cancels the parts of a drop that the user cancelled.

use crate::drop::DropRecord;
use crate::error_chain::describe;
use crate::part::{PartRecord, PartState};
use crate::services::Services;
use crate::services::ledger::WRITES_AT_ONCE;
use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

/// Whether a part of a cancelled drop is still to be cancelled.
#[must_use]
pub fn is_to_be_cancelled(part: &PartRecord) -> bool {
    part.is_unsent()
        || (part.cancelled_at.is_none()
            && !matches!(part.state, PartState::Failed | PartState::Collected))
}

/// Cancels these parts of a cancelled drop; returns their current records. A part to which nothing
/// was sent fails, and its job is cancelled. Any other is only marked: poll has its job cancelled.
///
/// # Errors
/// The first one of the ledger; the other parts are cancelled all the same.
pub async fn cancel_parts(
    services: &Services,
    drop: &DropRecord,
    parts: Vec<PartRecord>,
    now: Timestamp,
) -> (Vec<PartRecord>, Result<()>) {
    let requested_at = drop.cancelled_at.unwrap_or(now);
    let mut cancelling = stream::iter(parts)
        .map(|part| async move { cancel_part(services, part, (requested_at, now)).await })
        .buffer_unordered(WRITES_AT_ONCE);
    let (mut cancelled, mut outcome) = (Vec::new(), Ok(()));
    while let Some(done) = cancelling.next().await {
        match done {
            Ok(part) => cancelled.push(part),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    (cancelled, outcome)
}

async fn cancel_part(
    services: &Services,
    part: PartRecord,
    (requested_at, now): (Timestamp, Timestamp),
) -> Result<PartRecord> {
    let cancelled = services.ledger.cancel_part(&part, requested_at, now).await?;
    let part = cancelled.record;
    if cancelled.ours
        && let Some(job) = &part.job_id
        && let Err(error) = services.api.cancel(job).await
    {
        let error = describe(&error.into());
        tracing::warn!(
            drop = %part.drop, part = part.plan.number, job, error,
            "a job of the cancelled drop, which has no rows, was not cancelled; the sweep will cancel it"
        );
    }
    Ok(part)
}
