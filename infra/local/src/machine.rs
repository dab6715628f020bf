//! The stack and the Batch API it works with, started together.

use crate::cli::Usage;
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::stack::{self, Redelivery, Stack, StackConfig};
use anyhow::{Context, Result, bail};
use moondrop_shared::results::Reading;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::services::settings::Settings;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// The policy of the sandbox, where none is named.
pub const SANDBOX_POLICY: &str = "sandbox";

/// Which Batch API the jobs go to.
#[derive(Debug, Clone)]
pub enum Api {
    /// The embedded one, whose evaluation is a stand-in by word lists.
    Sandbox {
        /// How long it takes over a job.
        job_time: Duration,
    },
    /// A real one.
    Remote {
        /// Its address.
        url: Url,
        /// Its key.
        key: SecretString,
        /// The hosts its signed addresses may point to.
        hosts: String,
    },
}

/// What a machine is told when it starts.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// Where everything is kept.
    pub state: PathBuf,
    /// Which Batch API the jobs go to.
    pub api: Api,
    /// The policy that was named.
    pub policy: Option<String>,
    /// Rows a job.
    pub rows_per_job: u64,
    /// Whether bad rows hold back their file.
    pub reject_file: bool,
    /// How often jobs are asked after.
    pub poll_every: Duration,
    /// When the queue brings back what submit could not do, and when it gives up.
    pub redelivery: Redelivery,
    /// Program and leading arguments of a function's process.
    pub function_command: Vec<OsString>,
    /// More settings of the functions, or others in place of the machine's.
    pub settings: BTreeMap<String, String>,
}

impl MachineConfig {
    /// A machine with the defaults for the rest; its functions' processes are this program again.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, api: Api) -> Self {
        let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("moondrop"));
        MachineConfig {
            state: state.into(),
            api,
            policy: None,
            rows_per_job: 25_000,
            reject_file: false,
            poll_every: Duration::from_millis(500),
            redelivery: Redelivery { max_delay: Duration::from_secs(10), max_receives: 1000, ..Redelivery::default() },
            function_command: vec![this.into(), "function".into()],
            settings: BTreeMap::new(),
        }
    }
}

/// A running machine. It ends, with all its processes, when it is stopped or dropped.
pub struct Machine {
    /// AWS, and the functions.
    pub stack: Stack,
    /// The embedded Batch API, if it is the one in use.
    pub sandbox: Option<Sandbox>,
    /// The functions' ledger.
    pub ledger: Ledger,
    /// How they read the API's results.
    pub reading: Reading,
    secret: String,
    /// Locked for as long as the machine is there; the kernel unlocks it however we end.
    _lock: File,
}

