//! `moondrop function`: one of the functions in this process, as its own binary is on AWS. The
//! local stack starts its functions so.

use crate::exit::EXIT_OTHER;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::io::Read as _;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FunctionName {
    Submit,
    Poll,
    Collect,
}

/// Runs the function until standard input ends: the stack holds the other end, and has ended then,
/// however it did.
pub(super) fn run(name: FunctionName) -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink());
        std::process::exit(i32::from(EXIT_OTHER));
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let ran = runtime.block_on(async {
        match name {
            FunctionName::Submit => Box::pin(moondrop_submit::run()).await,
            FunctionName::Poll => Box::pin(moondrop_poll::run()).await,
            FunctionName::Collect => Box::pin(moondrop_collect::run()).await,
        }
    });
    ran.map_err(|error| anyhow::anyhow!(error))
}
