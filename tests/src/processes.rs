//! The driver for a whole Moondrop: the three functions are processes, as `moondrop run` starts
//! them, and the servers call them.

use crate::env::{Ended, Env};
use crate::files::find_all_ending;
use crate::rows;
use anyhow::{Context, Result};
use moondrop_local::aws::BUS;
use moondrop_local::batch_api::{Sandbox, SandboxConfig};
use moondrop_local::local_stack::{Api, LocalStack, LocalStackConfig};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::source::DropId;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running Moondrop.
pub struct Deployment {
    env: Env<LocalStack>,
}

impl Deref for Deployment {
    type Target = Env<LocalStack>;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

impl Deployment {
    /// With functions that are `binary`, and jobs and polls that take a fraction of a second.
    pub async fn start(binary: &str) -> Self {
        Self::start_with(binary, |_| {}).await
    }

    /// With other settings.
    pub async fn start_with(binary: &str, change: impl FnOnce(&mut LocalStackConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = LocalStackConfig::new(
            dir.path(),
            Api::Sandbox { job_time: Duration::from_millis(300) },
        );
        config.function_command = vec![binary.into(), "function".into()];
        config.poll_every = Duration::from_millis(50);
        change(&mut config);
        Deployment { env: Env::of_local_stack(LocalStack::start(config).await.unwrap(), dir) }
    }

    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        self.servers.sandbox.as_ref().expect("a sandbox")
    }

    /// Waits until a drop is as it should be.
    pub async fn wait_for(
        &self,
        id: &DropId,
        what: &str,
        is: impl Fn(&DropRecord) -> bool,
    ) -> DropRecord {
        let since = Instant::now();
        loop {
            if let Some(record) = self.ledger.drop_record(id).await.unwrap()
                && is(&record)
            {
                return record;
            }
            assert!(since.elapsed() < PATIENCE, "waited too long for: {what}\n{}", self.logs());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for a drop's end.
    pub async fn end_of(&self, id: &DropId) -> Ended {
        self.wait_for(id, "the drop's end", |record| record.closed_at.is_some()).await;
        self.ended(id).await
    }

    /// Drops a file and waits for its end.
    pub async fn process(&self, key: &str, body: impl Into<Vec<u8>>) -> Ended {
        let dropped = self.drop_file(key, body).await;
        self.end_of(&dropped.id).await
    }

    /// Puts an event on Moondrop's bus, as the functions do.
    pub async fn put_event(&self, kind: &str, detail: &Value) {
        let entry = json!({"EventBusName": BUS, "Source": "moondrop", "DetailType": kind, "Detail": detail.to_string()});
        let put = reqwest::Client::new()
            .post(&self.aws().endpoints().events)
            .header("x-amz-target", "AWSEvents.PutEvents")
            .header("content-type", "application/x-amz-json-1.1")
            .body(json!({"Entries": [entry]}).to_string());
        let answer = put.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Asserts that every row of the results has what the API answered for it, and no other row's
    /// labels.
    pub fn assert_answers(&self, results: &[u8]) {
        let outputs = find_all_ending(&self.dir().join("sandbox"), ".csv");
        let rows = outputs.iter().flat_map(|path| rows::read(&std::fs::read(path).unwrap()));
        let answers: BTreeMap<String, rows::Row> = rows
            .filter(|row| row.contains_key("labels"))
            .map(|row| (row["content"].clone(), row))
            .collect();
        let mut compared = 0;
        for row in rows::read(results).iter().filter(|row| !row["error"].starts_with("rejected: "))
        {
            let answer = &answers[&row["content"]];
            assert_eq!(
                (&row["labels"], &row["error"]),
                (&answer["labels"], &answer["error"]),
                "{row:?}"
            );
            compared += 1;
        }
        assert!(compared > 0, "there are answers to compare");
    }

    /// The jobs that ever received rows, by name: each part's name must be here once.
    #[must_use]
    pub fn jobs_with_rows(&self) -> Vec<String> {
        names_with_rows(self.sandbox())
    }

    /// What the functions have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let logs = ["submit", "poll", "collect"]
            .map(|name| self.dir().join("logs").join(format!("{name}.log")));
        logs.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    /// Ends it all.
    pub async fn stop(self) {
        self.env.servers.stop().await;
    }
}

fn names_with_rows(sandbox: &Sandbox) -> Vec<String> {
    let jobs = sandbox.jobs().into_iter().filter(|job| job.uploads > 0);
    let mut names: Vec<String> = jobs.map(|job| job.name).collect();
    names.sort();
    names
}

/// Runs the command `binary` to its end; gives its exit code and what it printed on standard output
/// and standard error.
///
/// # Errors
/// If it cannot be started.
pub fn command(binary: &str, dir: &Path, args: &[&str]) -> Result<(i32, String, String)> {
    let done = std::process::Command::new(binary)
        .args(args)
        .current_dir(dir)
        .output()
        .context("start the command")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr)))
}

/// How many jobs received each part's rows, by the jobs' name: the sandbox of a state folder whose
/// run has ended is asked.
pub async fn jobs_with_rows(state: &Path) -> BTreeMap<String, u32> {
    let sandbox = SandboxConfig::new(state.join("sandbox"), SecretString::from("sandbox-key"));
    let sandbox = Sandbox::start(sandbox).await.unwrap();
    let mut jobs = BTreeMap::new();
    for name in names_with_rows(&sandbox) {
        *jobs.entry(name).or_default() += 1;
    }
    sandbox.stop().await;
    jobs
}
