//! A Batch API on this machine, faithful to the Batch API's documentation: jobs, pre-signed URLs, states, refusals.
//!
//! What it does not do: call webhooks, judge content with any sense (see the word lists in `labels`), or limit a job's size.

mod api;
mod clock;
mod evaluate;
mod files;
mod job;
mod labels;
mod sign;
mod store;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

pub use self::job::{JobState, JobSummary};

use self::clock::Clock;
use self::evaluate::{Evaluation, evaluate};
use self::job::Outcome;
use self::sign::Signer;
use self::store::{Next, Store};

/// How long a stopping sandbox waits for requests under way. They are on loopback: what takes longer is stuck.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait after a fault of the machine (a full disk, say) before evaluating again.
const BREATHER: Duration = Duration::from_secs(1);

/// How the sandbox behaves.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where jobs, their inputs and their outputs are kept. They survive a kill and a restart.
    pub dir: PathBuf,
    /// The bearer key it accepts.
    pub api_key: SecretString,
    /// The port to listen on, on loopback; any if 0, or if this one is taken.
    pub port: u16,
    /// From a complete upload to `COMPLETED`, split evenly over the states between. Zero is at once.
    pub job_time: Duration,
    /// How fast the clock runs; 1.0 is real time. `job_time`, the 4 hours of a URL and the 30 days of a job go by it.
    pub clock_speed: f64,
    /// How many jobs may be created in a second of real time; above it, the answer is 429 with `Retry-After`.
    pub max_create_per_second: Option<u32>,
    /// What asking for an unknown or archived job among others does.
    pub missing_ids: MissingIds,
}

impl SandboxConfig {
    /// A sandbox of this key in this directory: any port, jobs of 3 seconds, real time, no rate limit, the strict reading
    /// of missing ids.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, api_key: impl Into<SecretString>) -> Self {
        Self {
            dir: dir.into(),
            api_key: api_key.into(),
            port: 0,
            job_time: Duration::from_secs(3),
            clock_speed: 1.0,
            max_create_per_second: None,
            missing_ids: MissingIds::NotFound,
        }
    }
}

/// What asking for an unknown or archived job does. The Batch API's documentation can be read both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingIds {
    /// The whole request is answered 404.
    #[default]
    NotFound,
    /// The answer holds the other jobs.
    LeftOut,
}

/// A Batch API that is up until it is stopped or dropped.
pub struct Sandbox {
    shared: Arc<Shared>,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    evaluator: JoinHandle<()>,
}

/// What requests and evaluation have in common.
struct Shared {
    api_key: SecretString,
    takes: SignedDuration,
    max_create_per_second: Option<u32>,
    missing_ids: MissingIds,
    url: String,
    clock: Clock,
    signer: Signer,
    store: Store,
    /// When the latest jobs were created, in real time.
    created: Mutex<VecDeque<Instant>>,
    /// Rung when there may be something to evaluate sooner than was known.
    bell: Notify,
    stopping: AtomicBool,
}

