//! `moondrop-bench`: how fast the code that sees every byte is, and a whole drop. Each command
//! prints one line of JSON; `tests/bench/run` runs them beside references in Python, polars and
//! DuckDB.
//!
//! The domain is driven as the functions drive it, without their network: blocks of a file in,
//! decisions and bytes out. What a function has before it begins (a plan, `rejected.csv`) is
//! prepared before the clock starts.

mod blocks;
mod domain;
mod fetch;
mod generate;
mod measure;
mod results_of_parts;
mod stack;

use anyhow::{Context, Result, bail};
use measure::Measured;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: moondrop-bench gen --rows N [--seed S] [--results RESULTS] [--columns 3|6] FILE
                                           write a file of N rows, and what the API would answer
       moondrop-bench check FILE           check it, and plan its parts
       moondrop-bench encode FILE          encode each part for its upload
       moondrop-bench join SOURCE RESULTS  join each part with its results
       moondrop-bench fetch --at-once N FILE
                                           check it over N connections of 90 MB per second
       moondrop-bench drop [--rows-per-job N] FILE
                                           a whole drop, as `moondrop run` does it
       moondrop-bench servers              only the servers, until standard input ends";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // How the local stack starts its functions: this program again.
    if args.first() == Some(&"function") {
        return moondrop_local::commands::main();
    }
    match run(&args) {
        Ok(measured) => {
            if let Some(measured) = measured {
                println!("{}", measured.json());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("moondrop-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<Option<Measured>> {
    let measured = match args {
        ["gen", options @ .., file] => generate::generate(&gen_options(options, file)?)?,
        ["check", file] => domain::check(Path::new(file))?,
        ["encode", file] => domain::encode(Path::new(file))?,
        ["join", source, results] => domain::join(Path::new(source), Path::new(results))?,
        ["fetch", "--at-once", count, file] => {
            let count = count.parse().context("--at-once")?;
            with_runtime(fetch::fetch(Path::new(file), count))?
        }
        ["drop", file] => with_runtime(stack::drop_file(Path::new(file), None))?,
        ["drop", "--rows-per-job", rows, file] => {
            let rows = rows.parse().context("--rows-per-job")?;
            with_runtime(stack::drop_file(Path::new(file), Some(rows)))?
        }
        ["servers"] => return with_runtime(stack::serve()).map(|()| None),
        _ => bail!("{USAGE}"),
    };
    Ok(Some(measured))
}

fn gen_options<'a>(options: &[&'a str], file: &'a str) -> Result<generate::Options<'a>> {
    let mut read =
        generate::Options { rows: 0, seed: 1, file: Path::new(file), results: None, plain: false };
    for option in options.chunks(2) {
        match option {
            ["--rows", rows] => read.rows = rows.parse().context("--rows")?,
            ["--seed", seed] => read.seed = seed.parse().context("--seed")?,
            ["--columns", columns @ ("3" | "6")] => read.plain = *columns == "3",
            ["--results", results] => read.results = Some(Path::new(*results)),
            _ => bail!("{USAGE}"),
        }
    }
    if read.rows == 0 {
        bail!("gen needs --rows, at least 1\n{USAGE}");
    }
    Ok(read)
}

fn with_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(Box::pin(work))
}
