//! `moondrop check`: the whole check of files, offline. It drives the checker of the shared crate as
//! submit does, so that its verdict is the one that a drop of the file gets.

mod print;
mod progress;
mod read;
mod rejected;
mod report;
mod words;

use super::options::CheckArgs;
use crate::exit::{EXIT_DROP, EXIT_OK};
use crate::files::named_file;
use anyhow::Result;
use read::FileCheck;
use report::{Report, Verdict};

/// Checks the files, prints what was found, and gives the exit code.
pub(super) fn check(args: &CheckArgs) -> Result<u8> {
    // Before any of them is read.
    for path in &args.files {
        named_file(path)?;
    }
    let mapping = args.rules.mapping.mapping()?;
    let mut files = Vec::new();
    for path in &args.files {
        let check = FileCheck {
            path,
            rules: &args.rules,
            mapping: mapping.as_ref(),
            daily_limit: args.daily_limit,
        };
        files.push(check.run()?);
    }
    let report = Report::new(args, files);
    if args.json { print::in_json(&report) } else { print::in_words(&report) }?;
    Ok(if report.verdict == Verdict::Refused { EXIT_DROP } else { EXIT_OK })
}
