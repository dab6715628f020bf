//! The command line.

use crate::machine::{Api, MachineConfig};
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::{run, up};
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use moondrop_shared::services::settings::{DEFAULT_SIGNED_URL_HOSTS, is_loopback};
use secrecy::SecretString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use url::Url;

/// Every drop completed (rows may have errors, which are told).
pub const EXIT_OK: u8 = 0;
/// Anything that is none of the others.
pub const EXIT_OTHER: u8 = 1;
/// The command line cannot be carried out.
pub const EXIT_USAGE: u8 = 2;
/// A drop was rejected or failed.
pub const EXIT_DROP: u8 = 3;

/// Content moderation of CSV files, one row out for every row in.
#[derive(Debug, Parser)]
#[command(name = "moondrop", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry files through the moderation, and leave their results in a folder.
    ///
    /// Without --api-url the evaluation is a stand-in by word lists, which needs no account. Interrupted, even killed, the
    /// same command goes on where it was. Exit codes: 0 every drop completed, 3 one was rejected or failed, 2 usage, 1
    /// anything else.
    Run(RunArgs),
    /// Keep the stack up: what is uploaded to its S3, or copied into its inbox, is moderated.
    Up(UpArgs),
    /// Serve the sandbox of the Batch API and nothing else, for functions that run elsewhere on this machine.
    ///
    /// Its labels come from word lists: a stand-in. Prints its address when it is up, and ends with Ctrl-C. Jobs are kept in the
    /// folder, also over a kill.
    Sandbox(SandboxArgs),
    /// Be one of the functions; how the stack starts its processes.
    #[command(hide = true)]
    Function { name: FunctionName },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FunctionName {
    Submit,
    Poll,
    Collect,
}

/// What to run, and how.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The CSV files, with the columns ref_id, type and content.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the results go, in the layout of the results bucket.
    #[arg(long, value_name = "DIR", default_value = "moondrop-results")]
    pub out: PathBuf,
    /// Where the ledger and the buckets are kept.
    #[arg(long, value_name = "DIR", default_value = ".moondrop")]
    pub state: PathBuf,
    /// Evaluate a file anew that has been finished before.
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    common: Common,
}

/// What to keep up, and how.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where everything is kept: the ledger, the buckets, inbox/ for files to moderate and outbox/ for their results.
    #[arg(long, value_name = "DIR", default_value = ".moondrop")]
    pub dir: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// How the sandbox is served.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The port on 127.0.0.1; any that is free if 0. One that is taken is an error: addresses handed out before point to it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Where its jobs are kept.
    #[arg(long, value_name = "DIR", default_value = ".moondrop-sandbox")]
    dir: PathBuf,
    /// How long it takes over a job.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    job_time: Duration,
    /// The environment variable that holds the API key it accepts.
    #[arg(long, value_name = "NAME")]
    api_key_env: String,
}

#[derive(Debug, Args)]
struct Common {
    /// The policy to evaluate by; needed with --api-url.
    #[arg(long, value_name = "ID", value_parser = policy)]
    policy: Option<String>,
    /// Rows a job.
    #[arg(long, value_name = "N", default_value_t = 25_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rows_per_job: u64,
    /// What to do with a file that has rows which are not fit to be evaluated.
    #[arg(long, value_name = "WHAT", default_value = "submit-valid")]
    on_bad_rows: BadRows,
    /// How long the sandbox takes over a job.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    job_time: Duration,
    /// How often jobs are asked after [default: 500ms; 30s with --api-url].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    poll_every: Option<Duration>,
    /// The address of the real Batch API, or of another server of its kind, in place of the sandbox.
    #[arg(long, value_name = "URL", requires = "api_key_env", value_parser = api_url)]
    api_url: Option<Url>,
    /// The environment variable that holds the API key.
    #[arg(long, value_name = "NAME", requires = "api_url")]
    api_key_env: Option<String>,
    /// The hosts, with their subdomains, that the API's signed addresses may point to.
    #[arg(long, value_name = "HOSTS", default_value = DEFAULT_SIGNED_URL_HOSTS)]
    signed_url_hosts: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BadRows {
    /// Evaluate the others; the bad ones stand in the results with their reason.
    SubmitValid,
    /// Evaluate none, and list the bad ones.
    RejectFile,
}

/// A command line that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Function { name } => be_function(name).map(|()| EXIT_OK),
        Command::Run(args) => with_machine(args.common.machine(args.state.clone()), |config| run::run(args, config)),
        Command::Up(args) => with_machine(args.common.machine(args.dir.clone()), |config| up::up(args, config)),
        Command::Sandbox(args) => with_runtime(serve_sandbox(args)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("moondrop: {error:#}");
            ExitCode::from(if error.is::<Usage>() { EXIT_USAGE } else { EXIT_OTHER })
        }
    }
}

