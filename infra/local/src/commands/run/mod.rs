//! `moondrop run`: files in, results out, and then the end.

mod progress;
mod summary;

use super::options::RunArgs;
use crate::aws::RESULTS;
use crate::exit::{EXIT_DROP, EXIT_OK, EXIT_OTHER, UsageError};
use crate::export::export;
use crate::files::named_file;
use crate::local_stack::{Api, LocalStack, LocalStackConfig};
use crate::upload::{Uploaded, key_for, upload};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use moondrop_shared::drop::problems::OwnedProblem;
use moondrop_shared::drop::status::Status;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::part::{HeldResults, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::s3::results_bucket::ResultsBucket;
use moondrop_shared::source::DropId;
use progress::Progress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use summary::Finished;

/// How often the drops are read for the progress shown.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Moderates the files, and gives the exit code.
pub(super) async fn run(args: RunArgs, config: LocalStackConfig) -> Result<u8> {
    let files = check_files(&args.files, config.policy.as_deref())?;
    // Before anything is evaluated, and paid for.
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("create the folder {}", args.out.display()))?;
    check_writable(&args.out)?;
    let sandbox = matches!(config.api, Api::Sandbox { .. });
    let local = LocalStack::start(config).await?;
    let finished = tokio::select! {
        finished = moderate(&local, &files, &args) => finished,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("wait for Ctrl-C")?;
            eprintln!("moondrop: interrupted; the same command goes on where this one was");
            local.stop().await;
            return Ok(EXIT_OTHER);
        }
    };
    local.stop().await;
    let finished = finished?;
    summary::show(&finished, sandbox)?;
    let unhappy = |f: &Finished| matches!(f.status.state, DropState::Rejected | DropState::Failed);
    Ok(if finished.iter().any(unhappy) { EXIT_DROP } else { EXIT_OK })
}

/// Whether files can be written there.
fn check_writable(out: &Path) -> Result<()> {
    let probe = out.join(".moondrop-probe");
    let wrote = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    wrote.with_context(|| format!("write into the folder {}", out.display()))
}

/// Files and the keys they are uploaded under.
type Files = Vec<(PathBuf, String)>;

/// The keys of the files; an error if one is not there, or two would have the same key.
fn check_files(files: &[PathBuf], policy: Option<&str>) -> Result<Files> {
    let mut keys = BTreeMap::new();
    let mut checked = Vec::new();
    for path in files {
        named_file(path)?;
        let key = key_for(path, policy)?;
        if let Some(other) = keys.insert(key.clone(), path) {
            let (a, b) = (other.display(), path.display());
            return Err(UsageError(format!(
                "{a} and {b} have the same name: run them one after the other"
            ))
            .into());
        }
        checked.push((path.clone(), key));
    }
    Ok(checked)
}

/// Uploads the files and follows their drops to their ends.
async fn moderate(local: &LocalStack, files: &Files, args: &RunArgs) -> Result<Vec<Finished>> {
    let results = ResultsBucket::new(local.aws.s3(), RESULTS.to_owned());
    let run = Run { local, results, began: Timestamp::now() };
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    let progress = Progress::new(&names);
    let mut uploaded = Vec::new();
    for (path, key) in files {
        uploaded.push(upload(local, path, key, args.again).await?);
    }
    let mut finished: Vec<Option<Finished>> = files.iter().map(|_| None).collect();
    while finished.iter().any(Option::is_none) {
        if let Some(failure) = local.aws.failure() {
            bail!("a function does not run: {failure}");
        }
        for (i, uploaded) in uploaded.iter().enumerate() {
            if finished[i].is_some() {
                continue;
            }
            let Some((meta, status)) = run.read(uploaded.id(), &names[i]).await? else { continue };
            progress.show(i, &status);
            if meta.closed_at.is_some() && status.state.is_final() {
                progress.finish(i, &status);
                let folder = export(local, &meta, &args.out).await?;
                let before = matches!(uploaded, Uploaded::Finished(_));
                finished[i] = Some(Finished { name: names[i].clone(), status, folder, before });
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.clear();
    Ok(finished.into_iter().flatten().collect())
}

/// What is needed to read how far a drop has come.
struct Run<'a> {
    local: &'a LocalStack,
    results: ResultsBucket,
    began: Timestamp,
}

impl Run<'_> {
    /// A drop's record and status, once there are any. An error if it cannot end without the user.
    async fn read(&self, id: &DropId, name: &str) -> Result<Option<(DropRecord, Status)>> {
        let Some(meta) = self.local.ledger.drop_record(id).await? else { return Ok(None) };
        let Some(status) = read_status(&self.results, &meta).await? else {
            anyhow::ensure!(
                meta.closed_at.is_none(),
                "{name} was finished, but its results are gone from the state folder; --again evaluates it again"
            );
            return Ok(None);
        };
        if let Some(problem) = self.needs_user(&meta, &status) {
            let Problem { code, message, next_step } = problem;
            bail!(
                "{code}: {message}. {next_step} Then run the same command again: it goes on where it was"
            );
        }
        if let Some(held) = self.held_for_good(&meta, &status).await? {
            let HeldResults { code, message, key, setting, .. } = held;
            bail!(
                "{code}: {message}. The results are kept in the state folder, as s3/{RESULTS}/{key}. With the environment variable {setting} the same command \
                 goes on with what can be read; without it, it asks the API for better results once a day"
            );
        }
        Ok(Some((meta, status)))
    }

    /// The problem of an unfinished drop that only the user can end. One that was last met before
    /// this run began says nothing yet: the key, or a setting, may be another by now.
    fn needs_user<'s>(&self, meta: &DropRecord, status: &'s Status) -> Option<&'s Problem> {
        let written = meta.active_at.max(status.updated_at);
        let mut grave = status.problems.iter().filter(|one| one.problem.code.needs_user());
        let met_now = |one: &&OwnedProblem| one.seen_at.unwrap_or(written) > self.began;
        grave.find(met_now).map(|one| &one.problem).filter(|_| !meta.state.is_final())
    }

    /// Results of an unfinished drop that are held under the settings of now: without another they
    /// wait.
    async fn held_for_good(
        &self,
        meta: &DropRecord,
        status: &Status,
    ) -> Result<Option<HeldResults>> {
        if meta.state.is_final() || status.parts.iter().all(|part| part.held.is_none()) {
            return Ok(None);
        }
        let reading = self.local.reading.to_string();
        let parts = self.local.ledger.parts(&meta.id).await?;
        let held = parts
            .into_iter()
            .filter(|part| part.state != PartState::Collected)
            .filter_map(|part| part.held);
        Ok(held.into_iter().find(|held| held.judged_under == reading))
    }
}

async fn read_status(results: &ResultsBucket, meta: &DropRecord) -> Result<Option<Status>> {
    let Some((body, _)) = results.read_small(&meta.status_key()).await? else { return Ok(None) };
    let id: &DropId = &meta.id;
    Ok(Some(
        serde_json::from_slice(&body)
            .with_context(|| format!("read the status of the drop {id}"))?,
    ))
}
