//! A queue before a function (SQS): it delivers one message at a time to each process. After a
//! failure the message stays invisible for a while, and is delivered again.

use super::invoker::Invoker;
use crate::aws::config::Redelivery;
use crate::aws::names::{ACCOUNT, REGION};
use crate::sync::locked;
use crate::uuid::uuid;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// A queue, with its dead letters.
#[derive(Debug)]
pub(crate) struct Queue {
    function: Arc<Invoker>,
    redelivery: Redelivery,
    dead: Mutex<Vec<Value>>,
    ended: CancellationToken,
}

impl Queue {
    pub(crate) fn new(
        function: Arc<Invoker>,
        redelivery: Redelivery,
        ended: CancellationToken,
    ) -> Self {
        Self { function, redelivery, dead: Mutex::default(), ended }
    }

    /// Queues a message. It is delivered in the background.
    pub(crate) fn send(self: &Arc<Self>, event: &Value) {
        let (queue, event) = (self.clone(), event.clone());
        tokio::spawn(async move {
            let ended = queue.ended.clone();
            ended.run_until_cancelled(queue.deliver(event)).await;
        });
    }

    /// The messages that were given up, oldest first.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        locked(&self.dead).clone()
    }

    async fn deliver(&self, event: Value) {
        let function = self.function.function().name();
        let (id, sent) = (uuid(), Timestamp::now());
        let message = Message { id, function, body: event.to_string(), sent };
        let mut receives = 1;
        loop {
            let answer =
                self.function.invoke(&uuid(), message.delivery(receives).to_string()).await;
            let reason = match answer {
                Ok(answer) if !reports_a_failure(&answer) => return,
                Ok(_) => "the function named it in batchItemFailures".to_owned(),
                Err(failure) => failure.to_string(),
            };
            if receives >= self.redelivery.max_receives {
                tracing::error!(
                    function,
                    message = message.id,
                    receives,
                    reason,
                    "a message became a dead letter"
                );
                let letter = json!({"function": function, "messageId": message.id, "body": event, "receives": receives, "reason": reason});
                locked(&self.dead).push(letter);
                return;
            }
            tracing::info!(
                function,
                message = message.id,
                receives,
                reason,
                "a message will be delivered again"
            );
            // Not shorter after a failure than after a process's death: nothing makes a message visible
            // before its time. It counts from the failure, since a delivery may wait for a process here.
            tokio::time::sleep(self.redelivery.visibility).await;
            receives += 1;
        }
    }
}

struct Message {
    id: String,
    function: &'static str,
    body: String,
    sent: Timestamp,
}

impl Message {
    /// The event of Lambda's mapping of a queue.
    fn delivery(&self, receives: u32) -> Value {
        json!({"Records": [{
            "messageId": self.id,
            "receiptHandle": uuid(),
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": receives.to_string(),
                "SentTimestamp": self.sent.as_millisecond().to_string(),
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": self.sent.as_millisecond().to_string(),
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:moondrop-{}", self.function),
            "awsRegion": REGION,
        }]})
    }
}

/// Whether an answer says that the message failed. A name that is not the message's fails the
/// batch, as on AWS, and the batch is the message.
fn reports_a_failure(answer: &Value) -> bool {
    answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_has_the_shape_of_sqs() {
        let message = Message {
            id: "m".into(),
            function: "submit",
            body: r#"{"a":1}"#.into(),
            sent: Timestamp::UNIX_EPOCH,
        };
        let record = message.delivery(3)["Records"][0].clone();
        assert_eq!(record["messageId"], "m");
        assert_eq!(record["body"], r#"{"a":1}"#);
        assert_eq!(record["attributes"]["ApproximateReceiveCount"], "3");
        assert_eq!(record["eventSource"], "aws:sqs");
    }

    #[test]
    fn only_a_named_item_is_a_failure() {
        assert!(reports_a_failure(&json!({"batchItemFailures": [{"itemIdentifier": "m"}]})));
        for answer in [
            json!({"batchItemFailures": []}),
            json!({"batchItemFailures": null}),
            json!({}),
            Value::Null,
        ] {
            assert!(!reports_a_failure(&answer), "{answer}");
        }
    }
}
