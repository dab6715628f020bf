//! The work of submit and collect on a file's bytes: check, encode, join.
//!
//! `tests/bench/instructions` counts what the three functions named `…_loop` execute.

use crate::blocks::Blocks;
use crate::measure::{Clock, Measured};
use crate::results_of_parts::ResultsOfParts;
use anyhow::{Context, Result, ensure};
use moondrop_shared::check::rejected::Rejections;
use moondrop_shared::check::{Checked, Checker, Step};
use moondrop_shared::part::join::{Join, PartResult, Wrote};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::{PartLimits, PlannedPart};
use moondrop_shared::results::{Form, Reading, ResultsReader};
use std::path::Path;

/// For the answers of one part: the part of a job of 25,000 rows takes some 10 MB.
const ANSWERS_MEMORY: usize = 512 * 1024 * 1024;

/// A checked file, and its `rejected.csv`.
pub(crate) struct CheckedFile {
    pub(crate) checked: Checked,
    rejected: Vec<u8>,
}

impl CheckedFile {
    fn rejections(&self, part: &PlannedPart) -> Result<Rejections> {
        let start = part.rejected_offset as usize;
        let lines = self.rejected.get(start..start + part.rejected_bytes as usize);
        // Without any rejected row there is no such file.
        Rejections::read(lines.unwrap_or_default())
    }
}

pub(crate) fn check(path: &Path) -> Result<Measured> {
    let bytes = std::fs::metadata(path).with_context(|| format!("{}", path.display()))?.len();
    let clock = Clock::start()?;
    let file = check_loop(path)?;
    clock.stop(bytes, file.checked.rows)
}

#[inline(never)]
fn check_loop(path: &Path) -> Result<CheckedFile> {
    let (mut checker, mut rejected) = (Checker::new(PartLimits::default()), Vec::new());
    loop {
        let mut blocks = Blocks::open(path)?;
        while let Some(block) = blocks.next()? {
            rejected.extend(checker.push(&block)?);
        }
        let (last, step) = checker.finish()?;
        rejected.extend(last);
        match step {
            Step::Done(checked) => return Ok(CheckedFile { checked, rejected }),
            Step::ReadAgain(second) => checker = *second,
        }
    }
}

pub(crate) fn encode(path: &Path) -> Result<Measured> {
    let file = check_loop(path)?;
    let bytes = file.checked.parts.iter().map(|part| part.end - part.offset).sum();
    let clock = Clock::start()?;
    encode_loop(path, &file)?;
    clock.stop(bytes, file.checked.rows)
}

#[inline(never)]
fn encode_loop(path: &Path, file: &CheckedFile) -> Result<u64> {
    let (mut blocks, mut written) = (Blocks::open(path)?, 0);
    for part in &file.checked.parts {
        let header = file.checked.header.clone();
        let mut encoder = UploadEncoder::new(header, part.clone(), file.rejections(part)?);
        blocks.seek(&(part.offset..part.end))?;
        while let Some(block) = blocks.next()? {
            written += encoder.push(&block)?.iter().map(|piece| piece.len() as u64).sum::<u64>();
        }
        written += encoder.finish()?.len() as u64;
    }
    Ok(written)
}

/// `bytes` are those of the results.
pub(crate) fn join(source: &Path, results: &Path) -> Result<Measured> {
    let file = check_loop(source)?;
    let results = ResultsOfParts::find(results, &file.checked.parts)?;
    let bytes = std::fs::metadata(results.path)?.len();
    let clock = Clock::start()?;
    join_loop(source, &file, &results)?;
    clock.stop(bytes, file.checked.rows)
}

#[inline(never)]
fn join_loop(source: &Path, file: &CheckedFile, results: &ResultsOfParts<'_>) -> Result<u64> {
    let (mut source, mut answers) = (Blocks::open(source)?, Blocks::open(results.path)?);
    let mut written = 0;
    for (part, range) in file.checked.parts.iter().zip(&results.ranges) {
        let number = part.number;
        let mut reader = ResultsReader::new(Reading::default(), ANSWERS_MEMORY, false);
        reader.push(&results.header)?;
        let (header, result) = (file.checked.header.clone(), PartResult::Coming(reader.into()));
        let mut join = Join::new(header, part.clone(), file.rejections(part)?, result);
        answers.seek(range)?;
        source.seek(&(part.offset..part.end))?;
        while let Some(block) = source.next()? {
            let mut rows = join.rows(&block);
            loop {
                let wrote = rows.write()?;
                written += rows.take_written().len() as u64;
                match wrote {
                    Wrote::All => break,
                    Wrote::Much => {}
                    Wrote::SomeWait => {
                        let block = answers.next()?;
                        let block = block.context("the results are not those of this file")?;
                        rows.push_results(&block)?;
                    }
                }
            }
        }
        let (rest, tally) = join.finish()?;
        written += rest.len() as u64;
        let read = join.end_results()?.context("there were no results")?;
        ensure!(
            read.form == Form::Whole && read.answers.left() == 0 && tally.rows.missing == 0,
            "the results of part {number} are not those of this file"
        );
    }
    Ok(written)
}
