//! The last steps of a drop that has ended: report it in `status.json`, announce it on the bus,
//! then remove it from the open index. Each step can be repeated: if an attempt dies after it
//! recorded the end, the next one concludes the drop.

use super::report::report;
use crate::drop::{DropRecord, DropState};
use crate::event::{DropEvent, OutgoingEvent};
use crate::results::tally::Outcomes;
use crate::services::Services;
use crate::services::metrics::{Metric, Metrics};
use anyhow::Result;
use jiff::Timestamp;

/// Concludes a drop if its state is final and that was not done yet; returns whether the drop has
/// ended.
///
/// # Errors
/// As [`conclude`].
pub async fn conclude_if_ended(services: &Services, drop: &DropRecord) -> Result<bool> {
    if drop.is_to_be_concluded() {
        conclude(services, drop).await?;
    }
    Ok(drop.state.is_final())
}

/// Concludes a drop whose state is final.
///
/// # Errors
/// If S3, EventBridge or DynamoDB does not answer.
pub async fn conclude(services: &Services, drop: &DropRecord) -> Result<()> {
    let status = report(services, drop).await?;
    let rows = status.rows.outcomes;
    let event = Box::new(DropEvent::of(drop, rows, &services.settings.results_bucket));
    let event = match drop.state {
        DropState::Rejected => OutgoingEvent::DropRejected(event),
        _ => OutgoingEvent::DropCompleted(event),
    };
    services.bus.put(&[event]).await?;
    // Counted once: only one attempt removes the drop from the index.
    if services.ledger.close(&drop.id, Timestamp::now()).await?.ours {
        count(&services.metrics, drop.state, rows);
        services.metrics.count(Metric::RowsUnexpected, status.results.unexpected);
        services.metrics.flush();
    }
    let (key, folder, state) = (&drop.source.key, &drop.folder, drop.state.as_str());
    let (code, error) = drop
        .problem
        .as_ref()
        .map(|problem| (problem.code.as_str(), problem.message.as_str()))
        .unzip();
    tracing::info!(
        drop = %drop.id, key, folder, state, code, error,
        "the drop has reached its end"
    );
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
