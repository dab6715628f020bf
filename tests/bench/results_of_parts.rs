//! Where each part's results lie in one file of results.

use crate::blocks::{Blocks, Range};
use anyhow::{Result, ensure};
use moondrop_shared::plan::PlannedPart;
use std::path::Path;

/// A file with the results of all parts, one after the other, and one header: what `gen --results`
/// writes.
pub(crate) struct ResultsOfParts<'a> {
    pub(crate) path: &'a Path,
    /// Its first line; each job's own file begins with it.
    pub(crate) header: Vec<u8>,
    /// One for each part.
    pub(crate) ranges: Vec<Range>,
}

impl<'a> ResultsOfParts<'a> {
    /// Counts the file's records: a newline outside quotes ends one.
    pub(crate) fn find(path: &'a Path, parts: &[PlannedPart]) -> Result<Self> {
        let mut found = ResultsOfParts { path, header: Vec::new(), ranges: Vec::new() };
        let mut blocks = Blocks::open(path)?;
        let (mut offset, mut start, mut records, mut quoted) = (0, None, 0, false);
        while let Some(block) = blocks.next()? {
            for &byte in &block {
                offset += 1;
                quoted ^= byte == b'"';
                if start.is_none() {
                    found.header.push(byte);
                }
                if byte != b'\n' || quoted {
                    continue;
                }
                let Some(began) = start else {
                    start = Some(offset);
                    continue;
                };
                records += 1;
                if parts.get(found.ranges.len()).is_some_and(|part| part.accepted == records) {
                    found.ranges.push(began..offset);
                    (start, records) = (Some(offset), 0);
                }
            }
        }
        ensure!(
            found.ranges.len() == parts.len() && records == 0,
            "{} does not have one record for each valid row of the file",
            path.display()
        );
        Ok(found)
    }
}
