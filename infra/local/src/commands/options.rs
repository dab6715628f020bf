//! The options of the commands, and what is wrong with them.

use super::mapping::MappingOptions;
use crate::batch_api::Quirk;
use crate::exit::UsageError;
use crate::local_stack::{Api, LocalStackConfig};
use anyhow::Result;
use clap::{Args, ValueEnum};
use moondrop_shared::object_key::{cancel_request, cancelled_drop};
use moondrop_shared::services::settings::{DEFAULT_SIGNED_URL_HOSTS, is_loopback};
use moondrop_shared::source::DropId;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The CSV files, with the columns ref_id, type and content, or those that --map names.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Where the results go, in the layout of the results bucket.
    #[arg(long, value_name = "DIR", default_value = "moondrop-results")]
    pub(super) out: PathBuf,
    /// Where the ledger and the buckets are kept.
    #[arg(long, value_name = "DIR", default_value = ".moondrop")]
    pub(super) state: PathBuf,
    /// Evaluate a file again that has been finished before.
    #[arg(long)]
    pub(super) again: bool,
    #[command(flatten)]
    pub(super) stack: StackOptions,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The CSV files, with the columns ref_id, type and content, or those that --map names.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// How many rows may be evaluated per day: says how many days the files take.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) daily_limit: Option<u64>,
    /// Print what was found as JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) rules: FileRules,
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// Where everything is kept: the ledger, the buckets, inbox/ for files to moderate and outbox/
    /// for their results.
    #[arg(long, value_name = "DIR", default_value = ".moondrop")]
    pub(super) dir: PathBuf,
    /// How long a file of the inbox must not have changed to be taken.
    #[arg(long, hide = true, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) quiet_for: Duration,
    #[command(flatten)]
    pub(super) stack: StackOptions,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The drop's id, 32 digits: `drop` in its status.json and in the events.
    #[arg(value_name = "DROP", value_parser = drop_id)]
    pub(super) drop: DropId,
    /// Where the results go, in the layout of the results bucket.
    #[arg(long, value_name = "DIR", default_value = "moondrop-results")]
    pub(super) out: PathBuf,
    /// Where the ledger and the buckets are kept.
    #[arg(long, value_name = "DIR", default_value = ".moondrop")]
    pub(super) state: PathBuf,
    #[command(flatten)]
    pub(super) stack: StackOptions,
}

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// The port on 127.0.0.1; any that is free if 0. One that is taken is an error: pre-signed URLs
    /// handed out before point to it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) port: u16,
    /// Where its jobs are kept.
    #[arg(long, value_name = "DIR", default_value = ".moondrop-sandbox")]
    pub(super) dir: PathBuf,
    /// How long it takes over a job.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(super) job_time: Duration,
    /// The environment variable that holds the API key it accepts.
    #[arg(long, value_name = "NAME")]
    pub(super) api_key_env: String,
    /// How it misbehaves, for tests of its clients.
    #[arg(long, value_name = "QUIRK", hide = true)]
    pub(super) misbehave: Option<Quirk>,
}

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Where it keeps what it has done and learnt.
    #[arg(long, value_name = "DIR", default_value = ".moondrop-probe")]
    pub(super) state: PathBuf,
    /// Start over, with new jobs; the rows are evaluated again.
    #[arg(long)]
    pub(super) again: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// How long after its upload a job may still be reported as INITIALIZED. Moondrop reports a job
    /// that takes longer as not started.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub(super) starts_within: Duration,
    /// How long a cancelled job may be reported in another state. Moondrop waits so long before it
    /// gives the rows another job.
    #[arg(long, hide = true, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub(super) cancelled_within: Duration,
    #[command(flatten)]
    pub(super) api: ApiOptions,
    /// How the sandbox misbehaves, for tests.
    #[arg(long, value_name = "QUIRK", hide = true, conflicts_with = "api_url")]
    pub(super) misbehave: Option<Quirk>,
}

#[derive(Debug, Args)]
pub(super) struct StackOptions {
    #[command(flatten)]
    rules: FileRules,
    /// Which files of results a drop gets: `csv-safe` adds results.safe.csv, for spreadsheets.
    #[arg(long, value_name = "FORMATS", default_value = "csv", value_parser = ["csv", "csv,csv-safe"])]
    results_formats: String,
    #[command(flatten)]
    api: ApiOptions,
}

