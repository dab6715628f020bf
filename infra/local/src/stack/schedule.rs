//! The schedule of `poll`.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ACCOUNT, REGION,
    envelope::{envelope, uuid},
    invoker::Invoker,
};

/// Ticks until the stack has ended: when the time has come since the last tick's end, or when asked to.
pub(crate) async fn tick(poll: Arc<Invoker>, every: Duration, now: Arc<Notify>, ended: CancellationToken) {
    let ticks = async {
        loop {
            // The notice is kept if nobody waits, and several of them are one.
            let _ = tokio::time::timeout(every, now.notified()).await;
            let rule = format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/moondrop-poll");
            let event = envelope("aws.events", "Scheduled Event", Timestamp::now(), &[rule], &json!({}));
            if let Err(failure) = poll.invoke(&uuid(), event.to_string()).await {
                tracing::warn!(%failure, "a tick failed");
            }
        }
    };
    ended.run_until_cancelled(ticks).await;
}
