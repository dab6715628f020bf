//! The services and the functions' processes, put together.

use super::config::AwsConfig;
use super::endpoints::Endpoints;
use super::events::Buses;
use super::lambda::{Counts, Function, Invoker, Launch, Pool, Queue};
use super::s3::Objects;
use super::secrets::Secrets;
use super::{dynamodb, events, json_api, s3, server};
use crate::folder_lock::FolderLock;
use anyhow::{Context, Result};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the servers have to finish what they are answering when the stack is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// The emulated AWS, running. It ends, with all its processes, when it is stopped or dropped.
#[derive(Debug)]
pub struct AwsEmulator {
    endpoints: Endpoints,
    objects: Objects,
    buses: Arc<Buses>,
    queues: [Arc<Queue>; 2],
    secrets: Arc<Secrets>,
    pools: BTreeMap<Function, Arc<Pool>>,
    tick: Arc<Notify>,
    tasks: JoinSet<()>,
    ended: DropGuard,
    _lock: FolderLock,
}

impl AwsEmulator {
    /// Starts the servers and then the functions. The first tick of `poll` is one interval away.
    pub async fn start(config: AwsConfig) -> Result<Self> {
        let lock = match config.lock {
            Some(lock) => lock,
            None => FolderLock::take(&config.dir)?,
        };
        let logs = config.dir.join("logs");
        let s3_root = config.dir.join("s3");
        for folder in [&logs, &s3_root] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let ended = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (s3_listener, s3) = server::bind(config.ports.s3).await?;
        let (dynamodb_listener, dynamodb) = server::bind(config.ports.dynamodb).await?;
        let (api_listener, api) = server::bind(config.ports.events).await?;
        let endpoints = Endpoints::new(&s3, &dynamodb, &api);

        let invoker = |function| Invoker::new(function, config.function_timeout);
        let (submit, poll, collect) =
            (invoker(Function::Submit), invoker(Function::Poll), invoker(Function::Collect));
        let queues = [&submit, &collect].map(|function| {
            Arc::new(Queue::new(function.clone(), config.redelivery, ended.clone()))
        });
        let [to_submit, to_collect] = &queues;
        let buses = Arc::new(Buses::new(to_submit, to_collect)?);
        let secrets = Arc::new(Secrets::new(config.secrets));
        let objects = Objects::open(&s3_root, buses.clone())?;
        let database = dynamodb::open(&config.dir.join("dynamodb.sqlite"))?;

        tasks.spawn(dynamodb::serve(dynamodb_listener, database, ended.clone()));
        tasks.spawn(server::serve(s3_listener, s3::router(objects.clone()), ended.clone()));
        tasks.spawn(server::serve(
            api_listener,
            json_api::router(buses.clone(), secrets.clone()),
            ended.clone(),
        ));
        dynamodb::create_table(&endpoints.dynamodb_client()).await?;

        let mut environment = endpoints.environment();
        environment.extend(config.environment);
        let launch = Arc::new(Launch { command: config.function_command, environment, logs });
        let mut pools = BTreeMap::new();
        for (invoker, processes) in [
            (submit, config.processes.submit),
            (poll.clone(), 1),
            (collect, config.processes.collect),
        ] {
            let pool = Pool::new(invoker, launch.clone());
            for _ in 0..processes {
                tasks.spawn(pool.clone().keep_alive(ended.clone()));
            }
            pools.insert(pool.invoker().function(), pool);
        }
        let tick = Arc::new(Notify::new());
        tasks.spawn(events::tick(poll, config.poll_every, tick.clone(), ended.clone()));
        let ended = ended.drop_guard();
        Ok(Self {
            endpoints,
            objects,
            buses,
            queues,
            secrets,
            pools,
            tick,
            tasks,
            ended,
            _lock: lock,
        })
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.endpoints.s3_client()
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.endpoints.dynamodb_client()
    }

    /// The event that announced an object when it was stored.
    pub async fn announcement(&self, bucket: &str, key: &str) -> Result<Value> {
        self.objects.announcement(bucket, key).await
    }

    /// Announces an object again ("Object Created"), as when it was stored: same time, same
    /// sequencer.
    pub async fn announce(&self, bucket: &str, key: &str) -> Result<()> {
        self.objects.announce(bucket, key).await
    }

    /// The keys of what has been put into the drops bucket since the start and is no drop: not below
    /// `incoming/`, nor below `control/`.
    pub fn no_drops(&self) -> Vec<String> {
        self.objects.no_drops()
    }

    /// Runs `poll` now, or as soon as the tick under way has ended. Asking twice in between is
    /// asking once.
    pub fn tick(&self) {
        self.tick.notify_one();
    }

    /// Gives a secret a new value, as a rotation does.
    pub fn set_secret(&self, id: impl Into<String>, value: SecretString) {
        self.secrets.set(id.into(), value);
    }

    /// The messages that the queues have given up: submit's, oldest first, and then collect's.
    pub fn dead_letters(&self) -> Vec<Value> {
        self.queues.iter().flat_map(|queue| queue.dead_letters()).collect()
    }

    /// The events put on our bus, oldest first; at most the newest 10,000.
    pub fn events(&self) -> Vec<Value> {
        self.buses.put()
    }

    pub fn invocations(&self, function: Function) -> Counts {
        self.pools.get(&function).map(|pool| pool.invoker().counts()).unwrap_or_default()
    }

    /// The live processes of a function.
    pub fn process_ids(&self, function: Function) -> Vec<u32> {
        self.pools.get(&function).map(|pool| pool.ids()).unwrap_or_default()
    }

    /// Why a function does not run, if one keeps ending before it asks for work: with the end of
    /// its log. It is still tried again, and this is `None` once it runs.
    pub fn failure(&self) -> Option<String> {
        self.pools.values().find_map(|pool| pool.failure())
    }

    /// Stops the functions' processes and the servers, and waits for their end.
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
