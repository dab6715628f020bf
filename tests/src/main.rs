//! `moondrop`, for the tests of this package.

fn main() -> std::process::ExitCode {
    moondrop_local::cli::main()
}
