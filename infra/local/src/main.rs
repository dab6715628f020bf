//! The `moondrop` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    moondrop_local::commands::main()
}
