//! `moondrop probe`: sends ten rows to a Batch API, follows them, and says which of Moondrop's
//! assumptions the API meets. The first thing to do with a real key.
//!
//! ```text
//! mod ─▶ jobs (create, unknown ids), cancel ─┐
//!  ├───▶ upload ─▶ follow ─▶ results, labels ─┼▶ findings ─▶ assumptions (the table)
//!  └───▶ print                                └▶ api (raw calls), rows, state
//! ```

mod answer;
mod api;
mod assumptions;
mod cancel;
mod findings;
mod follow;
mod jobs;
mod labels;
mod print;
mod results;
mod rows;
mod state;
mod upload;
mod words;

use super::options::ProbeArgs;
use crate::batch_api::{Sandbox, SandboxConfig};
use crate::exit::{EXIT_NOT_MET, EXIT_OK, EXIT_OTHER, UsageError};
use crate::folder_lock::FolderLock;
use crate::local_stack::{Api as ApiChoice, SANDBOX_POLICY};
use anyhow::{Context, Result};
use api::Api;
use findings::Verdict;
use moondrop_shared::services::batch_api::http::HttpClients;
use moondrop_shared::services::batch_api::transfer::Transfer;
use moondrop_shared::services::settings::Settings;
use secrecy::SecretString;
use state::{State, StateFile};
use std::time::Duration;
use url::Url;

/// A probe under way.
struct Probe {
    api: Api,
    transfer: Transfer,
    state: State,
    file: StateFile,
    poll_every: Duration,
    starts_within: Duration,
    cancelled_within: Duration,
}

/// Probes the API, and gives the exit code.
pub(super) async fn probe(args: ProbeArgs) -> Result<u8> {
    let choice = args.api.api()?;
    let _lock = FolderLock::take(&args.state)?;
    let file = StateFile::of(&args.state);
    let mut state = begin(&args, &choice, &file)?;
    if state.done {
        eprintln!("moondrop: probed before; --again sends the rows again");
        return report(&state, args.json);
    }
    let server = Server::start(&args, &choice, &mut state).await?;
    let mut probe = Probe {
        api: Api::new(server.url.clone(), server.key)?,
        transfer: transfer(&server.url, &server.hosts)?,
        state,
        file,
        poll_every: args.api.poll_every(),
        starts_within: args.starts_within,
        cancelled_within: args.cancelled_within,
    };
    probe.save()?;
    let ended = tokio::select! {
        ran = Box::pin(probe.run()) => ran.map(|()| false),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for Ctrl-C").map(|()| true),
    };
    if let Some(sandbox) = server.sandbox {
        sandbox.stop().await;
    }
    // What was found counts, however the probe ended: an error comes after it.
    let saved = probe.save();
    let code = report(&probe.state, args.json)?;
    let interrupted = ended?;
    saved?;
    Ok(if interrupted { EXIT_OTHER } else { code })
}

/// The state that an earlier run of this command left, or a new one.
fn begin(args: &ProbeArgs, choice: &ApiChoice, file: &StateFile) -> Result<State> {
    let api = match choice {
        ApiChoice::Sandbox { .. } => "the sandbox".to_owned(),
        ApiChoice::Remote { url, .. } => url.origin().ascii_serialization(),
    };
    let policy = args.api.policy.as_deref().unwrap_or(SANDBOX_POLICY);
    if args.again {
        return Ok(State::new(&api, policy));
    }
    let Some(state) = file.load()? else { return Ok(State::new(&api, policy)) };
    if state.api == api && state.policy == policy {
        return Ok(state);
    }
    let folder = args.state.display();
    let problem = format!(
        "{folder} holds the probe of {} by another API or policy: use another folder with --state, or start over with --again",
        state.api
    );
    Err(UsageError(problem).into())
}

/// Prints the findings, and gives the exit code.
fn report(state: &State, json: bool) -> Result<u8> {
    print::print(state, json)?;
    Ok(if state.findings.count(Verdict::NotMet) > 0 { EXIT_NOT_MET } else { EXIT_OK })
}

/// The API that is probed.
struct Server {
    sandbox: Option<Sandbox>,
    url: Url,
    key: SecretString,
    hosts: String,
}

impl Server {
    /// Starts the sandbox, unless the command line names another API.
    async fn start(args: &ProbeArgs, choice: &ApiChoice, state: &mut State) -> Result<Self> {
        let job_time = match choice {
            ApiChoice::Sandbox { job_time } => *job_time,
            ApiChoice::Remote { url, key, hosts } => {
                let (url, key, hosts) = (url.clone(), key.clone(), hosts.clone());
                return Ok(Server { sandbox: None, url, key, hosts });
            }
        };
        let key = SecretString::from("sandbox-key");
        let mut config = SandboxConfig::new(args.state.join("sandbox"), key.clone());
        config.job_time = job_time;
        config.quirk = args.misbehave;
        // The URLs of an earlier run point to its port.
        config.port = state.sandbox_port;
        let sandbox = Sandbox::start(config).await.context("start the sandbox")?;
        state.sandbox_port = sandbox.port();
        let url = Url::parse(&sandbox.url()).context("the sandbox's URL")?;
        Ok(Server { sandbox: Some(sandbox), url, key, hosts: String::new() })
    }
}

/// Transfers that contact the hosts that Moondrop would.
fn transfer(url: &Url, hosts: &str) -> Result<Transfer> {
    let settings = Settings::read(|name| match name {
        "API_URL" => Some(url.to_string()),
        "SIGNED_URL_HOSTS" => Some(hosts.to_owned()),
        // Needed, and not used by transfers.
        "STACK" | "RESULTS_BUCKET" | "TABLE" | "EVENT_BUS" | "API_KEY_SECRET" => {
            Some("probe".to_owned())
        }
        _ => None,
    });
    let settings = settings.map_err(|error| UsageError(error.to_string()))?;
    Ok(Transfer::new(&settings, HttpClients::new()?))
}

impl Probe {
    /// Does what is left to do. Each step is done once, also over several runs.
    async fn run(&mut self) -> Result<()> {
        self.create_job().await?;
        self.look_up().await?;
        self.cancel_a_job().await?;
        self.ask_for_an_unknown_job().await?;
        if self
            .state
            .job
            .as_ref()
            .is_none_or(|job| job.upload_url.is_none() && job.uploaded_at.is_none())
        {
            self.state.done = true;
            return self.save();
        }
        if !self.upload().await? {
            return Ok(());
        }
        match self.follow().await? {
            Some(completed) => self.read_results(completed).await,
            None => Ok(()),
        }
    }

    fn save(&self) -> Result<()> {
        self.file.save(&self.state)
    }

    fn say(&self, what: &str) {
        eprintln!("moondrop: {what}");
    }
}
