//! The local stack, as the commands use it: the emulated AWS with the functions, and the Batch API
//! they work with.

use crate::aws;
use crate::aws::{AwsConfig, AwsEmulator, Endpoints, Redelivery};
use crate::batch_api::{Sandbox, SandboxConfig};
use crate::exit::UsageError;
use crate::files::write_whole;
use crate::folder_lock::FolderLock;
use anyhow::{Context, Result};
use moondrop_shared::csv::mapping::Mapping;
use moondrop_shared::results::Reading;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::services::settings::Settings;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// The policy of the sandbox, where none is named.
pub const SANDBOX_POLICY: &str = "sandbox";

/// Of the environment, what the functions get for a real API: the way out of this machine, and the
/// settings by which held results are let go.
const PASSED_ON: [&str; 7] = [
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RESULTS_UNREADABLE",
    "BLANK_LABELS",
    "RESULTS_CONTENT_CHECK",
];

/// Which Batch API the jobs go to.
#[derive(Debug, Clone)]
pub enum Api {
    /// The embedded one, whose evaluation is simulated by word lists.
    Sandbox {
        /// How long it takes over a job.
        job_time: Duration,
    },
    Remote {
        url: Url,
        key: SecretString,
        /// The hosts its pre-signed URLs may point to.
        hosts: String,
    },
}

/// How a local stack is started.
#[derive(Debug, Clone)]
pub struct LocalStackConfig {
    /// Where everything is kept.
    pub state: PathBuf,
    pub api: Api,
    /// The policy for drops whose key names none.
    pub policy: Option<String>,
    pub rows_per_job: u64,
    /// Whether a file with invalid rows is rejected as a whole.
    pub reject_file: bool,
    /// How the columns of the files are read, whatever their folders say.
    pub mapping: Option<Mapping>,
    /// How often the API is asked for jobs.
    pub poll_every: Duration,
    /// When the queues deliver again what a function could not do, and when they give up.
    pub redelivery: Redelivery,
    /// Program and leading arguments of a function's process.
    pub function_command: Vec<OsString>,
    /// More settings of the functions, or others in place of the stack's.
    pub settings: BTreeMap<String, String>,
}

impl LocalStackConfig {
    /// The defaults for the rest; the functions' processes are this program again.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, api: Api) -> Self {
        let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("moondrop"));
        LocalStackConfig {
            state: state.into(),
            api,
            policy: None,
            rows_per_job: 25_000,
            reject_file: false,
            mapping: None,
            poll_every: Duration::from_millis(500),
            // Given up after some three hours.
            redelivery: Redelivery { max_receives: 10_000, ..Redelivery::default() },
            function_command: vec![this.into(), "function".into()],
            settings: BTreeMap::new(),
        }
    }
}

/// A running local stack. It ends, with all its processes, when it is stopped or dropped.
pub struct LocalStack {
    pub aws: AwsEmulator,
    /// The embedded Batch API, if it is the one in use.
    pub sandbox: Option<Sandbox>,
    /// The functions' ledger.
    pub ledger: Ledger,
    /// How the functions read the API's results.
    pub reading: Reading,
    /// The mapping of the files that are uploaded, as the functions' setting has it.
    pub mapping: Option<String>,
    /// The name of the secret that holds the API's key.
    secret: String,
    /// Held until the sandbox has stopped as well: whoever uses the folder next must be alone with
    /// it.
    _lock: FolderLock,
}

impl LocalStack {
    pub async fn start(config: LocalStackConfig) -> Result<Self> {
        // Before anything in there is touched.
        let lock = FolderLock::take(&config.state)?;
        claim(&config.state, &config.api)?;
        // A name that cannot be guessed: whoever knows it can ask the local Secrets Manager for the
        // key.
        let secret = format!("moondrop/api-key-{:032x}", fastrand::u128(..));
        let mut settings = settings(&config, &secret)?;
        let api = BatchApi::start(&config).await?;
        settings.insert("API_URL".to_owned(), api.url);
        settings.extend(api.settings);
        settings.extend(config.policy.map(|policy| ("DEFAULT_POLICY".to_owned(), policy)));
        let mapping = config.mapping.map(|mapping| serde_json::to_string(&mapping)).transpose();
        let mapping = mapping.context("write the mapping")?;
        settings.extend(mapping.clone().map(|mapping| ("FILE_MAPPING".to_owned(), mapping)));
        settings.extend(config.settings);
        // Read here as well: a wrong one is reported before anything starts.
        let read = Settings::read(|name| settings.get(name).cloned());
        let reading = read.map_err(|error| UsageError(error.to_string()))?.reading;
        let mut aws = AwsConfig::new(&config.state, config.function_command);
        aws.lock = Some(lock.clone());
        aws.environment = settings;
        aws.secrets = BTreeMap::from([(secret.clone(), api.key)]);
        aws.poll_every = config.poll_every;
        // A day, against the 15 minutes of AWS Lambda: a debug build checking a large file is slow.
        aws.function_timeout = Duration::from_secs(86_400);
        aws.redelivery = config.redelivery;
        let aws = AwsEmulator::start(aws).await?;
        let endpoints = serde_json::to_string(aws.endpoints()).context("write the endpoints")?;
        write(&config.state.join(ENDPOINTS), &endpoints)?;
        let ledger = Ledger::new(aws.dynamodb(), aws::TABLE.to_owned());
        Ok(LocalStack { aws, sandbox: api.sandbox, ledger, reading, mapping, secret, _lock: lock })
    }

