//! `moondrop up`: the stack, kept up until Ctrl-C. What is uploaded to its S3 or copied into its inbox is moderated, and what
//! is published appears in its outbox.

use crate::cli::{EXIT_OK, UpArgs};
use crate::export::export;
use crate::machine::{Machine, MachineConfig};
use crate::place::{key_below, place};
use crate::stack::{ACCESS_KEY, DROPS, REGION, RESULTS, SECRET_KEY};
use anyhow::{Context, Result};
use moondrop_shared::drop::object_key::INCOMING;
use moondrop_shared::source::DropId;
use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a file of the inbox must not have changed to be taken for whole.
const QUIET_FOR: Duration = Duration::from_secs(2);
/// How often the inbox and the bus are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Keeps the stack up.
///
/// # Errors
/// If the stack does not start, or the folders cannot be used.
pub async fn up(args: UpArgs, config: MachineConfig) -> Result<u8> {
    let [inbox, taken, outbox] = ["inbox", "taken", "outbox"].map(|name| args.dir.join(name));
    for folder in [&inbox, &taken, &outbox] {
        std::fs::create_dir_all(folder).with_context(|| format!("create the folder {}", folder.display()))?;
    }
    let machine = Machine::start(config).await?;
    say_hello(&machine, &inbox, &outbox)?;
    tokio::select! {
        ended = keep(&machine, &inbox, &taken, &outbox) => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for Ctrl-C")?,
    }
    machine.stop().await;
    Ok(EXIT_OK)
}

fn say_hello(machine: &Machine, inbox: &Path, outbox: &Path) -> Result<()> {
    let endpoints = machine.stack.endpoints();
    let mut out = std::io::stdout().lock();
    writeln!(out, "Moondrop is up. Ctrl-C ends it; what is under way goes on when it is started again.\n")?;
    writeln!(out, "S3          {}   buckets {DROPS} and {RESULTS}", endpoints.s3)?;
    writeln!(out, "DynamoDB    {}", endpoints.dynamodb)?;
    writeln!(out, "EventBridge {}", endpoints.events)?;
    match &machine.sandbox {
        Some(sandbox) => writeln!(out, "Batch API   {}   a sandbox: labels by word lists, a stand-in", sandbox.url())?,
        None => writeln!(out, "Batch API   as given by --api-url")?,
    }
    writeln!(out, "\nDrop a file by copying it into {}, or:\n", inbox.display())?;
    let keys = format!("AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} AWS_REGION={REGION}");
    writeln!(out, "  {keys} \\\n    aws --endpoint-url {} s3 cp posts.csv s3://{DROPS}/{INCOMING}\n", endpoints.s3)?;
    writeln!(out, "Results appear in s3://{RESULTS}/results/ and in {}.", outbox.display())?;
    Ok(out.flush()?)
}

async fn keep(machine: &Machine, inbox: &Path, taken: &Path, outbox: &Path) -> Result<()> {
    let mut refused = BTreeMap::new();
    let mut published = HashSet::new();
    let mut failing = false;
    loop {
        for (path, stamp) in list(inbox) {
            if !stamp.is_quiet() || refused.get(&path) == Some(&stamp) {
                continue;
            }
            if let Err(error) = take(machine, inbox, taken, &path, &stamp).await {
                say(&format!("{} stays in the inbox: {error:#}", path.display()));
                refused.insert(path, stamp);
            }
        }
        publish(machine, outbox, &mut published).await?;
        let failure = machine.stack.failure();
        if let (Some(why), false) = (&failure, failing) {
            say(&format!("a function does not run: {why}"));
        }
        failing = failure.is_some();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Size and time of change.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &std::fs::Metadata) -> Self {
        Stamp { bytes: file.len(), changed: file.modified().ok() }
    }

    /// Whether the file has not changed for long enough to be taken for whole.
    fn is_quiet(&self) -> bool {
        let age = self.changed.and_then(|at| at.elapsed().ok());
        age.is_none_or(|age| age >= QUIET_FOR)
    }
}

/// The files of the inbox, also in its folders, which name policies. What cannot be looked at is passed over.
fn list(inbox: &Path) -> BTreeMap<PathBuf, Stamp> {
    let mut files = BTreeMap::new();
    let mut folders = vec![inbox.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Not through links: they may lead round in circles.
            let Ok(found) = entry.metadata() else { continue };
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if found.is_dir() {
                folders.push(entry.path());
            } else if found.is_file() {
                files.insert(entry.path(), Stamp::of(&found));
            }
        }
    }
    files
}

/// Drops a file of the inbox and moves it out of there.
async fn take(machine: &Machine, inbox: &Path, taken: &Path, path: &Path, stamp: &Stamp) -> Result<()> {
    let name = path.strip_prefix(inbox).ok().and_then(|below| below.to_str()).context("its name is not in UTF-8")?;
    let key = key_below(&name.replace(std::path::MAIN_SEPARATOR, "/"))?;
    let placed = place(machine, path, &key, true).await?;
    let now = std::fs::metadata(path).context("look at it once more")?;
    anyhow::ensure!(Stamp::of(&now) == *stamp, "it changed while it was taken; what it was then is evaluated");
    let kept = taken.join(format!("{}-{}", placed.id().short(), name.replace(std::path::MAIN_SEPARATOR, "-")));
    std::fs::rename(path, &kept).with_context(|| format!("move it to {}", kept.display()))?;
    say(&format!("dropped {name}"));
    Ok(())
}

/// Brings out what has been published since the last look.
async fn publish(machine: &Machine, outbox: &Path, published: &mut HashSet<DropId>) -> Result<()> {
    for event in machine.stack.events() {
        let kind = event["detail-type"].as_str().unwrap_or_default();
        let Some(id) = event["detail"]["drop"].as_str().map(DropId::from) else { continue };
        if !matches!(kind, "Drop Completed" | "Drop Rejected") || published.contains(&id) {
            continue;
        }
        let Some(meta) = machine.ledger.meta(&id).await? else { continue };
        let folder = export(machine, &meta, outbox).await?;
        say(&format!("{}: {}", meta.state.as_str().replace('_', " "), folder.display()));
        published.insert(id);
    }
    Ok(())
}

/// Says what happens. That no one listens any more is no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
