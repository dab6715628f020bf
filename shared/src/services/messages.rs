//! The messages of a queue that calls a function (AWS Lambda Developer Guide, "Using Lambda with
//! Amazon SQS").

use crate::error_chain::describe;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing::field::Empty;

/// A batch of messages; only the fields that are read.
#[derive(Debug, Deserialize)]
pub struct Messages {
    #[serde(rename = "Records")]
    records: Vec<Message>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: String,
    body: String,
}

/// The messages that SQS is to deliver again, when their visibility timeout has passed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    batch_item_failures: Vec<FailedItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedItem {
    item_identifier: String,
}

impl Messages {
    /// Calls `process` with the body of each message. One that fails does not affect the others.
    pub async fn each(self, process: impl AsyncFn(&str) -> Result<()>) -> Failures {
        let mut failures = Failures::default();
        for Message { message_id, body } in self.records {
            let span = tracing::error_span!("message", message_id, drop = Empty);
            let processed = async {
                let processed = Box::pin(process(&body)).await;
                if let Err(error) = &processed {
                    tracing::warn!(error = describe(error), "the message goes back to the queue");
                }
                processed
            };
            if processed.instrument(span).await.is_err() {
                failures.batch_item_failures.push(FailedItem { item_identifier: message_id });
            }
        }
        failures
    }
}