/// What decides how a file is checked and planned.
#[derive(Debug, Clone, Args)]
pub(super) struct FileRules {
    /// Rows per job.
    #[arg(long, value_name = "N", default_value_t = 25_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(super) rows_per_job: u64,
    /// What to do with a file that has invalid rows.
    #[arg(long, value_name = "WHAT", default_value = "submit-valid")]
    pub(super) on_bad_rows: OnBadRows,
    #[command(flatten)]
    pub(super) mapping: MappingOptions,
}

/// Which API the jobs go to, and how.
#[derive(Debug, Args)]
pub(super) struct ApiOptions {
    /// The policy to evaluate by; needed with --api-url.
    #[arg(long, value_name = "ID", value_parser = policy)]
    pub(super) policy: Option<String>,
    /// How long the sandbox takes over a job.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    job_time: Duration,
    /// How often the API is asked for jobs [default: 500ms; 30s with --api-url].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    poll_every: Option<Duration>,
    /// The URL of the real Batch API, or of another server of its kind, in place of the sandbox.
    #[arg(long, value_name = "URL", requires = "api_key_env", value_parser = api_url)]
    api_url: Option<Url>,
    /// The environment variable that holds the API key.
    #[arg(long, value_name = "NAME", requires = "api_url")]
    api_key_env: Option<String>,
    /// The hosts, with their subdomains, that the API's pre-signed URLs may point to.
    #[arg(long, value_name = "HOSTS", default_value = DEFAULT_SIGNED_URL_HOSTS)]
    signed_url_hosts: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OnBadRows {
    /// Evaluate the others; the results contain the invalid ones with their error.
    SubmitValid,
    /// Evaluate none, and list the invalid ones.
    RejectFile,
}

impl OnBadRows {
    pub(super) fn rejects_file(self) -> bool {
        matches!(self, OnBadRows::RejectFile)
    }

    /// The option's value.
    pub(super) fn as_str(self) -> &'static str {
        if self.rejects_file() { "reject-file" } else { "submit-valid" }
    }
}

/// A drop's whole id.
fn drop_id(text: &str) -> Result<DropId, String> {
    let key = cancel_request(&DropId::from(text));
    cancelled_drop(&key).ok_or_else(|| "a drop's id has 32 digits, 0 to 9 and a to f".to_owned())
}

/// The API key in this environment variable.
pub(super) fn key_in(name: &str) -> Result<SecretString> {
    let key =
        std::env::var(name).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    let key =
        key.ok_or_else(|| UsageError(format!("the environment variable {name} holds no API key")))?;
    Ok(SecretString::from(key))
}

impl StackOptions {
    /// A local stack with these options, which keeps its data in `state`.
    pub(super) fn config(&self, state: PathBuf) -> Result<LocalStackConfig> {
        Ok(LocalStackConfig {
            policy: self.api.policy.clone(),
            rows_per_job: self.rules.rows_per_job,
            reject_file: self.rules.on_bad_rows.rejects_file(),
            poll_every: self.api.poll_every(),
            settings: [("RESULTS_FORMATS".to_owned(), self.results_formats.clone())].into(),
            mapping: self.rules.mapping.mapping()?,
            ..LocalStackConfig::new(state, self.api.api()?)
        })
    }
}

impl ApiOptions {
    /// The API that the options name, or the sandbox.
    pub(super) fn api(&self) -> Result<Api> {
        let (Some(url), Some(name)) = (&self.api_url, &self.api_key_env) else {
            return Ok(Api::Sandbox { job_time: self.job_time });
        };
        if self.policy.is_none() {
            let problem = "--api-url needs --policy, the id of the policy to evaluate by";
            return Err(UsageError(problem.to_owned()).into());
        }
        let hosts = self.signed_url_hosts.clone();
        Ok(Api::Remote { url: url.clone(), key: key_in(name)?, hosts })
    }

    pub(super) fn poll_every(&self) -> Duration {
        let default = if self.api_url.is_some() {
            Duration::from_secs(30)
        } else {
            Duration::from_millis(500)
        };
        self.poll_every.unwrap_or(default)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| "write a time such as 2s, 500ms or 1m".to_owned())?;
    let time = Duration::try_from(span).map_err(|_| "a time cannot be negative".to_owned())?;
    if time.is_zero() { Err("a time cannot be zero".to_owned()) } else { Ok(time) }
}

fn policy(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && !text.contains('/')
        && text.trim() == text
        && text != "."
        && text != "..";
    fits.then(|| text.to_owned())
        .ok_or_else(|| "a policy's id has up to 64 bytes and no slash".to_owned())
}

fn api_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "it is not a URL".to_owned())?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("it must begin with https://, except for a URL on this machine".to_owned()),
    }
}
