//! `moondrop sandbox`: the sandbox of the Batch API alone, until Ctrl-C.

use super::options::{SandboxArgs, key_in};
use crate::batch_api::{Sandbox, SandboxConfig};
use crate::exit::{EXIT_OK, UsageError};
use anyhow::{Context, Result};
use std::io::Write as _;

pub(super) async fn serve(args: SandboxArgs) -> Result<u8> {
    let mut config = SandboxConfig::new(&args.dir, key_in(&args.api_key_env)?);
    (config.port, config.job_time) = (args.port, args.job_time);
    config.quirk = args.misbehave;
    let sandbox = Sandbox::start(config).await.context("start the sandbox")?;
    if args.port != 0 && sandbox.port() != args.port {
        sandbox.stop().await;
        return Err(UsageError(format!("port {} is taken", args.port)).into());
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", sandbox.url()).and_then(|()| out.flush()).context("print the URL")?;
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
    sandbox.stop().await;
    Ok(EXIT_OK)
}
