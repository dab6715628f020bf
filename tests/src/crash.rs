//! The functions called one by one, each a process of its own in all that matters: its own clients, its own connections, whose
//! requests a [`FaultProxy`] may fail, and a death at which nothing more of it is done.

use crate::env::{self, Env};
use crate::fault_proxy::{Behind, FaultProxy, Plan, Shared};
use anyhow::Result;
use aws_sdk_s3::config::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use moondrop_local::aws::{AwsEmulator, TABLE};
use moondrop_local::batch_api::{JobState, Sandbox, SandboxConfig};
use moondrop_shared::drop::DropState;
use moondrop_shared::part::PartState;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::http::HttpClients;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::services::settings::Settings;
use moondrop_shared::source::DropId;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

const KEY: &str = "MARKER-api-key";
/// The stack's name in the jobs' names.
const STACK: &str = "stage";

/// The servers, with no function running on its own.
pub struct CrashHarness {
    /// S3, DynamoDB, EventBridge, Secrets Manager.
    pub stack: AwsEmulator,
    /// The Batch API.
    pub sandbox: Sandbox,
    /// What the requests of all processes meet.
    pub plan: Arc<Plan>,
    /// The ledger, looked at without a front.
    pub ledger: Ledger,
    // Shared by the processes, whose fronts are at addresses of their own: so are their connections.
    http: SharedHttpClient,
    web: HttpClients,
    shared: Shared,
    storage: FaultProxy,
    settings: BTreeMap<&'static str, String>,
    told: std::sync::Mutex<usize>,
    _dir: TempDir,
}

/// One process of a function.
pub struct Process {
    /// Its way to the world.
    pub front: FaultProxy,
    services: Services,
}

