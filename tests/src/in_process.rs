//! The functions called in this process, one at a time or two at once, with a fake Batch API that answers what the test says. Time
//! does not pass here: records are aged instead, and poll's clock is an argument.

use crate::env::{self, Dropped, Ended, Env, KEY_SECRET};
use crate::fake_batch_api::FakeBatchApi;
use crate::logs;
use anyhow::Result;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::config::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use moondrop_local::aws::{AwsEmulator, Endpoints, TABLE};
use moondrop_shared::event::{JobEnded, JobEndedDetail};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::http::HttpClients;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::services::settings::Settings;
use moondrop_shared::source::DropId;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tempfile::TempDir;

/// The key that the API takes at first.
pub const KEY: &str = "key-one";
/// How long the functions wait for an answer of the API here; by default it is longer.
pub const API_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the functions are called.
pub struct InProcess {
    /// The scripted Batch API.
    pub api: FakeBatchApi,
    /// AWS.
    pub stack: AwsEmulator,
    /// What the functions work with, warm.
    pub services: Services,
    settings: BTreeMap<String, String>,
    http: SharedHttpClient,
    _dir: TempDir,
}

impl Env for InProcess {
    fn aws(&self) -> &AwsEmulator {
        &self.stack
    }

    fn ledger(&self) -> &Ledger {
        &self.services.ledger
    }
}

impl InProcess {
    /// With the default settings, but for two rows a job.
    pub async fn start(binary: &str) -> InProcess {
        Self::start_with(binary, &[]).await
    }

    /// With these settings, or others in place of the default ones.
    pub async fn start_with(binary: &str, changes: &[(&str, &str)]) -> InProcess {
        logs::keep();
        let (dir, api) = (TempDir::new().unwrap(), FakeBatchApi::start(KEY).await);
        let mut settings: BTreeMap<String, String> = env::settings("faults")
            .into_iter()
            .chain([("API_URL", api.url()), ("ROWS_PER_JOB", "2")])
            .chain(changes.iter().copied())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        // An empty one counts as absent.
        settings.retain(|_, value| !value.is_empty());
        let mut config = env::quiet_aws(dir.path(), &[binary, "function"], KEY);
        config.environment.clone_from(&settings);
        let stack = AwsEmulator::start(config).await.unwrap();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let services = services(stack.endpoints(), &settings, &http);
        InProcess { api, stack, services, settings, http, _dir: dir }
    }

    /// What a function started anew works with.
    #[must_use]
    pub fn cold(&self) -> Services {
        services(self.stack.endpoints(), &self.settings, &self.http)
    }

    /// What a function started anew works with when a setting has changed.
    #[must_use]
    pub fn cold_with(&self, name: &str, value: &str) -> Services {
        let mut settings = self.settings.clone();
        settings.insert(name.to_owned(), value.to_owned());
        services(self.stack.endpoints(), &settings, &self.http)
    }

    /// What a function works with whose EventBridge is elsewhere.
    #[must_use]
    pub fn with_bus_at(&self, url: &str) -> Services {
        let endpoints = Endpoints { events: url.to_owned(), ..self.stack.endpoints().clone() };
        services(&endpoints, &self.settings, &self.http)
    }

    /// The key in its secret gets a new value.
    pub fn rotate_key(&self, key: &str) {
        self.stack.set_secret(KEY_SECRET, SecretString::from(key.to_owned()));
    }