    /// Gives the functions' key of the Batch API a new value, as a rotation does.
    pub fn rotate_key(&self, key: SecretString) {
        self.aws.set_secret(self.secret.clone(), key);
    }

    /// Ends everything, and waits for the end.
    pub async fn stop(self) {
        self.aws.stop().await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// In the state folder: where the servers of the process that uses it are.
const ENDPOINTS: &str = "endpoints.json";

/// The endpoints of the process that uses a state folder.
///
/// # Errors
/// If the file that names them cannot be read.
pub(crate) fn endpoints_of(state: &Path) -> Result<Endpoints> {
    let path = state.join(ENDPOINTS);
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
}

/// The functions' settings, as far as they do not depend on the Batch API.
fn settings(config: &LocalStackConfig, secret: &str) -> Result<BTreeMap<String, String>> {
    let on_bad_rows = if config.reject_file { "reject_file" } else { "submit_valid" };
    let settings = [
        ("STACK", stack_name(&config.state)?),
        ("RESULTS_BUCKET", aws::RESULTS.to_owned()),
        ("TABLE", aws::TABLE.to_owned()),
        ("EVENT_BUS", aws::BUS.to_owned()),
        ("API_KEY_SECRET", secret.to_owned()),
        ("ROWS_PER_JOB", config.rows_per_job.to_string()),
        ("ON_BAD_ROWS", on_bad_rows.to_owned()),
        // No one collects them here, and poll ticks twice a second.
        ("METRICS", "off".to_owned()),
        // Minutes on AWS; here everything is a thousand times as near.
        ("REPORT_EVERY_SECONDS", "1".to_owned()),
        ("REMIND_AFTER_SECONDS", "10".to_owned()),
        ("STALLED_AFTER_SECONDS", "20".to_owned()),
        ("POLL_EVERY", format!("{} seconds", config.poll_every.as_secs().max(1))),
    ];
    Ok(settings.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The Batch API in use, and what the functions need to know about it.
struct BatchApi {
    sandbox: Option<Sandbox>,
    url: String,
    key: SecretString,
    settings: BTreeMap<String, String>,
}

impl BatchApi {
    /// Starts the sandbox, unless a real API is in use.
    async fn start(config: &LocalStackConfig) -> Result<Self> {
        match &config.api {
            Api::Sandbox { job_time } => {
                let key = SecretString::from("sandbox-key");
                let mut sandbox = SandboxConfig::new(config.state.join("sandbox"), key.clone());
                sandbox.job_time = *job_time;
                sandbox.port = last_port(&config.state);
                let sandbox = Sandbox::start(sandbox).await.context("start the sandbox")?;
                write(&config.state.join("sandbox.port"), &sandbox.port().to_string())?;
                // What an API on this machine answers twice need not be minutes apart.
                let settings = [
                    ("DEFAULT_POLICY", SANDBOX_POLICY),
                    ("RETRY_AFTER_SECONDS", "1"),
                    ("CONFIRM_AFTER_SECONDS", "1"),
                ];
                let settings =
                    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
                Ok(BatchApi { url: sandbox.url(), sandbox: Some(sandbox), key, settings })
            }
            Api::Remote { url, key, hosts } => {
                let mut settings = BTreeMap::from([("SIGNED_URL_HOSTS".to_owned(), hosts.clone())]);
                for name in PASSED_ON {
                    settings.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
                }
                Ok(BatchApi { sandbox: None, url: url.to_string(), key: key.clone(), settings })
            }
        }
    }
}

/// Notes which API the folder's jobs are with, or makes sure that it is this one: another would not
/// know them, and the sandbox's labels must not pass for a real API's.
fn claim(state: &Path, api: &Api) -> Result<()> {
    let now = match api {
        Api::Sandbox { .. } => "the sandbox".to_owned(),
        Api::Remote { url, .. } => url.origin().ascii_serialization(),
    };
    let path = state.join("api");
    match std::fs::read_to_string(&path) {
        Ok(before) if before == now => Ok(()),
        Ok(before) => {
            let state = state.display();
            let problem = format!(
                "{state} holds the work of {before}, and this is {now}: use another folder with --state"
            );
            Err(UsageError(problem).into())
        }
        Err(_) => write(&path, &now),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    write_whole(path, text).with_context(|| format!("write {}", path.display()))
}

/// A name of this folder's own: on a real API account, two of them must not sweep each other's
/// jobs.
fn stack_name(state: &Path) -> Result<String> {
    let path = state.join("stack-name");
    if let Ok(name) = std::fs::read_to_string(&path) {
        return Ok(name);
    }
    let name = format!("local-{:08x}", fastrand::u32(..));
    write(&path, &name)?;
    Ok(name)
}

/// The port the sandbox had: the upload URLs in the ledger point to it.
fn last_port(state: &Path) -> u16 {
    std::fs::read_to_string(state.join("sandbox.port"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}
