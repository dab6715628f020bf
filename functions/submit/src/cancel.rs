//! Cancels a drop on the user's request.
//!
//! The request is recorded first, and the plan of a drop requires its absence: so a drop is either
//! planned before, and its parts are cancelled here and by poll, or it is never planned.

use anyhow::Result;
use jiff::Timestamp;
use moondrop_shared::drop::{DropProblem, DropRecord, DropState};
use moondrop_shared::lifecycle::{
    DueReport, cancel_parts, conclude_if_ended, is_to_be_cancelled, set_drop_problem,
};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::source::DropId;

/// Records the request, and cancels the drop. A drop that has ended stays as it is.
pub(crate) async fn request(services: &Services, drop_id: &DropId) -> Result<()> {
    let Some(drop) = services.ledger.request_cancel(drop_id, Timestamp::now()).await? else {
        tracing::error!(
            drop = %drop_id, alarm = "unknown_control",
            "no drop has the id that is to be cancelled"
        );
        return Ok(());
    };
    match drop.cancelled_at {
        Some(_) => tracing::warn!(drop = %drop_id, "the drop is cancelled, on request"),
        None => tracing::warn!(drop = %drop_id, "the drop had ended before it was to be cancelled"),
    }
    Box::pin(cancel(services, drop)).await
}

/// Cancels a drop whose request is recorded: ends it if it is not planned, and cancels its parts
/// otherwise.
pub(crate) async fn cancel(services: &Services, mut drop: DropRecord) -> Result<()> {
    if drop.state == DropState::Checking {
        drop = end_unplanned(services, &drop).await?;
    }
    if conclude_if_ended(services, &drop).await? {
        return Ok(());
    }
    let due = DueReport::begin(services, &drop.id).await?;
    // What stopped its uploads does not matter any more.
    let drop = set_drop_problem(services, &drop, DropProblem::Create, None).await?;
    let mut parts = services.ledger.parts(&drop.id).await?;
    parts.retain(is_to_be_cancelled);
    let (_, outcome) = cancel_parts(services, &drop, parts, Timestamp::now()).await;
    due.make(services, &drop).await;
    outcome
}

/// The drop's record, which ends as `failed` unless it was planned before the request.
async fn end_unplanned(services: &Services, drop: &DropRecord) -> Result<DropRecord> {
    let mut next = DropRecord {
        state: DropState::Failed,
        problem: Some(Problem::cancelled_unplanned()),
        ..drop.clone()
    };
    next.times.ended_at = Some(Timestamp::now());
    Ok(services.ledger.move_drop(&next, DropState::Checking).await?.record)
}
