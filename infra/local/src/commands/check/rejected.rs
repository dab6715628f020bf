//! `rejected.csv` as the checker writes it, read into the list of errors.

use super::report::{Errors, Listed};
use anyhow::{Context, Result};
use moondrop_shared::check::Refusal;
use moondrop_shared::check::rejected::REJECTED_HEADER;
use moondrop_shared::csv::error::InputError;
use moondrop_shared::problem::Code;

/// Adds the errors in these lines. The third column, the row's `ref_id`, is not printed.
pub(super) fn add_lines(errors: &mut Errors, lines: &[u8]) -> Result<()> {
    let lines = lines.strip_prefix(REJECTED_HEADER).unwrap_or(lines);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(lines);
    for record in reader.records() {
        let record = record.context("read the list of rejected rows")?;
        let (line, byte_offset, _, code, message): (u64, u64, String, String, String) =
            record.deserialize(None).context("read a rejected row")?;
        errors.add(Listed { line, byte_offset, code: Code::from(code), message });
    }
    Ok(())
}

/// The errors of a file that is refused: what its `rejected.csv` has.
pub(super) fn of_refusal(refusal: &Refusal) -> Errors {
    let listed = refusal.errors.iter().cloned();
    let listed = listed.map(|InputError { line, offset, code, message }| Listed {
        line,
        byte_offset: offset,
        code,
        message,
    });
    Errors {
        total: refusal.counts.values().sum(),
        by_code: refusal.counts.clone(),
        listed: listed.collect(),
    }
}