impl Sandbox {
    /// Starts listening on loopback, with the jobs that `config.dir` has, and goes on with those in flight.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used or holds something else, the clock's speed makes no sense, or no port can be had.
    pub async fn start(config: SandboxConfig) -> anyhow::Result<Self> {
        let opened = config.clone();
        let (store, clock, signer) = tokio::task::spawn_blocking(move || {
            let store = Store::open(&opened.dir)?;
            let clock = Clock::open(&opened.dir, opened.clock_speed)?;
            anyhow::Ok((store, clock, Signer::open(&opened.dir)?))
        })
        .await
        .context("opening the sandbox's directory")??;
        ensure!(!config.api_key.expose_secret().is_empty(), "the sandbox's api_key is empty");

        let listener = listen(config.port).await?;
        let port = listener.local_addr().context("the sandbox's own address")?.port();
        let shared = Arc::new(Shared {
            api_key: config.api_key,
            takes: SignedDuration::try_from(config.job_time).context("job_time is too long")?,
            max_create_per_second: config.max_create_per_second,
            missing_ids: config.missing_ids,
            url: format!("http://127.0.0.1:{port}"),
            clock,
            signer,
            store,
            created: Mutex::default(),
            bell: Notify::new(),
            stopping: AtomicBool::new(false),
        });

        let (stop, stopped) = oneshot::channel::<()>();
        let routes = Router::new().merge(files::routes()).merge(api::routes());
        let serve = axum::serve(listener, routes.with_state(Arc::clone(&shared)));
        let serve = serve.with_graceful_shutdown(async {
            // Dropping the sandbox closes the channel, which is as good as a word.
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the sandbox no longer serves");
            }
        });
        let evaluator = tokio::spawn(evaluate_all(Arc::clone(&shared)));
        Ok(Self { shared, port, stop: Some(stop), server, evaluator })
    }

    /// Its base address, which is also that of the URLs it signs.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All jobs it ever had, archived ones too, the oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobSummary> {
        let now = self.shared.clock.now();
        self.shared.store.all().iter().map(|job| job.summary(now)).collect()
    }

    /// The time by its clock.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.shared.clock.now()
    }

    /// Lets time jump forward.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
        self.shared.bell.notify_one();
    }

    /// Stops it, once the requests and the evaluation under way are done with.
    pub async fn stop(mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.bell.notify_one();
        drop(self.stop.take());
        // The evaluation under way, too: whoever opens the directory next must be alone with it.
        let over = async { tokio::join!(&mut self.server, &mut self.evaluator) };
        if tokio::time::timeout(GRACE, over).await.is_err() {
            tracing::warn!("the sandbox stops with work under way");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.evaluator.abort();
        // Closing `stop` ends the server, by its own way of closing connections.
    }
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => return Ok(listener),
        Err(taken) if port != 0 && taken.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(port, "the sandbox's port is taken: it listens on another");
        }
        Err(error) => return Err(error).with_context(|| format!("listening on 127.0.0.1:{port}")),
    }
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    any.context("listening on 127.0.0.1")
}

/// Evaluates jobs as they fall due, one at a time, for as long as the sandbox is up.
async fn evaluate_all(shared: Arc<Shared>) {
    while !shared.stopping.load(Ordering::Relaxed) {
        match shared.store.next(shared.clock.now()) {
            Next::Job(id) => {
                let worker = Arc::clone(&shared);
                let evaluated = tokio::task::spawn_blocking(move || worker.evaluate_one(&id)).await;
                let failure = match evaluated {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error,
                    Err(error) => error.into(),
                };
                tracing::error!(error = format!("{failure:#}"), "the sandbox could not evaluate a job");
                tokio::time::sleep(BREATHER).await;
            }
            Next::At(due) => {
                let wait = shared.clock.until(due);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shared.bell.notified() => {}
                }
            }
            Next::Nothing => shared.bell.notified().await,
        }
    }
}

impl Shared {
    fn evaluate_one(&self, id: &str) -> anyhow::Result<()> {
        let aside = self.store.aside();
        let evaluated = evaluate(&self.store.input(id), aside.path(), &self.stopping).and_then(|evaluation| {
            let at = self.clock.now();
            Ok(match evaluation {
                Evaluation::Done(rows) => {
                    std::fs::rename(aside.path(), self.store.output(id)).context("placing the output")?;
                    Some(Outcome::Evaluated { rows, at })
                }
                Evaluation::Refused(message) => Some(Outcome::Refused { message, at }),
                Evaluation::Stopped => None,
            })
        });
        let outcome = evaluated.as_ref().map_or(None, Clone::clone);
        self.store.evaluated(id, outcome).context("recording the outcome")?;
        evaluated.map(drop).with_context(|| format!("evaluating job {id}"))
    }
}
