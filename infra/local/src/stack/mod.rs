//! AWS as Moondrop sees it, on this machine: S3, DynamoDB, EventBridge, Secrets Manager and the queue, served on loopback
//! behind their real protocols, and each function as a process of its own behind the Lambda Runtime API.
//!
//! ```text
//! s3 ─▶ events ─▶ queue ─────────▶ invoker ─▶ runtime ─▶ process (submit)
//! api ─▶   └────▶ asynchronous ──▶ invoker ─▶ runtime ─▶ process (collect)
//!                 schedule ──────▶ invoker ─▶ runtime ─▶ process (poll)
//! ```

// Tests may; what is not a test is linted without this when the library itself is.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout))]

mod api;
mod asynchronous;
mod config;
mod dynamodb;
mod endpoints;
mod envelope;
mod events;
mod invoker;
mod keys;
mod locks;
mod objects;
mod pattern;
mod process;
mod put_events;
mod queue;
mod runtime;
mod s3;
mod schedule;
mod secrets;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use secrecy::SecretString;
use serde_json::Value;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use config::{Ports, Processes, Redelivery, StackConfig};
pub use endpoints::Endpoints;
pub use invoker::{Counts, Function};

use asynchronous::Asynchronous;
use events::Buses;
use invoker::Invoker;
use objects::Objects;
use process::{Launch, Pool};
use queue::Queue;
use secrets::Secrets;

/// The region everything is in.
pub const REGION: &str = "us-east-1";
/// The account everything is in.
pub const ACCOUNT: &str = "000000000000";
/// The access key that S3 takes.
pub const ACCESS_KEY: &str = "test";
/// The secret key that S3 takes.
pub const SECRET_KEY: &str = "test";
/// The bucket that files are dropped into, below `incoming/`.
pub const DROPS: &str = "drops";
/// The bucket that results are found in.
pub const RESULTS: &str = "results";
/// The ledger's table.
pub const TABLE: &str = "moondrop";
/// The table's sparse index of what is still open.
pub const INDEX: &str = "open-index";
/// The bus that the functions put events on.
pub const BUS: &str = "moondrop";
/// The bus that AWS itself puts events on.
const DEFAULT_BUS: &str = "default";

/// How long the servers have to finish what they are answering when the stack is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// A running stack. It ends, with all its processes, when it is stopped or dropped.
#[derive(Debug)]
pub struct Stack {
    endpoints: Endpoints,
    objects: Objects,
    buses: Arc<Buses>,
    queue: Arc<Queue>,
    secrets: Arc<Secrets>,
    pools: BTreeMap<Function, Arc<Pool>>,
    tick: Arc<Notify>,
    tasks: JoinSet<()>,
    ended: DropGuard,
    /// Locked for as long as the stack is there; the kernel unlocks it however we end.
    _lock: File,
}

