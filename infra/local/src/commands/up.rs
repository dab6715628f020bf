//! `moondrop up`: the stack, kept up until Ctrl-C. What is uploaded to its S3 or copied into its
//! inbox is moderated, and what is published appears in its outbox.

use super::options::UpArgs;
use crate::aws::{ACCESS_KEY, DROPS, REGION, RESULTS, SECRET_KEY};
use crate::exit::EXIT_OK;
use crate::export::export;
use crate::local_stack::{LocalStack, LocalStackConfig};
use crate::upload::{key_below, upload};
use anyhow::{Context, Result};
use moondrop_shared::object_key::INCOMING;
use moondrop_shared::source::DropId;
use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a file of the inbox must not have changed to count as complete.
const QUIET_FOR: Duration = Duration::from_secs(2);
/// How often the inbox and the bus are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where files come from and go to, below the folder of everything.
struct Folders {
    /// For files to moderate.
    inbox: PathBuf,
    /// For files of the inbox that have been dropped.
    taken: PathBuf,
    /// For results.
    outbox: PathBuf,
}

impl Folders {
    fn create(dir: &Path) -> Result<Self> {
        let [inbox, taken, outbox] = ["inbox", "taken", "outbox"].map(|name| dir.join(name));
        for folder in [&inbox, &taken, &outbox] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create the folder {}", folder.display()))?;
        }
        Ok(Folders { inbox, taken, outbox })
    }
}

/// Keeps the stack up until Ctrl-C.
pub(super) async fn up(args: UpArgs, config: LocalStackConfig) -> Result<u8> {
    let folders = Folders::create(&args.dir)?;
    let local = LocalStack::start(config).await?;
    print_where(&local, &folders)?;
    tokio::select! {
        ended = keep_up(&local, &folders) => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for Ctrl-C")?,
    }
    local.stop().await;
    Ok(EXIT_OK)
}

fn print_where(local: &LocalStack, folders: &Folders) -> Result<()> {
    let endpoints = local.aws.endpoints();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Moondrop is up. Ctrl-C ends it; what is under way goes on when it is started again.\n"
    )?;
    writeln!(out, "S3          {}   buckets {DROPS} and {RESULTS}", endpoints.s3)?;
    writeln!(out, "DynamoDB    {}", endpoints.dynamodb)?;
    writeln!(out, "EventBridge {}", endpoints.events)?;
    match &local.sandbox {
        Some(sandbox) => writeln!(
            out,
            "Batch API   {}   a sandbox: labels are simulated, by word lists",
            sandbox.url()
        )?,
        None => writeln!(out, "Batch API   as given by --api-url")?,
    }
    writeln!(out, "\nDrop a file by copying it into {}, or:\n", folders.inbox.display())?;
    let keys = format!(
        "AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} AWS_REGION={REGION}"
    );
    writeln!(
        out,
        "  {keys} \\\n    aws --endpoint-url {} s3 cp posts.csv s3://{DROPS}/{INCOMING}\n",
        endpoints.s3
    )?;
    writeln!(
        out,
        "Results appear in s3://{RESULTS}/results/ and in {}.",
        folders.outbox.display()
    )?;
    Ok(out.flush()?)
}

async fn keep_up(local: &LocalStack, folders: &Folders) -> Result<()> {
    let mut refused = BTreeMap::new();
    let mut published = HashSet::new();
    let mut failing = false;
    loop {
        for (path, stamp) in list(&folders.inbox) {
            if !stamp.is_quiet() || refused.get(&path) == Some(&stamp) {
                continue;
            }
            if let Err(error) = take(local, folders, &path, &stamp).await {
                print(&format!("{} stays in the inbox: {error:#}", path.display()));
                refused.insert(path, stamp);
            }
        }
        publish(local, &folders.outbox, &mut published).await?;
        let failure = local.aws.failure();
        if let (Some(why), false) = (&failure, failing) {
            print(&format!("a function does not run: {why}"));
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

    /// Whether the file has not changed for long enough to count as complete.
    fn is_quiet(&self) -> bool {
        let age = self.changed.and_then(|at| at.elapsed().ok());
        age.is_none_or(|age| age >= QUIET_FOR)
    }
}

/// The files of the inbox, also in its folders, which name policies. What cannot be read is
/// skipped.
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
async fn take(local: &LocalStack, folders: &Folders, path: &Path, stamp: &Stamp) -> Result<()> {
    let name = path
        .strip_prefix(&folders.inbox)
        .ok()
        .and_then(|below| below.to_str())
        .context("its name is not in UTF-8")?;
    let key = key_below(&name.replace(std::path::MAIN_SEPARATOR, "/"))?;
    let uploaded = upload(local, path, &key, true).await?;
    let now = std::fs::metadata(path).context("look at it once more")?;
    anyhow::ensure!(
        Stamp::of(&now) == *stamp,
        "it changed while it was taken; what it was then is evaluated"
    );
    let kept =
        format!("{}-{}", uploaded.id().short(), name.replace(std::path::MAIN_SEPARATOR, "-"));
    let kept = folders.taken.join(kept);
    std::fs::rename(path, &kept).with_context(|| format!("move it to {}", kept.display()))?;
    print(&format!("dropped {name}"));
    Ok(())
}

/// Exports what has been published since the last look.
async fn publish(local: &LocalStack, outbox: &Path, published: &mut HashSet<DropId>) -> Result<()> {
    for event in local.aws.events() {
        let kind = event["detail-type"].as_str().unwrap_or_default();
        let Some(id) = event["detail"]["drop"].as_str().map(DropId::from) else { continue };
        if !matches!(kind, "Drop Completed" | "Drop Rejected") || published.contains(&id) {
            continue;
        }
        let Some(meta) = local.ledger.drop_record(&id).await? else { continue };
        let folder = export(local, &meta, outbox).await?;
        print(&format!("{}: {}", meta.state.as_str().replace('_', " "), folder.display()));
        published.insert(id);
    }
    Ok(())
}

/// Prints what happens. That no one reads it any more is no reason to end.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
