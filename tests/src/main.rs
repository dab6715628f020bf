//! `moondrop`, for the tests of this package.

fn main() -> std::process::ExitCode {
    moondrop_local::commands::main()
}