impl Env for CrashHarness {
    fn aws(&self) -> &AwsEmulator {
        &self.stack
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl CrashHarness {
    /// Sets the stage; `settings` are the functions' own, over the defaults, and jobs take `job_time`.
    pub async fn set(settings: &[(&'static str, &str)], job_time: Duration) -> CrashHarness {
        let dir = TempDir::new().unwrap();
        // `poll` always has a process; this one waits until its standard input ends.
        let stack = AwsEmulator::start(env::quiet_aws(dir.path(), &["sh", "-c", "cat"], KEY)).await.unwrap();
        let mut config = SandboxConfig::new(dir.path().join("sandbox"), SecretString::from(KEY));
        config.job_time = job_time;
        let sandbox = Sandbox::start(config).await.unwrap();
        let endpoints = stack.endpoints();
        let behind = Behind {
            s3: endpoints.s3.clone(),
            dynamodb: endpoints.dynamodb.clone(),
            events: endpoints.events.clone(),
            api: sandbox.url(),
        };
        // Each tick is five minutes on, and no one repeats an invocation that died, as Lambda does.
        let defaults = env::settings(STACK).into_iter().chain([("REMIND_AFTER_SECONDS", "240")]);
        let mut all: BTreeMap<_, _> = defaults.map(|(name, value)| (name, value.to_owned())).collect();
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let ledger = Ledger::new(stack.dynamodb(), TABLE.to_owned());
        let plan = Arc::new(Plan::default());
        let shared = Shared { behind, plan: Arc::clone(&plan), all: watch::Sender::new(0) };
        let storage = FaultProxy::new("storage", &shared, None).await;
        CrashHarness {
            stack,
            sandbox,
            plan,
            ledger,
            http: aws_smithy_http_client::Builder::new().build_http(),
            web: HttpClients::new().unwrap(),
            shared,
            storage,
            settings: all,
            told: std::sync::Mutex::new(0),
            _dir: dir,
        }
    }

    /// A new process, as cold as Lambda starts one.
    pub async fn process(&self, who: &str) -> Process {
        let front = FaultProxy::new(who, &self.shared, Some(&self.storage.api)).await;
        let settings = Settings::read(|name| match name {
            "API_URL" => Some(front.api.clone()),
            name => self.settings.get(name).cloned(),
        });
        let services = Services::new(settings.unwrap(), env::clients(&front.endpoints(), &self.http), self.web.clone());
        Process { front, services }
    }

    /// Cancels a job at the Batch API, as someone else would.
    pub async fn cancel_job(&self, id: &str) {
        let url = format!("{}/v1/batch-jobs/{id}/cancel", self.sandbox.url());
        let answer = reqwest::Client::new().post(url).bearer_auth(KEY).body("{}").send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The events that were put on the bus since the last call.
    pub fn new_events(&self) -> Vec<Value> {
        let events = self.stack.events();
        let mut told = self.told.lock().unwrap();
        let new = events[*told..].to_vec();
        *told = events.len();
        new
    }

    /// Delivers an announcement to one process after the other, or to both at once.
    pub async fn redeliver_at_once(&self, event: &Value) {
        let (a, b) = (self.process("submit A").await, self.process("submit B").await);
        tokio::join!(a.submit(event), b.submit(event));
    }

    /// Ticks poll and lets collect and submit do what it tells, until the drop is closed. The ticks are five minutes apart
    /// by their own clock. Gives the number of ticks, or `None` if the drop does not come to its end.
    pub async fn drive(&self, drop: &DropId, check: impl AsyncFn()) -> Option<u32> {
        let mut now = Timestamp::now();
        for tick in 0..24 {
            self.process("poll").await.poll(now).await;
            check().await;
            for event in self.new_events() {
                match event["detail-type"].as_str() {
                    Some("Job Completed" | "Job Failed") => drop_result(self.process("collect").await.collect(&event).await),
                    Some("Drop Stalled") => self.process("submit").await.submit(&event).await,
                    _ => {}
                }
                check().await;
            }
            if self.ledger.drop_record(drop).await.unwrap().is_some_and(|meta| meta.closed_at.is_some()) {
                return Some(tick);
            }
            now += SignedDuration::from_mins(5);
        }
        None
    }

    /// Ticks poll hours later, when jobs that no record knows are swept.
    pub async fn sweep(&self) {
        self.process("poll").await.poll(Timestamp::now() + SignedDuration::from_hours(6)).await;
    }

    /// Holds the promises against what there is, for a drop at its end; gives what is broken.
    pub async fn broken_promises(&self, drop: &DropId, parts: usize, expected: &Published) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        let meta = self.ledger.drop_record(drop).await.unwrap().expect("a record");
        promise(meta.closed_at.is_some() && meta.state == expected.state, format!("the drop ended as {:?}", meta.state));
        let records = self.ledger.parts(drop).await.unwrap();
        promise(records.len() == parts, format!("{} parts", records.len()));
        promise(records.iter().all(|part| part.state == PartState::Collected), format!("{records:?}"));
        let results = self.read(meta.results_key().as_str()).await;
        promise(results.as_deref() == Some(&expected.results[..]), "other bytes in results.csv".to_owned());
        let rejected = self.read(meta.rejected_key().as_str()).await;
        promise(rejected.as_deref() == Some(&expected.rejected[..]), "other bytes in rejected.csv".to_owned());
        let status = self.read(meta.status_key().as_str()).await.unwrap_or_default();
        let status: Value = serde_json::from_slice(&status).unwrap_or_default();
        promise(status["state"] == json!(meta.state.as_str()), format!("status.json says {}", status["state"]));

        let own = format!("moondrop:{STACK}:{drop}:");
        let jobs = self.sandbox.jobs().into_iter().filter(|job| job.name.starts_with(&own));
        let mut fed: BTreeMap<String, u32> = BTreeMap::new();
        for job in jobs {
            if job.uploads > 0 {
                *fed.entry(job.name).or_default() += 1;
            } else {
                promise(job.state == JobState::Cancelled, format!("an unfed job of {} is {:?}", job.name, job.state));
            }
        }
        promise(fed.len() == parts && fed.values().all(|n| *n == 1), format!("jobs fed: {fed:?}"));

        let completed: BTreeSet<String> = self
            .stack
            .events()
            .iter()
            .filter(|event| event["detail-type"] == "Drop Completed" && event["detail"]["drop"] == json!(drop))
            .map(|event| event["detail"].to_string())
            .collect();
        promise(completed.len() == 1, format!("Drop Completed said: {completed:?}"));
        let open =
            self.ledger.open_parts().await.unwrap().records.len() + self.ledger.open_drops().await.unwrap().records.len();
        promise(open == 0, format!("{open} records are left open"));
        broken
    }
}

fn drop_result(_: Option<Result<()>>) {}

/// What a drop is to come out as.
#[derive(Debug, Clone)]
pub struct Published {
    pub state: DropState,
    /// `results.csv`.
    pub results: Vec<u8>,
    /// `rejected.csv`.
    pub rejected: Vec<u8>,
}

impl Process {
    /// Delivers an announcement. A failure goes back to the queue, as a death does: whoever drives the stage delivers again.
    pub async fn submit(&self, event: &Value) {
        let messages = json!({"Records": [{"messageId": "1", "body": event.to_string()}]});
        let messages = serde_json::from_value(messages).unwrap();
        let deadline = Deadline::after(Duration::from_secs(900));
        self.front.alive(Box::pin(moondrop_submit::handle(&self.services, messages, deadline))).await;
    }

    /// What it has measured since the last call.
    #[must_use]
    pub fn measured(&self) -> Value {
        serde_json::from_slice(&self.services.metrics.take_line("stage")).unwrap_or_default()
    }

    /// Ticks; `None` if the process died.
    pub async fn poll(&self, now: Timestamp) -> Option<Result<()>> {
        let deadline = Deadline::after(Duration::from_secs(900));
        self.front.alive(Box::pin(moondrop_poll::handle(&self.services, now, deadline))).await
    }

    /// Delivers a job's end; `None` if the process died.
    pub async fn collect(&self, event: &Value) -> Option<Result<()>> {
        let ended = serde_json::from_value(event.clone()).unwrap();
        self.front.alive(Box::pin(moondrop_collect::handle(&self.services, &ended))).await
    }
}
