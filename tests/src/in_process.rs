//! The driver that calls the functions in this process, one at a time or two at once, on real AWS
//! protocols and a Batch API that answers what the test says. Time does not pass here: records are
//! aged instead, and poll's clock is an argument.

use crate::env::{self, DAY, Dropped, Ended, Env, KEY};
use crate::fake_batch_api::FakeBatchApi;
use crate::logs;
use anyhow::{Result, ensure};
use aws_sdk_s3::config::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use moondrop_local::aws::Endpoints;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::http::HttpClients;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::messages::{Failures, Messages};
use moondrop_shared::source::DropId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

/// How long the functions wait for an answer of the API here; by default it is longer.
pub const API_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the functions are called.
pub struct InProcess {
    env: Env,
    pub api: FakeBatchApi,
    /// What the functions work with, warm.
    pub services: Services,
    settings: BTreeMap<String, String>,
    connections: Connections,
}

/// The connections, shared by all that is started here.
struct Connections {
    aws: SharedHttpClient,
    api: HttpClients,
}

impl Deref for InProcess {
    type Target = Env;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

impl InProcess {
    /// With the default settings, but for two rows per job.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these settings, or others in place of the default ones.
    pub async fn start_with(changes: &[(&str, &str)]) -> Self {
        logs::keep();
        let (env, api) = (Env::without_functions().await, FakeBatchApi::start(KEY).await);
        let usual = [("API_URL", api.url()), ("ROWS_PER_JOB", "2")];
        let settings = env::settings(&[&usual, changes].concat());
        let mut http = HttpClients::new().unwrap();
        http.api_timeout = API_TIMEOUT;
        let connections =
            Connections { aws: aws_smithy_http_client::Builder::new().build_http(), api: http };
        let services = connections.services(&settings, env.aws().endpoints());
        InProcess { env, api, services, settings, connections }
    }

    /// What a function works with that has just been started.
    #[must_use]
    pub fn cold(&self) -> Services {
        self.connections.services(&self.settings, self.aws().endpoints())
    }

    /// What a function works with that has just been started, when a setting has changed.
    #[must_use]
    pub fn cold_with(&self, name: &str, value: &str) -> Services {
        let mut settings = self.settings.clone();
        settings.insert(name.to_owned(), value.to_owned());
        self.connections.services(&settings, self.aws().endpoints())
    }

    /// What a function works with whose EventBridge is elsewhere.
    #[must_use]
    pub fn with_bus_at(&self, url: &str) -> Services {
        let endpoints = Endpoints { events: url.to_owned(), ..self.aws().endpoints().clone() };
        self.connections.services(&self.settings, &endpoints)
    }

    /// Delivers a drop's message to submit; whether all was done: the message does not go back to
    /// the queue, and the drop does not wait for poll to requeue it.
    pub async fn submit(&self, dropped: &Dropped) -> bool {
        let is_done = submit(&self.services, &[&dropped.message], DAY).await.is_empty();
        is_done && self.waits_until(dropped).await.is_none()
    }

    /// When poll requeues a drop that waits.
    pub async fn waits_until(&self, dropped: &Dropped) -> Option<Timestamp> {
        self.ledger.drop_record(&dropped.id).await.unwrap().and_then(|record| record.retry_at)
    }

    /// Has a drop cancelled: the user's request, delivered to submit.
    pub async fn cancel(&self, id: &DropId) {
        let request = self.request_cancel(id).await;
        let back = submit(&self.services, &[&request.message], DAY).await;
        assert!(back.is_empty(), "{:?}", self.status(id).await);
    }

    /// Ticks poll by another clock.
    pub async fn poll_at(&self, now: Timestamp) -> Result<()> {
        Box::pin(moondrop_poll::handle(&self.services, now, Deadline::after(DAY))).await
    }

    /// Ticks poll.
    pub async fn poll(&self) {
        self.poll_at(Timestamp::now()).await.unwrap();
    }

    /// Ticks poll by a clock that is ahead.
    pub async fn poll_in(&self, minutes: i64) {
        self.poll_at(Timestamp::now() + SignedDuration::from_mins(minutes)).await.unwrap();
    }

    /// Tells collect of a part's end.
    pub async fn collect(&self, id: &DropId, part: u32) -> Result<()> {
        collect(&self.services, id, part).await
    }

    /// Tells collect of every part that has ended.
    pub async fn collect_all(&self, id: &DropId) {
        for part in self.parts(id).await.iter().filter(|part| part.state.is_collectable()) {
            self.collect(id, part.plan.number).await.unwrap();
        }
    }

    /// Submits a drop, lets its jobs complete, and carries it to its end.
    pub async fn finish(&self, dropped: &Dropped) -> Ended {
        assert!(self.submit(dropped).await, "{:?}", self.status(&dropped.id).await);
        self.end(dropped).await
    }

    /// Lets a fed drop's jobs complete, and carries it to its end.
    pub async fn end(&self, dropped: &Dropped) -> Ended {
        self.api.complete_all();
        self.poll().await;
        self.collect_all(&dropped.id).await;
        self.ended(&dropped.id).await
    }
}

impl Connections {
    fn services(&self, settings: &BTreeMap<String, String>, endpoints: &Endpoints) -> Services {
        env::services(settings, env::clients(endpoints, &self.aws), self.api.clone())
    }
}

/// Delivers messages to submit; gives those that are to be delivered again, by their place.
pub async fn submit(services: &Services, messages: &[&str], left: Duration) -> Vec<String> {
    let deadline = Deadline::after(left);
    failed(&Box::pin(moondrop_submit::handle(services, batch(messages), deadline)).await)
}

/// A batch of messages, whose ids are their places.
#[must_use]
pub fn batch(messages: &[&str]) -> Messages {
    let records: Vec<Value> = messages
        .iter()
        .enumerate()
        .map(|(i, body)| json!({"messageId": i.to_string(), "body": body}))
        .collect();
    serde_json::from_value(json!({"Records": records})).unwrap()
}

/// The ids of the messages that are to be delivered again.
#[must_use]
pub fn failed(failures: &Failures) -> Vec<String> {
    let failures = serde_json::to_value(failures).unwrap();
    let failures = failures["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|f| f["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

/// Tells collect of a part's end.
///
/// # Errors
/// If the message goes back to the queue.
pub async fn collect(services: &Services, id: &DropId, part: u32) -> Result<()> {
    let ended = json!({"detail": {"drop": id, "part": part}});
    deliver_end(services, &ended, Deadline::after(DAY)).await
}

/// Delivers an announcement of a job's end to collect.
///
/// # Errors
/// If the message goes back to the queue.
pub async fn deliver_end(services: &Services, event: &Value, deadline: Deadline) -> Result<()> {
    let messages = batch(&[&event.to_string()]);
    let failures = Box::pin(moondrop_collect::handle(services, messages, deadline)).await;
    ensure!(failed(&failures).is_empty(), "the message goes back to the queue");
    Ok(())
}
