//! The environment of a test: the servers, their buckets and ledger, and what a test does with them
//! whoever runs the functions. Three drivers run them: [`processes`](crate::processes),
//! [`in_process`](crate::in_process) and [`crash`](crate::crash).

mod clients;
mod records;

pub use clients::{clients, services, settings};
pub use records::Item;

use aws_sdk_s3::primitives::ByteStream;
use moondrop_local::aws::{AwsConfig, AwsEmulator, DROPS, Processes, RESULTS, TABLE};
use moondrop_local::local_stack::LocalStack;
use moondrop_shared::drop::status::Status;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::event::ObjectCreated;
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::source::{DropId, Source};
use secrecy::SecretString;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The key that the Batch API takes at first.
pub const KEY: &str = "key-one";
pub const KEY_SECRET: &str = "moondrop/api-key";
/// The stack's name, which the jobs' names begin with, where the test calls the functions.
pub const STACK: &str = "faults";
/// Longer than any test.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Servers with AWS among them.
pub trait Servers {
    fn aws(&self) -> &AwsEmulator;
}

impl Servers for AwsEmulator {
    fn aws(&self) -> &AwsEmulator {
        self
    }
}

impl Servers for LocalStack {
    fn aws(&self) -> &AwsEmulator {
        &self.aws
    }
}

/// Servers in a folder of their own.
pub struct Env<S = AwsEmulator> {
    pub servers: S,
    pub ledger: Ledger,
    dir: TempDir,
}

/// A file that was dropped.
#[derive(Debug, Clone)]
pub struct Dropped {
    pub id: DropId,
    /// The body of the message that announces it.
    pub message: String,
}

impl Env {
    /// AWS with no function running on its own.
    pub async fn without_functions() -> Self {
        let dir = TempDir::new().unwrap();
        // `poll` always has a process; this one waits until its standard input ends.
        let mut config = AwsConfig::new(dir.path(), vec!["sh".into(), "-c".into(), "cat".into()]);
        config.processes = Processes { submit: 0, collect: 0 };
        config.poll_every = DAY;
        config.secrets.insert(KEY_SECRET.to_owned(), SecretString::from(KEY));
        let aws = AwsEmulator::start(config).await.unwrap();
        let ledger = Ledger::new(aws.dynamodb(), TABLE.to_owned());
        Env { servers: aws, ledger, dir }
    }

    /// The API's key in its secret gets a new value.
    pub fn rotate_key(&self, key: &str) {
        self.servers.set_secret(KEY_SECRET, SecretString::from(key.to_owned()));
    }
}

impl Env<LocalStack> {
    pub fn of_local_stack(local: LocalStack, dir: TempDir) -> Self {
        let ledger = Ledger::new(local.aws.dynamodb(), TABLE.to_owned());
        Env { servers: local, ledger, dir }
    }
}

impl<S: Servers> Env<S> {
    #[must_use]
    pub fn aws(&self) -> &AwsEmulator {
        self.servers.aws()
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file into the drop bucket.
    pub async fn drop_file(&self, key: &str, body: impl Into<Vec<u8>>) -> Dropped {
        self.put_object(DROPS, key, body).await;
        let message = self.aws().announcement(DROPS, key).await.unwrap().to_string();
        Dropped { id: announced(&message).id(), message }
    }

    /// Asks for a drop to be cancelled, as a user does.
    pub async fn request_cancel(&self, id: &DropId) -> Dropped {
        let key = format!("control/{id}.cancel");
        self.put_object(DROPS, &key, "").await;
        let message = self.aws().announcement(DROPS, &key).await.unwrap().to_string();
        Dropped { id: id.clone(), message }
    }

    pub async fn put_object(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) {
        let put = self.aws().s3().put_object().bucket(bucket).key(key);
        put.body(ByteStream::from(body.into())).send().await.unwrap();
    }

    pub async fn delete_object(&self, bucket: &str, key: &str) {
        self.aws().s3().delete_object().bucket(bucket).key(key).send().await.unwrap();
    }

    /// The object under a key of the drop bucket, as it is announced now.
    pub async fn source(&self, key: &str) -> Source {
        announced(&self.aws().announcement(DROPS, key).await.unwrap().to_string())
    }

    /// An object of the results bucket.
    pub async fn read(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.aws().s3().get_object().bucket(RESULTS).key(key).send().await.ok()?;
        Some(got.body.collect().await.unwrap().to_vec())
    }

    /// The keys of the results bucket that begin so.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed =
            self.aws().s3().list_objects_v2().bucket(RESULTS).prefix(prefix).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key()).map(str::to_owned).collect()
    }

    pub async fn record(&self, id: &DropId) -> DropRecord {
        self.ledger.drop_record(id).await.unwrap().expect("the drop's record")
    }

    pub async fn parts(&self, id: &DropId) -> Vec<PartRecord> {
        self.ledger.parts(id).await.unwrap()
    }

    /// The states of a drop's parts.
    pub async fn states(&self, id: &DropId) -> Vec<PartState> {
        self.parts(id).await.iter().map(|part| part.state).collect()
    }

    /// A drop's `status.json`.
    pub async fn status(&self, id: &DropId) -> Status {
        let record = self.record(id).await;
        let status = self.read(&record.status_key().to_string()).await.expect("a status.json");
        serde_json::from_slice(&status).unwrap()
    }

    /// The code of the problem that a drop's `status.json` reports.
    pub async fn problem(&self, id: &DropId) -> Option<String> {
        self.status(id).await.problem.map(|problem| problem.code.to_string())
    }

    /// A drop at its end; fails the test if it has not come to it.
    pub async fn ended(&self, id: &DropId) -> Ended {
        let record = self.record(id).await;
        assert!(
            record.closed_at.is_some(),
            "the drop has not ended: {record:?} {:?}",
            self.parts(id).await
        );
        Ended {
            status: self.status(id).await,
            results: self.read(&record.results_key().to_string()).await,
            rejected: self.read(&record.rejected_key().to_string()).await,
        }
    }

    /// The details of the events of one kind about a drop.
    #[must_use]
    pub fn events(&self, kind: &str, id: &DropId) -> Vec<Value> {
        let events = self.aws().events().into_iter().filter(|event| event["detail-type"] == kind);
        events
            .map(|mut event| event["detail"].take())
            .filter(|detail| detail["drop"] == id.as_str())
            .collect()
    }
}

fn announced(message: &str) -> Source {
    ObjectCreated::read(message).unwrap().detail.source().unwrap()
}

/// What a drop has come to.
#[derive(Debug)]
pub struct Ended {
    pub status: Status,
    /// Its `results.csv`, if there is one.
    pub results: Option<Vec<u8>>,
    /// Its `rejected.csv`, if there is one.
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

    /// Fails the test with the whole status if the state is another.
    pub fn assert_state(&self, state: DropState) {
        assert_eq!(
            self.status.state,
            state,
            "{}",
            serde_json::to_string_pretty(&self.status).unwrap()
        );
    }
}
