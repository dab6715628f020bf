//! The command line: reads it, and hands over to one of the commands.

mod cancel;
mod check;
mod function;
mod mapping;
mod options;
mod probe;
mod run;
mod sandbox;
mod up;

use crate::exit::{EXIT_OK, EXIT_OTHER, EXIT_USAGE, UsageError};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use function::FunctionName;
use options::{CancelArgs, CheckArgs, ProbeArgs, RunArgs, SandboxArgs, UpArgs};
use std::process::ExitCode;

/// Content moderation of CSV files, one row out for every row in.
#[derive(Debug, Parser)]
#[command(name = "moondrop", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Moderate files, and leave their results in a folder.
    ///
    /// Without --api-url the evaluation is simulated by word lists, which needs no account.
    /// Interrupted, even killed, the same command goes on where it was. Exit codes: 0 every drop
    /// completed, 3 one was rejected or failed, 2 usage, 1 anything else.
    Run(RunArgs),
    /// Check files offline: what `run` would make of them, all errors, jobs, bytes and days.
    ///
    /// Nothing is sent, and nothing is kept. Exit codes: 0 every file would be accepted, perhaps
    /// with rejected rows, 3 one would be refused, 2 usage, 1 anything else.
    Check(CheckArgs),
    /// Keep the stack up: what is uploaded to its S3, or copied into its inbox, is moderated.
    Up(UpArgs),
    /// Cancel a drop: jobs are cancelled, and rows that were not evaluated end as failed.
    ///
    /// Through the `moondrop` that uses the state folder, or else until the drop has ended. The
    /// options about the API are those that the drop was begun with.
    Cancel(CancelArgs),
    /// Serve the sandbox of the Batch API and nothing else, for functions that run elsewhere on
    /// this machine.
    ///
    /// Its labels are simulated, by word lists. Prints its URL when it is up, and ends with Ctrl-C.
    /// Jobs are kept in the folder, also over a kill.
    Sandbox(SandboxArgs),
    /// Find out whether a Batch API is as Moondrop assumes; the first thing to do with a real key.
    ///
    /// Sends ten harmless rows, about ten evaluations, follows them, and prints each assumption as
    /// met, not met or not seen. A job may take a day or two: interrupted, even killed, the same
    /// command goes on where it was. Exit codes: 0 none is not met, 3 one or more are not met,
    /// 2 usage, 1 anything else.
    Probe(ProbeArgs),
    /// Be one of the functions; how the stack starts its processes.
    #[command(hide = true)]
    Function { name: FunctionName },
}

/// Reads the command line and carries it out.
#[must_use]
pub fn main() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("moondrop: {error:#}");
            ExitCode::from(if error.is::<UsageError>() { EXIT_USAGE } else { EXIT_OTHER })
        }
    }
}

fn carry_out(command: Command) -> Result<u8> {
    match command {
        Command::Function { name } => function::run(name).map(|()| EXIT_OK),
        Command::Check(args) => check::check(&args),
        Command::Cancel(args) => {
            let config = args.stack.config(args.state.clone())?;
            with_runtime(cancel::cancel(args, config))
        }
        Command::Run(args) => {
            let config = args.stack.config(args.state.clone())?;
            with_runtime(run::run(args, config))
        }
        Command::Up(args) => {
            let config = args.stack.config(args.dir.clone())?;
            with_runtime(up::up(args, config))
        }
        Command::Sandbox(args) => with_runtime(sandbox::serve(args)),
        Command::Probe(args) => with_runtime(probe::probe(args)),
    }
}

fn with_runtime(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr);
    logs.with_env_filter(filter.unwrap_or_else(|_| "error".into())).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(Box::pin(work))
}
