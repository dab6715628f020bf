//! The driver that lets functions crash: they are called one by one, each a process of its own in
//! all that matters, with its own clients, its own connections, and a death after which nothing
//! more of it is done.

use crate::env::{self, DAY, Env, KEY, STACK};
use crate::fault_proxy::{FaultProxy, Plan, Shared, Upstream};
use crate::in_process::{batch, deliver_end};
use anyhow::Result;
use aws_sdk_s3::config::SharedHttpClient;
use jiff::{SignedDuration, Timestamp};
use moondrop_local::batch_api::{JobState, Sandbox, SandboxConfig};
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::part::PartState;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::http::HttpClients;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::source::DropId;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The servers, and what is common to the processes that are started here.
pub struct CrashHarness {
    env: Env,
    /// The Batch API.
    pub sandbox: Sandbox,
    /// What the requests of all processes meet.
    pub plan: Arc<Plan>,
    shared: Shared,
    storage: FaultProxy,
    settings: BTreeMap<String, String>,
    // Shared by the processes, whose proxies have addresses of their own: so are their connections.
    aws_http: SharedHttpClient,
    api_http: HttpClients,
    events_seen: Mutex<usize>,
}

/// One process of a function.
pub struct Process {
    /// Its way to the servers.
    proxy: FaultProxy,
    services: Services,
}

impl Deref for CrashHarness {
    type Target = Env;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

impl CrashHarness {
    /// `settings` are the functions' own, over the defaults, and jobs take `job_time`.
    pub async fn start(settings: &[(&str, &str)], job_time: Duration) -> Self {
        let env = Env::without_functions().await;
        let mut config = SandboxConfig::new(env.dir().join("sandbox"), SecretString::from(KEY));
        config.job_time = job_time;
        let sandbox = Sandbox::start(config).await.unwrap();
        let upstream = Upstream { aws: env.aws().endpoints().clone(), api: sandbox.url() };
        let shared =
            Shared { upstream, plan: Arc::new(Plan::default()), all_die: watch::Sender::new(0) };
        // Each tick is five minutes on, and no one repeats an invocation that died, as Lambda does.
        let remind = ("REMIND_AFTER_SECONDS", "240");
        CrashHarness {
            sandbox,
            plan: Arc::clone(&shared.plan),
            storage: FaultProxy::of_storage(&shared).await,
            shared,
            settings: env::settings(&[&[remind], settings].concat()),
            aws_http: aws_smithy_http_client::Builder::new().build_http(),
            api_http: HttpClients::new().unwrap(),
            events_seen: Mutex::new(0),
            env,
        }
    }

    /// A new process, as cold as Lambda starts one.
    pub async fn process(&self, who: &str) -> Process {
        let proxy = FaultProxy::of_process(who, &self.shared, &self.storage).await;
        let mut settings = self.settings.clone();
        settings.insert("API_URL".to_owned(), proxy.addresses.api.clone());
        let clients = env::clients(&proxy.addresses.aws, &self.aws_http);
        let services = env::services(&settings, clients, self.api_http.clone());
        Process { proxy, services }
    }