impl Stack {
    /// Starts the servers and then the functions. The first tick of `poll` is one interval away.
    pub async fn start(config: StackConfig) -> Result<Self> {
        let logs = config.dir.join("logs");
        let s3_root = config.dir.join("s3");
        for folder in [&logs, &s3_root] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let lock = File::create(config.dir.join("lock")).context("creating the lock file")?;
        lock.try_lock().with_context(|| format!("another stack runs in {}", config.dir.display()))?;

        let ended = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (s3_listener, s3) = server::bind(config.ports.s3).await?;
        let (dynamodb_listener, dynamodb) = server::bind(config.ports.dynamodb).await?;
        let (api_listener, api) = server::bind(config.ports.events).await?;
        let endpoints = Endpoints::new(&s3, &dynamodb, &api);

        let invoker = |function| Invoker::new(function, config.function_timeout);
        let (submit, poll, collect) = (invoker(Function::Submit), invoker(Function::Poll), invoker(Function::Collect));
        let queue = Arc::new(Queue::new(submit.clone(), config.redelivery, ended.clone()));
        let later = Asynchronous::new(collect.clone(), config.redelivery.first_delay, ended.clone());
        let buses = Arc::new(Buses::new(&queue, &Arc::new(later))?);
        let secrets = Arc::new(Secrets::new(config.secrets));
        let objects = Objects::open(&s3_root, buses.clone())?;
        let database = dynamodb::open(&config.dir.join("dynamodb.sqlite"))?;

        tasks.spawn(dynamodb::serve(dynamodb_listener, database, ended.clone()));
        tasks.spawn(server::serve(s3_listener, s3::router(objects.clone()), ended.clone()));
        tasks.spawn(server::serve(api_listener, api::router(buses.clone(), secrets.clone()), ended.clone()));
        dynamodb::create_table(&endpoints.dynamodb_client()).await?;

        let mut environment = endpoints.environment();
        environment.extend(config.environment);
        let launch = Arc::new(Launch { command: config.function_command, environment, logs });
        let mut pools = BTreeMap::new();
        for (invoker, processes) in [(submit, config.processes.submit), (poll.clone(), 1), (collect, config.processes.collect)]
        {
            let pool = Pool::new(invoker, launch.clone());
            for _ in 0..processes {
                tasks.spawn(pool.clone().keep_alive(ended.clone()));
            }
            pools.insert(pool.invoker().function(), pool);
        }
        let tick = Arc::new(Notify::new());
        tasks.spawn(schedule::tick(poll, config.poll_every, tick.clone(), ended.clone()));
        let ended = ended.drop_guard();
        Ok(Self { endpoints, objects, buses, queue, secrets, pools, tick, tasks, ended, _lock: lock })
    }

    /// Where the servers are.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// A client of the stack's S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.endpoints.s3_client()
    }

    /// A client of the stack's DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.endpoints.dynamodb_client()
    }

    /// The event that announced an object that is there.
    pub async fn announcement(&self, bucket: &str, key: &str) -> Result<Value> {
        self.objects.announcement(bucket, key).await
    }

    /// Announces an object that is there ("Object Created") as it was announced when it came: same time, same sequencer.
    pub async fn announce(&self, bucket: &str, key: &str) -> Result<()> {
        self.objects.announce(bucket, key).await
    }

    /// Runs `poll` now, or as soon as the tick under way has ended. Asking twice in between is asking once.
    pub fn tick(&self) {
        self.tick.notify_one();
    }

    /// Gives a secret a new value, as a rotation does.
    pub fn set_secret(&self, id: impl Into<String>, value: SecretString) {
        self.secrets.set(id.into(), value);
    }

    /// The messages that the queue has given up, oldest first.
    pub fn dead_letters(&self) -> Vec<Value> {
        self.queue.dead_letters()
    }

    /// The events put on the bus [`BUS`], oldest first; of many, the newest 10,000.
    pub fn events(&self) -> Vec<Value> {
        self.buses.put()
    }

    /// How many invocations a function has had.
    pub fn invocations(&self, function: Function) -> Counts {
        self.pools.get(&function).map(|pool| pool.invoker().counts()).unwrap_or_default()
    }

    /// The live processes of a function.
    pub fn process_ids(&self, function: Function) -> Vec<u32> {
        self.pools.get(&function).map(|pool| pool.ids()).unwrap_or_default()
    }

    /// Why a function does not run, if one keeps ending before it asks for work: with the end of its log. It is still
    /// tried again, and this is `None` once it runs.
    pub fn failure(&self) -> Option<String> {
        self.pools.values().find_map(|pool| pool.failure())
    }

    /// Ends the functions' processes and the servers, and waits for their end.
    pub async fn stop(mut self) {
        self.ended.disarm().cancel();
        self.objects.calls().close();
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            // An object being stored is stored to the end.
            self.objects.calls().wait().await;
        };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!("a server was still answering when the stack was stopped");
        }
    }
}

/// A panic elsewhere leaves these values whole, so that its mark on the lock says nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