    /// Delivers a drop's message to submit; whether it was done with.
    pub async fn submit(&self, dropped: &Dropped) -> bool {
        submit(&self.services, &[&dropped.message], DAY).await.is_empty()
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

    /// Its parts' states.
    pub async fn states(&self, id: &DropId) -> Vec<PartState> {
        self.parts(id).await.iter().map(|part| part.state).collect()
    }

    /// The code of the problem that its `status.json` tells of.
    pub async fn problem(&self, id: &DropId) -> Option<String> {
        self.status(id).await.problem.map(|problem| problem.code.to_string())
    }

    /// Sets an attribute of a part's record to a time so many minutes ago.
    pub async fn age_part(&self, (id, number): (&DropId, u32), attribute: &str, minutes: i64) {
        self.age((id, &format!("PART#{number:05}")), attribute, minutes).await;
    }

    /// Sets an attribute of the drop's record to a time so many minutes ago.
    pub async fn age_drop(&self, id: &DropId, attribute: &str, minutes: i64) {
        self.age((id, "META"), attribute, minutes).await;
    }

    /// Writes another record in a part's place.
    pub async fn replace_part(&self, part: &PartRecord) {
        let key = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
        let sk = format!("PART#{:05}", part.plan.number);
        let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(part).unwrap();
        item.extend([key("pk", format!("DROP#{}", part.drop)), key("sk", sk)]);
        item.extend([key("open", "PART".to_owned()), key("open_since", Timestamp::now().to_string())]);
        self.stack.dynamodb().put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }

    /// Has a part's job absent for so many hours, up to now, as ticks of poll would have noted it.
    pub async fn absent_for(&self, id: &DropId, number: u32, hours: u64) {
        self.age_part((id, number), "absent_at", 0).await;
        let update = self.stack.dynamodb().update_item().table_name(TABLE);
        let sk = AttributeValue::S(format!("PART#{number:05}"));
        let update = update.key("pk", AttributeValue::S(format!("DROP#{id}"))).key("sk", sk);
        let seconds = AttributeValue::N((hours * 3600).to_string());
        let update = update.update_expression("SET absent_seconds = :s").expression_attribute_values(":s", seconds);
        update.send().await.unwrap();
    }

    async fn age(&self, (id, sk): (&DropId, &str), attribute: &str, minutes: i64) {
        let at = Timestamp::now() - SignedDuration::from_mins(minutes);
        let update = self.stack.dynamodb().update_item().table_name(TABLE);
        let update = update.key("pk", AttributeValue::S(format!("DROP#{id}"))).key("sk", AttributeValue::S(sk.to_owned()));
        let update = update.update_expression("SET #a = :at").expression_attribute_names("#a", attribute);
        update.expression_attribute_values(":at", AttributeValue::S(at.to_string())).send().await.unwrap();
    }

    /// Every record of the ledger.
    pub async fn dump(&self) -> Vec<HashMap<String, AttributeValue>> {
        self.stack.dynamodb().scan().table_name(TABLE).send().await.unwrap().items.unwrap_or_default()
    }
}

/// Longer than any test.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Delivers messages to submit; gives those that are to be delivered again, by their place.
pub async fn submit(services: &Services, messages: &[&str], left: Duration) -> Vec<String> {
    let records: Vec<Value> =
        messages.iter().enumerate().map(|(i, body)| json!({"messageId": i.to_string(), "body": body})).collect();
    let messages = serde_json::from_value(json!({"Records": records})).unwrap();
    let failures = Box::pin(moondrop_submit::handle(services, messages, Deadline::after(left))).await;
    let failures = serde_json::to_value(failures).unwrap();
    let failures = failures["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|f| f["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

/// Tells collect of a part's end.
///
/// # Errors
/// As collect's.
pub async fn collect(services: &Services, id: &DropId, part: u32) -> Result<()> {
    let ended = JobEnded { detail: JobEndedDetail { drop: id.clone(), part } };
    Box::pin(moondrop_collect::handle(services, &ended)).await
}

fn services(endpoints: &Endpoints, settings: &BTreeMap<String, String>, http: &SharedHttpClient) -> Services {
    let settings = Settings::read(|name| settings.get(name).cloned()).unwrap();
    let mut api_http = HttpClients::new().unwrap();
    api_http.api_timeout = API_TIMEOUT;
    Services::new(settings, env::clients(endpoints, http), api_http)
}
