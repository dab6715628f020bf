//! Collects a part: its rows in the source's order, each with its answer.

use crate::collector::Collector;
use crate::{held, join, results};
use anyhow::Result;
use jiff::Timestamp;
use moondrop_shared::job::OVERDUE_AFTER;
use moondrop_shared::part::PartFailure;
use moondrop_shared::part::decide::CANCEL_PATIENCE;
use moondrop_shared::part::join::PartResult;
use moondrop_shared::services::batch_api::ApiError;

/// Joins, stores and records a part; `false` if it waits for better results, for a setting, or for
/// poll.
pub(crate) async fn collect(collector: &Collector<'_>) -> Result<bool> {
    let part = collector.part;
    let result = match (&part.failure, &part.job_id) {
        (Some(failure), _) if failure.lost => match ask_once_more(collector, failure).await? {
            Some(lost) => lost,
            None => return Ok(false),
        },
        (Some(failure), _) => PartResult::Failed(failure.reason.clone()),
        (None, Some(job)) => return Box::pin(held::collect_answered(collector, job)).await,
        (None, None) => PartResult::Answered(Box::default()),
    };
    join::collect_unanswered(collector, result).await
}

/// Asks for a lost job once more before its rows end as missing; `None` if the API reports it after
/// all.
async fn ask_once_more(
    collector: &Collector<'_>,
    failure: &PartFailure,
) -> Result<Option<PartResult>> {
    let Collector { services, part, .. } = collector;
    let lost = Some(PartResult::Lost(failure.reason.clone()));
    // A job to which nothing was sent has no results.
    let Some(job) = part.job_id.as_ref().filter(|_| part.may_be_sent()) else { return Ok(lost) };
    let now = Timestamp::now();
    let is_older = |at: Option<Timestamp>, age| at.is_some_and(|at| now.duration_since(at) > age);
    // An API that cannot be asked for so long holds up no part that is overdue, or was cancelled.
    let overdue = is_older(part.created_at, OVERDUE_AFTER)
        || is_older(collector.drop.cancelled_at, CANCEL_PATIENCE);
    match results::look_up(services, job).await {
        Ok(None) => Ok(lost),
        Ok(Some(_)) => {
            collector.report_is_due().await?;
            if services.ledger.find_again(part).await?.ours {
                tracing::warn!(
                    drop = %part.drop, part = part.plan.number, job,
                    "the API reports a lost job again"
                );
            }
            Ok(None)
        }
        Err(error) if matches!(error.downcast_ref(), Some(ApiError::NotFound(_))) => Ok(lost),
        Err(_) if overdue => Ok(lost),
        Err(error) => Err(error),
    }
}