impl Machine {
    /// Starts everything.
    ///
    /// # Errors
    /// If the folder cannot be used, or is in use by another machine.
    pub async fn start(config: MachineConfig) -> Result<Self> {
        std::fs::create_dir_all(&config.state).with_context(|| format!("create the folder {}", config.state.display()))?;
        let lock = File::create(config.state.join("machine.lock")).context("create the lock file")?;
        // Before anything in there is touched.
        if lock.try_lock().is_err() {
            bail!("another moondrop is using {}", config.state.display());
        }
        belongs_to(&config.state, &config.api)?;
        // A name that cannot be guessed: whoever knows it can ask the local Secrets Manager for the key.
        let secret = format!("moondrop/api-key-{:032x}", fastrand::u128(..));
        let mut settings = BTreeMap::from([
            ("STACK".to_owned(), stack_name(&config.state)?),
            ("RESULTS_BUCKET".to_owned(), stack::RESULTS.to_owned()),
            ("TABLE".to_owned(), stack::TABLE.to_owned()),
            ("EVENT_BUS".to_owned(), stack::BUS.to_owned()),
            ("API_KEY_SECRET".to_owned(), secret.clone()),
            ("ROWS_PER_JOB".to_owned(), config.rows_per_job.to_string()),
            ("ON_BAD_ROWS".to_owned(), if config.reject_file { "reject_file" } else { "submit_valid" }.to_owned()),
            // No one collects them here, and poll ticks twice a second.
            ("METRICS".to_owned(), "off".to_owned()),
            // Minutes on AWS; here everything is a thousand times as near.
            ("REMIND_AFTER_SECONDS".to_owned(), "10".to_owned()),
            ("STALLED_AFTER_SECONDS".to_owned(), "20".to_owned()),
            ("POLL_EVERY".to_owned(), format!("{} seconds", config.poll_every.as_secs().max(1))),
        ]);
        let mut policy = config.policy.clone();
        let (sandbox, url, key) = match config.api {
            Api::Sandbox { job_time } => {
                policy.get_or_insert_with(|| SANDBOX_POLICY.to_owned());
                // What is answered twice by an API on this machine need not be minutes apart.
                settings.insert("RETRY_AFTER_SECONDS".to_owned(), "1".to_owned());
                settings.insert("CONFIRM_AFTER_SECONDS".to_owned(), "1".to_owned());
                let key = SecretString::from("sandbox-key");
                let mut sandbox = SandboxConfig::new(config.state.join("sandbox"), key.clone());
                sandbox.job_time = job_time;
                sandbox.port = last_port(&config.state);
                let sandbox = Sandbox::start(sandbox).await.context("start the sandbox")?;
                write_whole(&config.state.join("sandbox.port"), &sandbox.port().to_string())?;
                let url = sandbox.url();
                (Some(sandbox), url, key)
            }
            Api::Remote { url, key, hosts } => {
                settings.insert("SIGNED_URL_HOSTS".to_owned(), hosts);
                // And the settings by which held results are let go.
                let reading = ["RESULTS_UNREADABLE", "BLANK_LABELS", "RESULTS_CONTENT_CHECK"];
                for name in ["HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().chain(reading) {
                    settings.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
                }
                (None, url.to_string(), key)
            }
        };
        settings.insert("API_URL".to_owned(), url);
        settings.extend(policy.map(|policy| ("DEFAULT_POLICY".to_owned(), policy)));
        settings.extend(config.settings);
        // Read here as well: a wrong one is told before anything starts.
        let reading = Settings::read(|name| settings.get(name).cloned()).map_err(|error| Usage(error.to_string()))?.reading;
        let mut stack = StackConfig::new(&config.state, config.function_command);
        stack.environment = settings;
        stack.secrets = BTreeMap::from([(secret.clone(), key)]);
        stack.poll_every = config.poll_every;
        // A day, against the 15 minutes of AWS Lambda: a debug build checking a large file is slow.
        stack.function_timeout = Duration::from_secs(86_400);
        stack.redelivery = config.redelivery;
        let stack = Stack::start(stack).await?;
        let ledger = Ledger::new(stack.dynamodb(), stack::TABLE.to_owned());
        Ok(Machine { stack, sandbox, ledger, reading, secret, _lock: lock })
    }

    /// The functions' key of the Batch API gets a new value, as a rotation does.
    pub fn rotate_key(&self, key: SecretString) {
        self.stack.set_secret(self.secret.clone(), key);
    }

    /// Ends everything, and waits for the end.
    pub async fn stop(self) {
        self.stack.stop().await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// Notes which API the folder's jobs are with, or makes sure that it is this one: another would not know them, and the
/// sandbox's labels must not pass for a real API's.
fn belongs_to(state: &Path, api: &Api) -> Result<()> {
    let now = match api {
        Api::Sandbox { .. } => "the sandbox".to_owned(),
        Api::Remote { url, .. } => url.origin().ascii_serialization(),
    };
    let path = state.join("api");
    match std::fs::read_to_string(&path) {
        Ok(before) if before == now => Ok(()),
        Ok(before) => {
            let state = state.display();
            Err(Usage(format!("{state} holds the work of {before}, and this is {now}: use another folder with --state")).into())
        }
        Err(_) => write_whole(&path, &now),
    }
}

fn write_whole(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    written.with_context(|| format!("write {}", path.display()))
}

/// A name of this folder's own: on a real API account, two of them must not sweep each other's jobs.
fn stack_name(state: &Path) -> Result<String> {
    let path = state.join("stack-name");
    if let Ok(name) = std::fs::read_to_string(&path) {
        return Ok(name);
    }
    let name = format!("local-{:08x}", fastrand::u32(..));
    write_whole(&path, &name)?;
    Ok(name)
}

/// The port the sandbox had: recorded upload addresses point to it.
fn last_port(state: &Path) -> u16 {
    std::fs::read_to_string(state.join("sandbox.port")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
