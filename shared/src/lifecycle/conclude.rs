//! The last steps of a drop that has reached its end: say so in `status.json` and on the bus, then take it off the list of
//! what is open. Each can be done again: a drop whose end was recorded by an attempt that then died is concluded by the next.

use crate::drop::{DropRecord, DropState};
use crate::event::{DropEvent, OutgoingEvent};
use crate::results::tally::Outcomes;
use crate::services::Services;
use crate::services::metrics::{Metric, Metrics};
use anyhow::Result;
use jiff::Timestamp;

/// Concludes a drop; its state in the ledger is final already.
///
/// # Errors
/// If S3, EventBridge or DynamoDB does not answer.
pub async fn conclude(services: &Services, meta: &DropRecord) -> Result<()> {
    let rows = services.reporter.report(&meta.id, 0).await?.rows.outcomes;
    let event = Box::new(DropEvent::of(meta, rows, &services.settings.results_bucket));
    services
        .bus
        .put(&[match meta.state {
            DropState::Rejected => OutgoingEvent::DropRejected(event),
            _ => OutgoingEvent::DropCompleted(event),
        }])
        .await?;
    // Counted once: of all attempts that come here, one takes the drop off the list.
    if services.ledger.close(&meta.id, Timestamp::now()).await? {
        count(&services.metrics, meta.state, rows);
    }
    let (key, folder) = (&meta.source.key, &meta.folder);
    let (class, error) = meta.trouble.as_ref().map(|trouble| (trouble.class.as_str(), trouble.reason.as_str())).unzip();
    tracing::info!(drop = %meta.id, key, folder, state = meta.state.as_str(), class, error, "the drop has reached its end");
    Ok(())
}

fn count(metrics: &Metrics, state: DropState, rows: Outcomes) {
    metrics.count(
        match state {
            DropState::Completed => Metric::DropsCompleted,
            DropState::CompletedWithErrors => Metric::DropsCompletedWithErrors,
            DropState::Rejected => Metric::DropsRejected,
            DropState::Failed => Metric::DropsFailed,
            DropState::Checking | DropState::Uploading | DropState::Evaluating => return,
        },
        1,
    );
    metrics.count(Metric::RowsEvaluated, rows.evaluated);
    metrics.count(Metric::RowsFailed, rows.failed);
    metrics.count(Metric::RowsMissing, rows.missing);
}
