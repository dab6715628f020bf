//! The check of a file that is as far away as S3: the servers, and the slow way to them, are in
//! another process.

use crate::measure::{Clock, Measured};
use anyhow::{Context, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use moondrop_local::aws::Endpoints;
use moondrop_shared::check::{Checked, Checker, Step};
use moondrop_shared::plan::PartLimits;
use moondrop_shared::services::s3::drops_bucket::DropsBucket;
use moondrop_shared::source::{Source, unquoted};
use moondrop_tests::env::clients;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Not below `incoming/`: it is no drop.
const KEY: &str = "bench.csv";

/// Checks a file over so many connections, as submit does.
pub(crate) async fn fetch(path: &Path, at_once: usize) -> Result<Measured> {
    let (servers, found) = start_servers().await?;
    let place = |name: &str| found[name].as_str().map(str::to_owned).context("no such server");
    let endpoints = |s3: String| Endpoints {
        dynamodb: s3.clone(),
        events: s3.clone(),
        secrets_manager: s3.clone(),
        s3,
    };
    let http = aws_smithy_http_client::Builder::new().build_http();
    let bucket = place("bucket")?;
    let near = clients(&endpoints(place("s3")?), &http).s3;
    let body = ByteStream::from_path(path).await?;
    let put = near.put_object().bucket(&bucket).key(KEY).body(body).send().await?;
    let source = Source {
        bucket,
        key: KEY.to_owned(),
        version_id: None,
        etag: put.e_tag().map(unquoted).context("S3 returned no ETag")?.to_owned(),
        sequencer: None,
        size: std::fs::metadata(path)?.len(),
    };
    let far = DropsBucket::new(clients(&endpoints(place("far_s3")?), &http).s3);
    let clock = Clock::start()?;
    let checked = check(&far, &source, at_once).await?;
    let measured = clock.stop(source.size, checked.rows);
    drop(servers);
    measured
}

async fn check(bucket: &DropsBucket, source: &Source, at_once: usize) -> Result<Checked> {
    let mut checker = Checker::new(PartLimits::default());
    loop {
        let mut reader = bucket.read_ahead(source, 0..source.size, at_once);
        while let Some(bytes) = reader.next().await? {
            checker.push(&bytes)?;
        }
        match checker.finish()?.1 {
            Step::Done(checked) => return Ok(checked),
            Step::ReadAgain(second) => checker = *second,
        }
    }
}

/// This program's servers; they end with their standard input.
async fn start_servers() -> Result<(Child, Value)> {
    let program = std::env::current_exe().context("find this program")?;
    let mut servers = Command::new(program)
        .arg("servers")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the servers")?;
    let output = servers.stdout.take().context("the servers have an output")?;
    let line = BufReader::new(output).lines().next_line().await?;
    ensure!(line.is_some(), "the servers did not start");
    Ok((servers, serde_json::from_str(&line.unwrap_or_default())?))
}
