//! `moondrop up`: the stack, kept up until Ctrl-C. What is uploaded to its S3 or copied into its inbox is moderated, and what
//! is published appears in its outbox.

use crate::cli::{EXIT_OK, UpArgs};
use crate::export::export;
use crate::machine::{Machine, MachineConfig};
use crate::place::place;
use crate::stack::{ACCESS_KEY, DROPS, REGION, RESULTS, SECRET_KEY};
use anyhow::{Context, Result};
use moondrop_shared::drop::DropId;
use moondrop_shared::keys::INCOMING;
use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
    writeln!(out, "Moondrop is up. Ctrl-C ends it; nothing is lost.\n")?;
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
    let mut seen = BTreeMap::new();
    let mut published = HashSet::new();
    loop {
        let now = list(inbox)?;
        for (path, stamp) in &now {
            // A file that has not changed between two looks is taken for whole.
            if seen.get(path) == Some(stamp) {
                take(machine, inbox, taken, path).await?;
            }
        }
        seen = now;
        publish(machine, outbox, &mut published).await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Size and time of change.
type Stamp = (u64, Option<SystemTime>);

/// The files of the inbox, also in its folders, which name policies.
fn list(inbox: &Path) -> Result<BTreeMap<PathBuf, Stamp>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![inbox.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry.context("list the inbox")?.path();
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            // One that went away meanwhile is passed over.
            match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(found) if !hidden => drop(files.insert(path, (found.len(), found.modified().ok()))),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// Drops a file of the inbox and moves it out of there.
async fn take(machine: &Machine, inbox: &Path, taken: &Path, path: &Path) -> Result<()> {
    let below = path.strip_prefix(inbox).context("a file of the inbox")?;
    let Some(name) = below.to_str() else {
        eprintln!("moondrop: {} has no name in UTF-8 and stays in the inbox", path.display());
        return Ok(());
    };
    let key = format!("{INCOMING}{}", name.replace(std::path::MAIN_SEPARATOR, "/"));
    let placed = match place(machine, path, &key, true).await {
        Ok(placed) => placed,
        Err(error) => {
            eprintln!("moondrop: {name} stays in the inbox: {error:#}");
            return Ok(());
        }
    };
    let kept = taken.join(format!("{}-{}", placed.id().short(), name.replace(std::path::MAIN_SEPARATOR, "-")));
    std::fs::rename(path, &kept).with_context(|| format!("move {} to {}", path.display(), kept.display()))?;
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
