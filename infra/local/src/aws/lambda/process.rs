//! The processes of a function: started, watched, killed when they are overdue, and started again.

use super::invoker::{Failure, Invoker};
use super::runtime::Runtime;
use crate::aws::names::{ACCESS_KEY, REGION, SECRET_KEY};
use crate::aws::server;
use crate::sync::locked;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A process that has not asked for work by then never will. Lambda allows 10 s; a laptop may be
/// busy.
const INIT_LIMIT: Duration = Duration::from_secs(60);
/// A process that ends sooner than this is not started again at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// After so many processes in a row that never asked for work, the function counts as broken.
const BROKEN_AFTER: u32 = 3;
/// How much of a log's end a failure shows.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 8 * 1024;

/// How the functions' processes are started.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Program and leading arguments; the function's name comes after.
    pub(crate) command: Vec<OsString>,
    /// Added to what Lambda itself gives.
    pub(crate) environment: BTreeMap<String, String>,
    /// The folder of the logs.
    pub(crate) logs: PathBuf,
}

/// The processes of one function.
#[derive(Debug)]
pub(crate) struct Pool {
    invoker: Arc<Invoker>,
    launch: Arc<Launch>,
    ids: Mutex<BTreeSet<u32>>,
    failure: Mutex<Option<String>>,
}

/// How a process ended.
struct End {
    asked_for_work: bool,
    reason: Failure,
}

impl Pool {
    pub(crate) fn new(invoker: Arc<Invoker>, launch: Arc<Launch>) -> Arc<Self> {
        Arc::new(Self { invoker, launch, ids: Mutex::default(), failure: Mutex::default() })
    }

    pub(crate) fn invoker(&self) -> &Arc<Invoker> {
        &self.invoker
    }

    /// The live processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        locked(&self.ids).iter().copied().collect()
    }

    /// Why the function cannot run, while it cannot.
    pub(crate) fn failure(&self) -> Option<String> {
        locked(&self.failure).clone()
    }

    /// Keeps one process alive until the stack has ended.
    pub(crate) async fn keep_alive(self: Arc<Self>, ended: CancellationToken) {
        let function = self.invoker.function().name();
        let (mut backoff, mut failed_starts) = (FIRST_BACKOFF, 0);
        loop {
            let started = Instant::now();
            let end = match self.run(&ended).await {
                Ok(Some(end)) => end,
                Ok(None) => return,
                Err(error) => End {
                    asked_for_work: false,
                    reason: Failure::new("Stack.Launch", format!("{error:#}")),
                },
            };
            tracing::warn!(function, reason = %end.reason, "a process has ended");
            failed_starts = if end.asked_for_work { 0 } else { failed_starts + 1 };
            if failed_starts >= BROKEN_AFTER {
                self.fail(failed_starts, &end.reason);
            }
            if end.asked_for_work && started.elapsed() > SHORT_LIFE {
                backoff = FIRST_BACKOFF;
                continue;
            }
            if ended.run_until_cancelled(tokio::time::sleep(backoff)).await.is_none() {
                return;
            }
            // Only starts that fail wait ever longer: a process killed at work is to be back soon.
            backoff =
                if end.asked_for_work { FIRST_BACKOFF } else { (backoff * 2).min(MAX_BACKOFF) };
        }
    }

    /// Runs one process to its end; `None` if it was the stack that ended.
    async fn run(&self, ended: &CancellationToken) -> Result<Option<End>> {
        let runtime = Runtime::new(self.invoker.clone(), INIT_LIMIT, ended.child_token());
        let (listener, host_port) = server::bind(0).await?;
        tokio::spawn(server::serve(listener, runtime.router(), runtime.ended()));
        let mut child = match self.spawn(&host_port) {
            Ok(child) => child,
            Err(error) => {
                runtime.end(Failure::new("Stack.Launch", "not started"));
                return Err(error);
            }
        };
        // Waiting for a child closes its stdin, by which it would take us for ended: hold it apart.
        let stdin = child.stdin.take();
        let id = child.id().unwrap_or_default();
        locked(&self.ids).insert(id);
        let reason = self.watch(&mut child, &runtime, ended).await;
        // Neither does anything to a process that has ended already.
        let _ = child.kill().await;
        drop(stdin);
        locked(&self.ids).remove(&id);
        let stack_ended = reason.is_none();
        let mut reason =
            reason.unwrap_or_else(|| Failure::new("Stack.Ended", "the stack has ended"));
        if let Some(error) = runtime.init_error() {
            reason.message = format!("{} ({error})", reason.message);
        }
        runtime.end(reason.clone());
        Ok((!stack_ended).then(|| End { asked_for_work: runtime.asked_for_work(), reason }))
    }

    /// Waits until a process ends or has to be ended; `None` if the stack ends.
    async fn watch(
        &self,
        child: &mut Child,
        runtime: &Runtime,
        ended: &CancellationToken,
    ) -> Option<Failure> {
        let mut deadline = runtime.deadline();
        loop {
            let at = *deadline.borrow_and_update();
            if runtime.asked_for_work() {
                locked(&self.failure).take();
            }
            let overdue = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended.cancelled() => return None,
                status = child.wait() => {
                    let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
                    return Some(Failure::new("Runtime.ExitError", format!("the process exited with {status}")));
                }
                () = overdue => {
                    let what = if runtime.asked_for_work() {
                        format!("Task timed out after {:.2} seconds", self.invoker.timeout().as_secs_f64())
                    } else {
                        format!("asked for no work within {} seconds", INIT_LIMIT.as_secs())
                    };
                    return Some(Failure::new("Sandbox.Timedout", what));
                }
                changed = deadline.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
            }
        }
    }

    fn spawn(&self, runtime_api: &str) -> Result<Child> {
        let name = self.invoker.function().name();
        let (program, arguments) =
            self.launch.command.split_first().context("the function command is empty")?;
        let log = self.log();
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("opening {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(name).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", runtime_api),
                ("AWS_LAMBDA_FUNCTION_NAME", name),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", name),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
                ("AWS_REGION", REGION),
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ])
            .envs(&self.launch.environment)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true);
        command.spawn().with_context(|| format!("starting {}", program.display()))
    }

    fn fail(&self, starts: u32, reason: &Failure) {
        let function = self.invoker.function().name();
        let log = self.log();
        let tail = tail(&log).unwrap_or_default();
        let failure = format!(
            "{function} did not start, {starts} times in a row: {reason}\nThe end of {}:\n{tail}",
            log.display()
        );
        *locked(&self.failure) = Some(failure);
    }

    fn log(&self) -> PathBuf {
        self.launch.logs.join(format!("{}.log", self.invoker.function().name()))
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}
