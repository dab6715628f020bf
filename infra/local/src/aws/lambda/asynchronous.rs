//! Asynchronous invocation of `collect`: the event as the payload, and two more tries.

use super::invoker::Invoker;
use crate::uuid::uuid;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Lambda tries an asynchronous invocation twice again.
const RETRIES: u32 = 2;

/// Invokes a function without waiting for it.
#[derive(Debug)]
pub(crate) struct Asynchronous {
    function: Arc<Invoker>,
    first_delay: Duration,
    ended: CancellationToken,
}

impl Asynchronous {
    pub(crate) fn new(
        function: Arc<Invoker>,
        first_delay: Duration,
        ended: CancellationToken,
    ) -> Self {
        Self { function, first_delay, ended }
    }

    /// Invokes the function with an event, in the background.
    pub(crate) fn send(self: &Arc<Self>, event: &Value) {
        let (this, payload) = (self.clone(), event.to_string());
        tokio::spawn(async move {
            let ended = this.ended.clone();
            ended.run_until_cancelled(this.deliver(&payload)).await;
        });
    }

    async fn deliver(&self, payload: &str) {
        // Lambda keeps the request's id over its retries.
        let id = uuid();
        for tries in 0..=RETRIES {
            let Err(failure) = self.function.invoke(&id, payload.to_owned()).await else {
                return;
            };
            let function = self.function.function().name();
            if tries == RETRIES {
                // Not kept: `poll` puts the event again for as long as the part is not collected.
                tracing::error!(function, %failure, "an event was given up");
                return;
            }
            tracing::info!(function, %failure, "an event will be delivered again");
            tokio::time::sleep(self.first_delay.saturating_mul(1 << tries)).await;
        }
    }
}
