//! `moondrop run`: files in, results out, and then the end.

mod progress;
mod summary;

use crate::cli::{EXIT_DROP, EXIT_OK, EXIT_OTHER, RunArgs, Usage};
use crate::export::export;
use crate::machine::{Api, Machine, MachineConfig};
use crate::place::{Placed, key_for, place};
use crate::stack::RESULTS;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use moondrop_shared::drop::object_key::ObjectKey;
use moondrop_shared::drop::status::Status;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::part::{HeldResults, PartState};
use moondrop_shared::problem::{HOST_REFUSED, KEY_REFUSED, Problem};
use moondrop_shared::services::s3::results_bucket::ResultsBucket;
use moondrop_shared::source::DropId;
use progress::Progress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use summary::Finished;

/// Troubles that do not go away while this command runs: the key and the settings are its own.
const NEEDS_USER: [&str; 2] = [KEY_REFUSED, HOST_REFUSED];
/// How often the drops are looked at for the progress shown.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Carries the files through, and gives the exit code.
///
/// # Errors
/// [`Usage`] for what the command line got wrong; others for what keeps the machine from running.
pub async fn run(args: RunArgs, config: MachineConfig) -> Result<u8> {
    let files = check_files(&args.files, config.policy.as_deref())?;
    // Before anything is evaluated, and paid for.
    std::fs::create_dir_all(&args.out).with_context(|| format!("create the folder {}", args.out.display()))?;
    check_writable(&args.out)?;
    let sandbox = matches!(config.api, Api::Sandbox { .. });
    let machine = Machine::start(config).await?;
    let finished = tokio::select! {
        finished = carry(&machine, &files, &args) => finished,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("wait for Ctrl-C")?;
            eprintln!("moondrop: interrupted; the same command goes on where this one was");
            machine.stop().await;
            return Ok(EXIT_OTHER);
        }
    };
    machine.stop().await;
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

/// Files and the keys they are dropped under.
type Files = Vec<(PathBuf, String)>;

fn check_files(files: &[PathBuf], policy: Option<&str>) -> Result<Files> {
    let mut keys = BTreeMap::new();
    let mut checked = Vec::new();
    for path in files {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(Usage(format!("{} is not a file", path.display())).into()),
            Err(error) => return Err(Usage(format!("{}: {error}", path.display())).into()),
        }
        let key = key_for(path, policy)?;
        if let Some(other) = keys.insert(key.clone(), path) {
            let (a, b) = (other.display(), path.display());
            return Err(Usage(format!("{a} and {b} have the same name: run them one after the other")).into());
        }
        checked.push((path.clone(), key));
    }
    Ok(checked)
}

/// Drops the files and follows them to their ends.
async fn carry(machine: &Machine, files: &Files, args: &RunArgs) -> Result<Vec<Finished>> {
    let began = Timestamp::now();
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    let progress = Progress::new(&names);
    let mut placed = Vec::new();
    for (path, key) in files {
        placed.push(place(machine, path, key, args.again).await?);
    }
    let results = ResultsBucket::new(machine.stack.s3(), RESULTS.to_owned());
    let mut finished: Vec<Option<Finished>> = files.iter().map(|_| None).collect();
    while finished.iter().any(Option::is_none) {
        if let Some(failure) = machine.stack.failure() {
            bail!("a function does not run: {failure}");
        }
        for (i, placed) in placed.iter().enumerate() {
            if finished[i].is_some() {
                continue;
            }
            let Some(meta) = machine.ledger.meta(placed.id()).await? else { continue };
            let Some(status) = read_status(&results, &meta).await? else {
                let name = &names[i];
                anyhow::ensure!(
                    meta.closed_at.is_none(),
                    "{name} was finished, but its results are gone from the state folder; --again evaluates it anew"
                );
                continue;
            };
            if let Some(trouble) = needs_user(&meta, &status, began) {
                bail!("{}: {}. Mend it and run the same command again: it goes on where it was", trouble.class, trouble.reason);
            }
            if let Some(held) = held_for_good(machine, &meta, &status).await? {
                let (class, reason, key, setting) = (held.class, held.reason, held.key, held.setting);
                bail!(
                    "{class}: {reason}. The results are kept in the state folder, as s3/{RESULTS}/{key}. With the environment variable {setting} the same command \
                     goes on with what can be read; without it, it asks the API for better results once a day"
                );
            }
            progress.show(i, &status);
            if meta.closed_at.is_some() && status.state.is_final() {
                progress.finish(i, &status);
                finished[i] = Some(finish(machine, placed, &meta, status, &names[i], &args.out).await?);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.clear();
    Ok(finished.into_iter().flatten().collect())
}

/// The trouble of an unfinished drop that only the user can end. One from before this run began says nothing yet.
fn needs_user<'a>(meta: &DropRecord, status: &'a Status, began: Timestamp) -> Option<&'a Problem> {
    let tried = meta.touched_at.max(status.updated_at) > began && !meta.state.is_final();
    status.trouble.as_ref().filter(|trouble| tried && NEEDS_USER.contains(&trouble.class.as_str()))
}

/// Results of an unfinished drop that are held under the settings of now: without another they wait.
async fn held_for_good(machine: &Machine, meta: &DropRecord, status: &Status) -> Result<Option<HeldResults>> {
    if meta.state.is_final() || status.parts.iter().all(|part| part.held.is_none()) {
        return Ok(None);
    }
    let reading = machine.reading.to_string();
    let parts = machine.ledger.parts(&meta.id).await?;
    let held = parts.into_iter().filter(|part| part.state != PartState::Collected).filter_map(|part| part.held);
    Ok(held.into_iter().find(|held| held.judged_under == reading))
}

async fn finish(
    machine: &Machine,
    placed: &Placed,
    meta: &DropRecord,
    status: Status,
    name: &str,
    out: &Path,
) -> Result<Finished> {
    let folder = export(machine, meta, out).await?;
    Ok(Finished { name: name.to_owned(), status, folder, before: matches!(placed, Placed::Finished(_)) })
}

async fn read_status(results: &ResultsBucket, meta: &DropRecord) -> Result<Option<Status>> {
    let key = ObjectKey::Status { folder: &meta.folder }.to_string();
    let Some((body, _)) = results.read_small(&key).await? else { return Ok(None) };
    let id: &DropId = &meta.id;
    Ok(Some(serde_json::from_slice(&body).with_context(|| format!("read the status of the drop {id}"))?))
}
