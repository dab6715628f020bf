//! One environment for all tests: S3, DynamoDB, EventBridge and Secrets Manager behind real sockets, and what tests do with them.
//! Three drivers run the functions in it: [`crate::processes`] as processes of their own, [`crate::in_process`] as calls in the
//! test's process, and [`crate::crash`] as calls whose every request may fail or be the last.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::primitives::ByteStream;
use moondrop_local::aws::{AwsConfig, AwsEmulator, BUS, DROPS, Endpoints, Processes, REGION, RESULTS, TABLE};
use moondrop_shared::drop::status::Status;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::event::ObjectCreated;
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::AwsClients;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::source::{DropId, Source};
use secrecy::SecretString;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The name of the API key's secret.
pub const KEY_SECRET: &str = "moondrop/api-key";

/// A file that was dropped, and the message that says so.
#[derive(Debug, Clone)]
pub struct Dropped {
    pub id: DropId,
    /// The message's body.
    pub message: String,
}

impl Dropped {
    /// The message's body, as JSON.
    #[must_use]
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.message).unwrap()
    }
}

/// A drop at its end.
#[derive(Debug)]
pub struct Ended {
    pub status: Status,
    /// `results.csv`, if there is one.
    pub results: Option<Vec<u8>>,
    /// `rejected.csv`, if there is one.
    pub rejected: Option<Vec<u8>>,
}

impl Ended {
    /// `results.csv`; fails the test if there is none.
    #[must_use]
    pub fn results(&self) -> &[u8] {
        self.results.as_deref().unwrap_or_else(|| panic!("no results.csv: {:?}", self.status))
    }

    /// `rejected.csv`, as text; fails the test if there is none.
    #[must_use]
    pub fn rejected(&self) -> &str {
        std::str::from_utf8(self.rejected.as_deref().expect("a rejected.csv")).unwrap()
    }
}

/// Asserts a state, with the whole status where it is another.
#[track_caller]
pub fn assert_state(ended: &Ended, state: DropState) {
    assert_eq!(ended.status.state, state, "{}", serde_json::to_string_pretty(&ended.status).unwrap());
}

/// What a test does to the environment and sees of it, whatever runs the functions.
#[allow(async_fn_in_trait)]
pub trait Env {
    fn aws(&self) -> &AwsEmulator;

    fn ledger(&self) -> &Ledger;

    /// Drops a file.
    async fn drop_file(&self, key: &str, body: impl Into<Vec<u8>>) -> Dropped {
        let put = self.aws().s3().put_object().bucket(DROPS).key(key);
        put.body(ByteStream::from(body.into())).send().await.unwrap();
        let message = self.aws().announcement(DROPS, key).await.unwrap().to_string();
        Dropped { id: source_in(&message).id(), message }
    }

    /// The object under a key, as it was announced.
    async fn source(&self, key: &str) -> Source {
        source_in(&self.aws().announcement(DROPS, key).await.unwrap().to_string())
    }

    /// The drop's record.
    async fn record(&self, id: &DropId) -> DropRecord {
        self.ledger().drop_record(id).await.unwrap().expect("the drop's record")
    }

    async fn parts(&self, id: &DropId) -> Vec<PartRecord> {
        self.ledger().parts(id).await.unwrap()
    }

    /// The drop's `status.json`.
    async fn status(&self, id: &DropId) -> Status {
        let status = self.read(self.record(id).await.status_key().as_str()).await.expect("a status.json");
        serde_json::from_slice(&status).unwrap()
    }

    /// The drop at its end; fails the test if it has not ended.
    async fn ended(&self, id: &DropId) -> Ended {
        let drop = self.record(id).await;
        assert!(drop.closed_at.is_some(), "the drop has not ended: {drop:?} {:?}", self.parts(id).await);
        Ended {
            status: self.status(id).await,
            results: self.read(drop.results_key().as_str()).await,
            rejected: self.read(drop.rejected_key().as_str()).await,
        }
    }

    /// An object of the results bucket.
    async fn read(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.aws().s3().get_object().bucket(RESULTS).key(key).send().await.ok()?;
        Some(got.body.collect().await.unwrap().to_vec())
    }

    /// The keys of the results bucket below a prefix.
    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.aws().s3().list_objects_v2().bucket(RESULTS).prefix(prefix).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key()).map(str::to_owned).collect()
    }

    /// The details of the events of one kind about a drop.
    fn events(&self, kind: &str, id: &DropId) -> Vec<Value> {
        let events = self.aws().events().into_iter().filter(|e| e["detail-type"] == kind);
        events.map(|mut e| e["detail"].take()).filter(|detail| detail["drop"] == id.as_str()).collect()
    }
}

fn source_in(message: &str) -> Source {
    ObjectCreated::read(message).unwrap().detail.source().unwrap()
}

/// AWS in this folder, on which no function runs by itself.
pub fn quiet_aws(dir: &Path, function: &[&str], key: &str) -> AwsConfig {
    let mut config = AwsConfig::new(dir, function.iter().map(Into::into).collect());
    config.secrets.insert(KEY_SECRET.to_owned(), SecretString::from(key.to_owned()));
    config.processes = Processes { submit: 0, collect: 0 };
    config.poll_every = Duration::from_secs(86_400);
    config
}

/// The settings that the functions need here, but for the API's URL.
#[must_use]
pub fn settings(stack: &'static str) -> [(&'static str, &'static str); 6] {
    [
        ("STACK", stack),
        ("RESULTS_BUCKET", RESULTS),
        ("TABLE", TABLE),
        ("EVENT_BUS", BUS),
        ("API_KEY_SECRET", KEY_SECRET),
        ("DEFAULT_POLICY", "policy"),
    ]
}

/// Clients of AWS that try again as the functions' do, but without waiting long. They share the connections of `http`.
#[must_use]
pub fn clients(endpoints: &Endpoints, http: &SharedHttpClient) -> AwsClients {
    macro_rules! client {
        ($service:ident, $endpoint:expr) => {{
            use $service::config::{BehaviorVersion, Config, Region, retry::RetryConfig};
            let retry = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(5));
            let config = Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static(REGION))
                .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
                .retry_config(retry)
                .http_client(http.clone())
                .endpoint_url($endpoint);
            $service::Client::from_conf(config.build())
        }};
    }
    AwsClients {
        s3: client!(aws_sdk_s3, &endpoints.s3),
        dynamodb: client!(aws_sdk_dynamodb, &endpoints.dynamodb),
        eventbridge: client!(aws_sdk_eventbridge, &endpoints.events),
        secrets_manager: client!(aws_sdk_secretsmanager, &endpoints.secrets_manager),
    }
}
