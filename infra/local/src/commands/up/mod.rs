//! `moondrop up`: the stack, kept up until Ctrl-C. What is uploaded to its S3 or copied into its
//! inbox is moderated, and what is published appears in its outbox.

mod console;
mod folders;
mod inbox;
mod listing;
mod quiet;
mod refusals;
mod writers;

use super::options::UpArgs;
use crate::aws::{ACCESS_KEY, DROPS, REGION, RESULTS, SECRET_KEY};
use crate::exit::EXIT_OK;
use crate::export::export;
use crate::local_stack::{LocalStack, LocalStackConfig};
use anyhow::{Context, Result};
use console::{Console, print};
use folders::Folders;
use inbox::Inbox;
use moondrop_shared::object_key::{CONTROL, INCOMING};
use moondrop_shared::source::DropId;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// How often the inbox and the bus are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Keeps the stack up until Ctrl-C.
pub(super) async fn up(args: UpArgs, config: LocalStackConfig) -> Result<u8> {
    let folders = Folders::create(&args.dir)?;
    let local = LocalStack::start(config).await?;
    print_where(&local, &folders, args.quiet_for)?;
    tokio::select! {
        ended = keep_up(&local, &folders, args.quiet_for) => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for Ctrl-C")?,
    }
    local.stop().await;
    Ok(EXIT_OK)
}

fn print_where(local: &LocalStack, folders: &Folders, quiet_for: Duration) -> Result<()> {
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
    writeln!(
        out,
        "\nDrop a file by copying it into {inbox}. It is taken when it has not changed for {quiet_for:?}{open}.\n\
         The safe way: write it there under a name that ends in .part, which is never taken, and rename it when it is whole.\n\
         Or:\n",
        inbox = folders.inbox.display(),
        open = writers::ALSO
    )?;
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

async fn keep_up(local: &LocalStack, folders: &Folders, quiet_for: Duration) -> Result<()> {
    let mut console = Console::default();
    let mut inbox = Inbox::new(folders, quiet_for);
    let mut published = HashSet::new();
    let mut failing = false;
    loop {
        let took = inbox.take_next(local, &mut console).await?;
        publish(local, &folders.outbox, &mut published).await?;
        for key in local.aws.no_drops() {
            console.print_once(not_read(&key));
        }
        let failure = local.aws.failure();
        if let (Some(why), false) = (&failure, failing) {
            // With the end of its log, which is several lines.
            format!("a function does not run: {why}").lines().for_each(print);
        }
        failing = failure.is_some();
        if !took {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What is said of an object that nothing reads.
fn not_read(key: &str) -> String {
    if key.starts_with(CONTROL) {
        return format!(
            "s3://{DROPS}/{key} is no valid request: a drop is cancelled by an object {CONTROL}<drop>.cancel, with the drop's 32 digits"
        );
    }
    if key.starts_with(INCOMING) {
        return format!(
            "s3://{DROPS}/{key} is no drop: its name, or a folder's, begins with `_` or `.`"
        );
    }
    format!("s3://{DROPS}/{key} is no drop: what is not below {INCOMING} is kept and not evaluated")
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
