//! `moondrop cancel`: cancels a drop of a state folder, as `control/<drop>.cancel` does on AWS.

use super::options::CancelArgs;
use crate::aws::{DROPS, Endpoints};
use crate::exit::{EXIT_OK, UsageError};
use crate::export::export;
use crate::folder_lock::FolderLock;
use crate::local_stack::{LocalStack, LocalStackConfig, endpoints_of};
use anyhow::{Context, Result};
use aws_sdk_s3::primitives::ByteStream;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::object_key::cancel_request;
use moondrop_shared::services::ledger::Ledger;
use moondrop_shared::source::DropId;
use std::io::Write as _;
use std::time::Duration;

/// How often the drop is read until it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Cancels the drop: through the `moondrop` that uses the folder, or through a stack of its own,
/// which is kept up until the drop has ended.
pub(super) async fn cancel(args: CancelArgs, config: LocalStackConfig) -> Result<u8> {
    if FolderLock::is_taken(&args.state)? {
        let endpoints = endpoints_of(&args.state)?;
        let ledger = Ledger::new(endpoints.dynamodb_client(), crate::aws::TABLE.to_owned());
        if request(&endpoints, &ledger, &args.drop).await?.is_some() {
            let state = args.state.display();
            print(&format!(
                "the drop is being cancelled by the moondrop that uses {state}; status.json says when it has ended"
            ))?;
        }
        return Ok(EXIT_OK);
    }
    let local = LocalStack::start(config).await?;
    let done = tokio::select! {
        done = cancel_here(&local, &args) => done,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("wait for Ctrl-C")?;
            eprintln!("moondrop: interrupted; the request is kept, and the same command goes on with it");
            Ok(())
        }
    };
    local.stop().await;
    done.map(|()| EXIT_OK)
}

async fn cancel_here(local: &LocalStack, args: &CancelArgs) -> Result<()> {
    if request(local.aws.endpoints(), &local.ledger, &args.drop).await?.is_none() {
        return Ok(());
    }
    print("the drop is being cancelled")?;
    loop {
        let record = local.ledger.drop_record(&args.drop).await?;
        let record = record.context("the drop's record is gone")?;
        if record.closed_at.is_some() {
            let folder = export(local, &record, &args.out).await?;
            return print(&format!("{}; {}", ended(&record), folder.display()));
        }
        if let Some(failure) = local.aws.failure() {
            anyhow::bail!("a function does not run: {failure}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Puts the request into the drops bucket; `None` if the drop has ended, which is printed.
///
/// # Errors
/// `UsageError` if the ledger has no such drop.
async fn request(endpoints: &Endpoints, ledger: &Ledger, drop_id: &DropId) -> Result<Option<()>> {
    let Some(record) = ledger.drop_record(drop_id).await? else {
        let problem = format!("no drop of this state folder has the id {drop_id}");
        return Err(UsageError(problem).into());
    };
    if record.state.is_final() {
        return print(&ended(&record)).map(|()| None);
    }
    let put = endpoints.s3_client().put_object().bucket(DROPS).key(cancel_request(drop_id));
    put.body(ByteStream::from_static(b"")).send().await.context("put the request")?;
    Ok(Some(()))
}

fn ended(record: &DropRecord) -> String {
    let state = record.state.as_str().replace('_', " ");
    match &record.problem {
        Some(problem) => format!("the drop has ended as {state}: {}", problem.message),
        None => format!("the drop has ended as {state}"),
    }
}

fn print(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