fn with_machine<F: Future<Output = Result<u8>>>(
    config: Result<MachineConfig>,
    work: impl FnOnce(MachineConfig) -> F,
) -> Result<u8> {
    let config = config?;
    with_runtime(work(config))
}

fn with_runtime(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr);
    logs.with_env_filter(filter.unwrap_or_else(|_| "error".into())).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(Box::pin(work))
}

/// Runs a function in this process, as its own binary does on AWS. It ends when its standard input does: the stack holds
/// the other end, and is gone then, however it went.
fn be_function(name: FunctionName) -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink());
        std::process::exit(i32::from(EXIT_OTHER));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let ran = runtime.block_on(async {
        match name {
            FunctionName::Submit => Box::pin(moondrop_submit::run()).await,
            FunctionName::Poll => Box::pin(moondrop_poll::run()).await,
            FunctionName::Collect => Box::pin(moondrop_collect::run()).await,
        }
    });
    ran.map_err(|error| anyhow::anyhow!(error))
}

/// Serves the sandbox until Ctrl-C.
async fn serve_sandbox(args: SandboxArgs) -> Result<u8> {
    let mut config = SandboxConfig::new(&args.dir, key_in(&args.api_key_env)?);
    (config.port, config.job_time) = (args.port, args.job_time);
    let sandbox = Sandbox::start(config).await.context("start the sandbox")?;
    if args.port != 0 && sandbox.port() != args.port {
        sandbox.stop().await;
        return Err(Usage(format!("port {} is taken", args.port)).into());
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", sandbox.url()).and_then(|()| out.flush()).context("print the address")?;
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
    sandbox.stop().await;
    Ok(EXIT_OK)
}

/// The API key in this environment variable.
fn key_in(name: &str) -> Result<SecretString> {
    let key = std::env::var(name).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Usage(format!("the environment variable {name} holds no API key")))?;
    Ok(SecretString::from(key))
}

impl Common {
    fn machine(&self, state: PathBuf) -> Result<MachineConfig> {
        let api = match (&self.api_url, &self.api_key_env) {
            (Some(url), Some(name)) => {
                if self.policy.is_none() {
                    return Err(Usage("--api-url needs --policy, the id of the policy to evaluate by".to_owned()).into());
                }
                Api::Remote { url: url.clone(), key: key_in(name)?, hosts: self.signed_url_hosts.clone() }
            }
            _ => Api::Sandbox { job_time: self.job_time },
        };
        let often = if self.api_url.is_some() { Duration::from_secs(30) } else { Duration::from_millis(500) };
        Ok(MachineConfig {
            policy: self.policy.clone(),
            rows_per_job: self.rows_per_job,
            reject_file: matches!(self.on_bad_rows, BadRows::RejectFile),
            poll_every: self.poll_every.unwrap_or(often),
            ..MachineConfig::new(state, api)
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write a time such as 2s, 500ms or 1m".to_owned())?;
    let time = Duration::try_from(span).map_err(|_| "a time cannot be negative".to_owned())?;
    if time.is_zero() { Err("a time cannot be zero".to_owned()) } else { Ok(time) }
}

fn policy(text: &str) -> Result<String, String> {
    let fits =
        !text.is_empty() && text.len() <= 64 && !text.contains('/') && text.trim() == text && text != "." && text != "..";
    fits.then(|| text.to_owned()).ok_or_else(|| "a policy's id has up to 64 bytes and no slash".to_owned())
}

fn api_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "it is not an address".to_owned())?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("it must begin with https://, but for an address on this machine".to_owned()),
    }
}
