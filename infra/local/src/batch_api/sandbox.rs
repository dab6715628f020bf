//! The sandbox's server, started and stopped.

use super::clock::Clock;
use super::config::SandboxConfig;
use super::job::JobSummary;
use super::shared::Shared;
use super::sign::Signer;
use super::store::Store;
use super::{api, transfer, worker};
use anyhow::{Context, ensure};
use axum::Router;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// How long a stopping sandbox waits for requests under way. They are on loopback: what takes
/// longer is stuck.
const GRACE: Duration = Duration::from_secs(5);

/// A Batch API that is up until it is stopped or dropped.
pub struct Sandbox {
    shared: Arc<Shared>,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    evaluator: JoinHandle<()>,
}

impl Sandbox {
    /// Listens on loopback, with the jobs that `config.dir` has, and resumes those in flight.
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
        let port = listener.local_addr().context("the sandbox's own port")?.port();
        let shared = Arc::new(Shared {
            api_key: config.api_key,
            takes: SignedDuration::try_from(config.job_time).context("job_time is too long")?,
            max_create_per_second: config.max_create_per_second,
            missing_ids: config.missing_ids,
            quirk: config.quirk,
            kept_urls: Mutex::new(HashMap::new()),
            url: format!("http://127.0.0.1:{port}"),
            clock,
            signer,
            store,
            created: Mutex::new(VecDeque::new()),
            bell: Notify::new(),
            stopping: AtomicBool::new(false),
        });

        let (stop, stopped) = oneshot::channel::<()>();
        let routes = Router::new().merge(transfer::routes()).merge(api::routes());
        let serve = axum::serve(listener, routes.with_state(Arc::clone(&shared)));
        let serve = serve.with_graceful_shutdown(async {
            // Dropping the sandbox closes the channel, which counts as well.
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the sandbox no longer serves");
            }
        });
        let evaluator = tokio::spawn(worker::evaluate_all(Arc::clone(&shared)));
        Ok(Self { shared, port, stop: Some(stop), server, evaluator })
    }

    /// Its base URL, which is also that of the URLs it signs.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// All jobs it ever had, archived ones too, the oldest first.
    pub fn jobs(&self) -> Vec<JobSummary> {
        let now = self.shared.clock.now();
        self.shared.store.all().iter().map(|job| job.summary(now)).collect()
    }

    /// The time by its clock.
    pub fn now(&self) -> jiff::Timestamp {
        self.shared.clock.now()
    }

    /// Moves its clock forward.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
        self.shared.bell.notify_one();
    }

    /// Stops it, once the requests and the evaluation under way are done.
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
