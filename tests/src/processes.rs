//! The functions as processes of their own, with the sandbox of the Batch API: what `moondrop up` runs.

use crate::env::{Ended, Env};
use anyhow::{Context, Result};
use moondrop_local::aws::AwsEmulator;
use moondrop_local::batch_api::{Sandbox, SandboxConfig};
use moondrop_local::local_stack::{Api, LocalStack, LocalStackConfig};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::source::DropId;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running Moondrop in a folder of its own.
pub struct Deployment {
    pub machine: LocalStack,
    dir: TempDir,
}

impl Env for Deployment {
    fn aws(&self) -> &AwsEmulator {
        &self.machine.aws
    }

    fn ledger(&self) -> &Ledger {
        &self.machine.ledger
    }
}

impl Deployment {
    /// Starts a Moondrop whose functions are `binary`, in a hurry.
    pub async fn start(binary: &str) -> Deployment {
        Self::start_with(binary, |_| {}).await
    }

    /// Starts a Moondrop with other settings.
    pub async fn start_with(binary: &str, change: impl FnOnce(&mut LocalStackConfig)) -> Deployment {
        let dir = TempDir::new().unwrap();
        let mut config = LocalStackConfig::new(dir.path(), Api::Sandbox { job_time: Duration::from_millis(300) });
        config.function_command = vec![binary.into(), "function".into()];
        config.poll_every = Duration::from_millis(50);
        change(&mut config);
        Deployment { machine: LocalStack::start(config).await.unwrap(), dir }
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until a drop is as it should be.
    pub async fn wait_for(&self, id: &DropId, what: &str, is: impl Fn(&DropRecord) -> bool) -> DropRecord {
        let since = Instant::now();
        loop {
            if let Some(meta) = self.ledger().drop_record(id).await.unwrap()
                && is(&meta)
            {
                return meta;
            }
            assert!(since.elapsed() < PATIENCE, "waited too long for: {what}\n{}", self.logs());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for a drop's end.
    pub async fn end_of(&self, id: &DropId) -> Ended {
        self.wait_for(id, "the drop's end", |drop| drop.closed_at.is_some()).await;
        self.ended(id).await
    }

    /// Drops a file and waits for its end.
    pub async fn process(&self, key: &str, body: impl Into<Vec<u8>>) -> Ended {
        let dropped = self.drop_file(key, body).await;
        self.end_of(&dropped.id).await
    }

    /// Asserts that every row of the results carries what the API answered for it, and no other row's labels.
    pub fn assert_answers(&self, results: &[u8]) {
        let outputs = find_all_ending(&self.dir().join("sandbox"), ".csv");
        let rows = outputs.iter().flat_map(|path| crate::rows::read(&std::fs::read(path).unwrap()));
        let answers: BTreeMap<String, crate::rows::Row> =
            rows.filter(|row| row.contains_key("labels")).map(|row| (row["content"].clone(), row)).collect();
        let mut compared = 0;
        for row in crate::rows::read(results).iter().filter(|row| !row["error"].starts_with("rejected: ")) {
            let answer = &answers[&row["content"]];
            assert_eq!((&row["labels"], &row["error"]), (&answer["labels"], &answer["error"]), "{row:?}");
            compared += 1;
        }
        assert!(compared > 0, "there are answers to compare");
    }

    /// The jobs that ever received rows, by name: each part's name must stand here once.
    #[must_use]
    pub fn fed_jobs(&self) -> Vec<String> {
        let jobs = self.machine.sandbox.as_ref().expect("a sandbox").jobs();
        let mut fed: Vec<String> = jobs.into_iter().filter(|job| job.uploads > 0).map(|job| job.name).collect();
        fed.sort();
        fed
    }

    /// What the functions have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let logs = ["submit", "poll", "collect"].map(|name| self.dir().join("logs").join(format!("{name}.log")));
        logs.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    /// Puts an event on Moondrop's bus, as the functions do.
    pub async fn put_event(&self, kind: &str, detail: &serde_json::Value) {
        let entry = serde_json::json!({"EventBusName": "moondrop", "Source": "moondrop", "DetailType": kind,
            "Detail": detail.to_string()});
        let put = reqwest::Client::new()
            .post(&self.machine.aws.endpoints().events)
            .header("x-amz-target", "AWSEvents.PutEvents")
            .header("content-type", "application/x-amz-json-1.1")
            .body(serde_json::json!({"Entries": [entry]}).to_string());
        let answer = put.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Ends it all.
    pub async fn stop(self) {
        self.machine.stop().await;
    }
}

/// Runs the command `binary` to its end; gives its exit code and what it printed on standard output and standard error.
///
/// # Errors
/// If it cannot be started.
pub fn command(binary: &str, dir: &Path, args: &[&str]) -> Result<(i32, String, String)> {
    let done = std::process::Command::new(binary).args(args).current_dir(dir).output().context("start the command")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr)))
}

/// How often each part was fed, by its jobs' name: the sandbox of a state folder whose run has ended is asked.
pub async fn fed_jobs(state: &Path) -> BTreeMap<String, u32> {
    let sandbox = SandboxConfig::new(state.join("sandbox"), SecretString::from("sandbox-key"));
    let sandbox = Sandbox::start(sandbox).await.unwrap();
    let mut fed = BTreeMap::new();
    for job in sandbox.jobs().into_iter().filter(|job| job.uploads > 0) {
        *fed.entry(job.name).or_default() += 1;
    }
    sandbox.stop().await;
    fed
}

/// The only file of this name below a folder; fails the test if there is none, or more than one.
#[must_use]
pub fn find_one(dir: &Path, name: &str) -> Vec<u8> {
    let found = find_all(dir, name);
    assert_eq!(found.len(), 1, "files named {name}: {found:?}");
    std::fs::read(&found[0]).unwrap()
}

/// Every file of this name below a folder, in order.
#[must_use]
pub fn find_all(dir: &Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut found = find_all_ending(dir, name);
    found.retain(|path| path.file_name().is_some_and(|n| n == name));
    found
}

/// Every file below a folder whose name ends so, in order.
#[must_use]
pub fn find_all_ending(dir: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
