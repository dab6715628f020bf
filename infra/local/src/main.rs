//! The `moondrop` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    moondrop_local::cli::main()
}
