//! The last steps of a drop that has reached its end: say so in `status.json` and on the bus, then take it off the list of
//! what is open. Each can be done again: a drop whose end was recorded by an attempt that then died is concluded by the next.

use crate::aws::Services;
use crate::event::{Announcement, DropEvent};
use crate::record::{DropState, Meta};
use anyhow::Result;
use jiff::Timestamp;

/// Concludes a drop; its state in the ledger is final already.
///
/// # Errors
/// If S3, EventBridge or DynamoDB does not answer.
pub async fn conclude(services: &Services, meta: &Meta) -> Result<()> {
    services.reporter.report(&meta.id, 0).await?;
    let event = drop_event(services, meta);
    services
        .bus
        .put(&[match meta.state {
            DropState::Rejected => Announcement::DropRejected(event),
            _ => Announcement::DropCompleted(event),
        }])
        .await?;
    services.ledger.close(&meta.id, Timestamp::now()).await?;
    tracing::info!(drop = %meta.id, state = meta.state.as_str(), "the drop has reached its end");
    Ok(())
}

/// What users are told of a drop on the bus.
#[must_use]
pub fn drop_event(services: &Services, meta: &Meta) -> DropEvent {
    DropEvent {
        drop: meta.id.clone(),
        bucket: meta.source.bucket.clone(),
        key: meta.source.key.clone(),
        state: meta.state.as_str(),
        results_bucket: services.settings.results_bucket.clone(),
        folder: meta.folder.clone(),
        rows: meta.plan.as_ref().map(|p| p.rows),
        class: meta.trouble.as_ref().map(|t| t.class.clone()),
        reason: meta.trouble.as_ref().map(|t| t.reason.clone()),
    }
}