    /// Cancels a job at the Batch API, as someone else would.
    pub async fn cancel_job(&self, id: &str) {
        let url = format!("{}/v1/batch-jobs/{id}/cancel", self.sandbox.url());
        let answer =
            reqwest::Client::new().post(url).bearer_auth(KEY).body("{}").send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The events that were put on the bus since the last call.
    fn new_events(&self) -> Vec<Value> {
        let events = self.aws().events();
        let mut seen = self.events_seen.lock().unwrap();
        let new = events[*seen..].to_vec();
        *seen = events.len();
        new
    }

    /// Delivers an announcement to one process after the other, or to both at once.
    pub async fn redeliver_at_once(&self, message: &str) {
        let (a, b) = (self.process("submit A").await, self.process("submit B").await);
        tokio::join!(a.submit(message), b.submit(message));
    }

    /// Ticks poll and lets collect and submit do what it announces, until the drop is closed. The
    /// ticks are five minutes apart by their own clock. Gives the number of ticks, or `None` if the
    /// drop does not come to its end.
    pub async fn drive(&self, drop_id: &DropId, check: impl AsyncFn()) -> Option<u32> {
        let mut now = Timestamp::now();
        for tick in 0..24 {
            self.process("poll").await.poll(now).await;
            check().await;
            for event in self.new_events() {
                match event["detail-type"].as_str() {
                    Some("Job Completed" | "Job Failed") => {
                        let _ = self.process("collect").await.collect(&event).await;
                    }
                    Some("Drop Stalled") => {
                        self.process("submit").await.submit(&event.to_string()).await
                    }
                    _ => {}
                }
                check().await;
            }
            if self
                .ledger
                .drop_record(drop_id)
                .await
                .unwrap()
                .is_some_and(|record| record.closed_at.is_some())
            {
                return Some(tick);
            }
            now += SignedDuration::from_mins(5);
        }
        None
    }

    /// Lets the jobs of a fed drop end, and collects all parts but the last.
    pub async fn collect_but_last(&self, drop_id: &DropId) {
        self.process("poll").await.poll(Timestamp::now()).await;
        let last = self.parts(drop_id).await.len();
        for event in self.new_events() {
            let is_last = event["detail"]["part"] == json!(last);
            if event["detail-type"] == "Job Completed" && !is_last {
                let _ = self.process("collect").await.collect(&event).await;
            }
        }
    }

    /// Ticks poll hours later, when jobs that no record knows are swept; again after a tick that met a
    /// fault.
    pub async fn sweep(&self) {
        let later = Timestamp::now() + SignedDuration::from_hours(6);
        while !matches!(self.process("poll").await.poll(later).await, Some(Ok(()))) {}
    }

    /// A drop's `results.csv`, if there is one.
    pub async fn published(&self, record: &DropRecord) -> Option<Vec<u8>> {
        self.read(&record.results_key().to_string()).await
    }

    /// Holds the promises against what there is, for a drop at its end; gives what is broken.
    pub async fn broken_promises(
        &self,
        drop_id: &DropId,
        parts: usize,
        expected: &Published,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        let mut promise = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        let record = self.record(drop_id).await;
        promise(
            record.closed_at.is_some() && record.state == expected.state,
            format!("the drop ended as {:?}", record.state),
        );
        let records = self.parts(drop_id).await;
        promise(records.len() == parts, format!("{} parts", records.len()));
        promise(
            records.iter().all(|part| part.state == PartState::Collected),
            format!("{records:?}"),
        );
        let results = self.published(&record).await;
        promise(
            results.as_deref() == Some(&expected.results[..]),
            "other bytes in results.csv".to_owned(),
        );
        let rejected = self.read(&record.rejected_key().to_string()).await;
        promise(
            rejected.as_deref() == Some(&expected.rejected[..]),
            "other bytes in rejected.csv".to_owned(),
        );
        let status = self.read(&record.status_key().to_string()).await.unwrap_or_default();
        let status: Value = serde_json::from_slice(&status).unwrap_or_default();
        promise(
            status["state"] == json!(record.state.as_str()),
            format!("status.json says {}", status["state"]),
        );

        let own = format!("moondrop:{STACK}:{drop_id}:");
        let jobs = self.sandbox.jobs().into_iter().filter(|job| job.name.starts_with(&own));
        let (with_rows, without): (Vec<_>, Vec<_>) = jobs.partition(|job| job.uploads > 0);
        for job in without {
            promise(
                job.state == JobState::Cancelled,
                format!("a job of {} without rows is {:?}", job.name, job.state),
            );
        }
        let names: BTreeSet<&String> = with_rows.iter().map(|job| &job.name).collect();
        promise(
            names.len() == parts && with_rows.len() == parts,
            format!("jobs with rows: {with_rows:?}"),
        );

        // One announced twice has to be the same word for word.
        let completed = self.events("Drop Completed", drop_id);
        let completed: BTreeSet<String> = completed.iter().map(Value::to_string).collect();
        promise(completed.len() == 1, format!("Drop Completed: {completed:?}"));
        let open = self.ledger.open_parts().await.unwrap().records.len()
            + self.ledger.open_drops().await.unwrap().records.len();
        promise(open == 0, format!("{open} records are left open"));
        broken
    }
}

/// What a drop is to come out as.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its end.
    pub state: DropState,
    /// `results.csv`.
    pub results: Vec<u8>,
    /// `rejected.csv`.
    pub rejected: Vec<u8>,
}

impl Process {
    /// Delivers an announcement. A failure goes back to the queue, as a death does: whoever drives
    /// the process delivers it again.
    pub async fn submit(&self, message: &str) {
        let deadline = Deadline::after(Duration::from_secs(900));
        self.proxy
            .alive(Box::pin(moondrop_submit::handle(&self.services, batch(&[message]), deadline)))
            .await;
    }

    /// What it has measured since the last call.
    #[must_use]
    pub fn measured(&self) -> Value {
        serde_json::from_slice(&self.services.metrics.take_line()).unwrap_or_default()
    }

    /// Ticks; `None` if the process died.
    pub async fn poll(&self, now: Timestamp) -> Option<Result<()>> {
        let deadline = Deadline::after(Duration::from_secs(900));
        self.proxy.alive(Box::pin(moondrop_poll::handle(&self.services, now, deadline))).await
    }

    /// Delivers a job's end; `None` if the process died.
    pub async fn collect(&self, event: &Value) -> Option<Result<()>> {
        self.proxy.alive(Box::pin(deliver_end(&self.services, event, Deadline::after(DAY)))).await
    }
}
