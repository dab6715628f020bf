//! Drops that wait, to be requeued by poll.

use crate::drop::DropRecord;
use crate::services::Services;
use anyhow::Result;
use jiff::Timestamp;

/// Records when poll is to requeue a drop: the later, the longer it has waited without having
/// moved.
///
/// # Errors
/// If DynamoDB does not answer.
pub async fn wait(services: &Services, drop: &DropRecord, has_moved: bool) -> Result<()> {
    let settings = &services.settings;
    let now = Timestamp::now();
    let since = drop.waits_since.filter(|_| !has_moved).unwrap_or(now);
    let waited = now.duration_since(since).unsigned_abs();
    // Who repairs what it waits for need not wait longer than for a drop that is stalled.
    let most = settings.stalled_after.max(settings.retry_after);
    services.ledger.wait(drop, Some(since), now + waited.clamp(settings.retry_after, most)).await?;
    Ok(())
}
