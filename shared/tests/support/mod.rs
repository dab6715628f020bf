//! What the tests of the domain share: a file looked at as the functions do, and its `rejected.csv` read back.

#![allow(dead_code)]

pub(crate) mod results;

use moondrop_shared::check::rejected::{REJECTED_HEADER, Rejections};
use moondrop_shared::check::{Checked, Checker};
use moondrop_shared::csv::error::InputError;
use moondrop_shared::plan::{PartLimits, PlannedPart};
use moondrop_shared::problem::Code;
use moondrop_shared::results::{Form, Reading, ResultsReader};

/// A file that was taken: its plan and its `rejected.csv`.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) checked: Checked,
    pub(crate) rejected_csv: Vec<u8>,
}

/// A row of `rejected.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RejectedRow {
    pub(crate) line: u64,
    pub(crate) offset: usize,
    pub(crate) ref_id: String,
    pub(crate) class: String,
    pub(crate) reason: String,
}

/// Looks at a file pushed in chunks: once if it is clean, a second time otherwise.
pub(crate) fn check(bytes: &[u8], chunk: usize, limits: PartLimits) -> Result<Taken, InputError> {
    let (first, none) = look(Checker::first(limits), bytes, chunk)?;
    assert!(none.is_empty(), "the first look decides on no row");
    if !first.needs_second_look() {
        return Ok(Taken { checked: first, rejected_csv: REJECTED_HEADER.to_vec() });
    }
    let (checked, rejected_csv) = look(Checker::second(limits, first), bytes, chunk)?;
    Ok(Taken { checked, rejected_csv })
}

fn look(mut checker: Checker, bytes: &[u8], chunk: usize) -> Result<(Checked, Vec<u8>), InputError> {
    let mut rejected_csv = Vec::new();
    for piece in bytes.chunks(chunk.max(1)) {
        checker.push(piece)?;
        rejected_csv.extend(checker.take_rejections());
    }
    let checked = checker.finish()?;
    rejected_csv.extend(checker.take_rejections());
    Ok((checked, rejected_csv))
}

impl Taken {
    /// The rows of `rejected.csv`, as a user's own reader sees them.
    pub(crate) fn rejected(&self) -> Vec<RejectedRow> {
        let mut reader = csv::Reader::from_reader(self.rejected_csv.as_slice());
        assert_eq!(reader.headers().unwrap(), vec!["line", "byte_offset", "ref_id", "class", "reason"]);
        let row = |r: csv::StringRecord| RejectedRow {
            line: r[0].parse().unwrap(),
            offset: r[1].parse().unwrap(),
            ref_id: r[2].to_owned(),
            class: r[3].to_owned(),
            reason: r[4].to_owned(),
        };
        reader.records().map(|r| row(r.unwrap())).collect()
    }

    /// The rejections of one part, out of its range of `rejected.csv`.
    pub(crate) fn rejections(&self, part: &PlannedPart) -> Rejections {
        let (from, len) = (part.rejected_offset as usize, part.rejected_bytes as usize);
        Rejections::read(&self.rejected_csv[from..from + len]).unwrap()
    }
}

/// A fault's class, for `rejected.csv`'s word.
pub(crate) fn class_of(word: &str) -> Code {
    *Code::ALL.iter().find(|c| c.as_str() == word).unwrap()
}

/// Well-formed results, read.
pub(crate) fn answers(results: &[u8]) -> moondrop_shared::results::Answers {
    let mut reader = ResultsReader::new(Reading::default(), 1 << 20, false);
    reader.push(results).unwrap();
    let read = reader.finish().unwrap();
    assert_eq!(read.form, Form::Whole, "{}", String::from_utf8_lossy(results));
    read.answers
}
