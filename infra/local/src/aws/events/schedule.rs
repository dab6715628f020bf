//! The schedule of `poll`.

use super::envelope::Event;
use crate::aws::lambda::Invoker;
use crate::aws::names::{ACCOUNT, REGION};
use crate::uuid::uuid;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Invokes `poll` until `ended`: `every` so often, counted from the end of the tick before, or when
/// asked to.
pub(crate) async fn tick(
    poll: Arc<Invoker>,
    every: Duration,
    now: Arc<Notify>,
    ended: CancellationToken,
) {
    let ticks = async {
        loop {
            // The notice is kept if nobody waits, and several of them are one.
            let _ = tokio::time::timeout(every, now.notified()).await;
            let rule = format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/moondrop-poll");
            let (time, resources, detail) = (Timestamp::now(), vec![rule], json!({}));
            let event = Event {
                source: "aws.events",
                detail_type: "Scheduled Event",
                time,
                resources,
                detail,
            };
            if let Err(failure) = poll.invoke(&uuid(), event.envelope().to_string()).await {
                tracing::warn!(%failure, "a tick failed");
            }
        }
    };
    ended.run_until_cancelled(ticks).await;
}
