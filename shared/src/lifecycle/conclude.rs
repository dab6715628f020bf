//! The last steps of a drop that has reached its end: say so in `status.json` and on the bus, then take it off the list of
//! what is open. Each can be done again: a drop whose end was recorded by an attempt that then died is concluded by the next.

use super::report::report;
use crate::drop::{DropRecord, DropState};
use crate::event::{DropEvent, OutgoingEvent};
use crate::results::tally::Outcomes;
use crate::services::Services;
use crate::services::metrics::{Metric, Metrics};
use anyhow::Result;
use jiff::Timestamp;

/// Concludes a drop if its state is final and no one has concluded it; whether it has ended.
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
    let rows = report(services, drop).await?.rows.outcomes;
    let event = Box::new(DropEvent::of(drop, rows, &services.settings.results_bucket));
    let event = match drop.state {
        DropState::Rejected => OutgoingEvent::DropRejected(event),
        _ => OutgoingEvent::DropCompleted(event),
    };
    services.bus.put(&[event]).await?;
    // Counted once: of all attempts that come here, one takes the drop off the list.
    if services.ledger.close(&drop.id, Timestamp::now()).await?.ours {
        count(&services.metrics, drop.state, rows);
    }
    let (key, folder, state) = (&drop.source.key, &drop.folder, drop.state.as_str());
    let (code, error) = drop.problem.as_ref().map(|problem| (problem.code.as_str(), problem.message.as_str())).unzip();
    tracing::info!(drop = %drop.id, key, folder, state, code, error, "the drop has reached its end");
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
