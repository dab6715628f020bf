//! A whole drop on the local stack, as `moondrop run` does it; and the same servers alone, for a
//! reference to use.

use crate::measure::{Measured, Usage};
use anyhow::{Context, Result, bail, ensure};
use moondrop_local::aws::{DROPS, Function};
use moondrop_local::export::export;
use moondrop_local::local_stack::{Api, LocalStack, LocalStackConfig};
use moondrop_local::upload::{key_for, upload};
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::source::DropId;
use moondrop_tests::slow_proxy::{SlowProxy, Slowness};
use serde_json::json;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What S3 gives a connection, as far as is known: "Performance guidelines" of the Amazon S3 User
/// Guide name 85 to 90 MB per second, and 100 to 200 milliseconds at most for the first byte.
const AS_S3: Slowness =
    Slowness { rate: 90_000_000, first_byte: Duration::from_millis(25), breaks_after: None };

/// How often the drop is read.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// As long as `moondrop run` has the sandbox take, if nothing else is said.
const JOB_TIME: Duration = Duration::from_secs(2);

/// Uploads the file, and waits until its results are in a folder. The CPU is that of the functions'
/// processes, and the memory the sum of their peaks: neither counts the servers.
pub(crate) async fn drop_file(path: &Path, rows_per_job: Option<u64>) -> Result<Measured> {
    let bytes = std::fs::metadata(path).with_context(|| format!("{}", path.display()))?.len();
    let dir = TempDir::new().context("make a folder")?;
    let api = Api::Sandbox { job_time: JOB_TIME };
    let mut config = LocalStackConfig::new(dir.path().join("state"), api);
    config.rows_per_job = rows_per_job.unwrap_or(config.rows_per_job);
    let local = LocalStack::start(config).await?;
    let began = Instant::now();
    let uploaded = upload(&local, path, &key_for(path, None)?, false).await?;
    let record = end_of(&local, uploaded.id()).await?;
    export(&local, &record, &dir.path().join("results")).await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut usage = Usage::default();
    for id in Function::ALL.into_iter().flat_map(|function| local.aws.process_ids(function)) {
        let process = Usage::of(&id.to_string())?;
        usage.cpu_seconds += process.cpu_seconds;
        usage.peak_rss_mib += process.peak_rss_mib;
    }
    local.stop().await;
    let state = record.state;
    ensure!(
        matches!(state, DropState::Completed | DropState::CompletedWithErrors),
        "the drop ended as {state:?}"
    );
    let rows = record.plan.map_or(0, |plan| plan.rows);
    Ok(Measured { bytes, rows, seconds, usage })
}

async fn end_of(local: &LocalStack, id: &DropId) -> Result<DropRecord> {
    loop {
        if let Some(failure) = local.aws.failure() {
            bail!("a function does not run: {failure}");
        }
        if let Some(record) = local.ledger.drop_record(id).await?
            && record.closed_at.is_some()
        {
            return Ok(record);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Starts the servers, prints where they are, and ends with standard input. The functions are there
/// too, and idle: objects that are not below `incoming/` are no drops.
pub(crate) async fn serve() -> Result<()> {
    let dir = TempDir::new().context("make a folder")?;
    let mut config =
        LocalStackConfig::new(dir.path().join("state"), Api::Sandbox { job_time: JOB_TIME });
    config.poll_every = Duration::from_secs(3600);
    let local = LocalStack::start(config).await?;
    let api = local.sandbox.as_ref().context("the stack has a sandbox")?.url();
    let s3 = &local.aws.endpoints().s3;
    let far_away = SlowProxy::start(s3, AS_S3).await;
    println!(
        "{}",
        json!({"s3": s3, "far_s3": far_away.url, "bucket": DROPS, "api": api, "key": "sandbox-key"})
    );
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await?.context("wait for the end of standard input")?;
    local.stop().await;
    Ok(())
}
