//! What the tests of the domain share: a file looked at as the functions do, and its `rejected.csv`
//! read back.

pub(crate) mod results;
pub(crate) mod walk;

use bytes::Bytes;
use moondrop_shared::check::rejected::{REJECTED_HEADER, Rejections};
use moondrop_shared::check::{Checked, Checker, Refusal, Step};
use moondrop_shared::csv::error::InputError;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::part::upload::UploadEncoder;
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
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Checks a file pushed in chunks, as often as the checker asks for, by the newest rules.
pub(crate) fn check(bytes: &[u8], chunk: usize, limits: PartLimits) -> Result<Taken, InputError> {
    Ok(check_by(Rules::NEWEST, bytes, chunk, limits)?)
}

/// [`check`] by these rules; an error is the whole refusal.
pub(crate) fn check_by(
    rules: Rules,
    bytes: &[u8],
    chunk: usize,
    limits: PartLimits,
) -> Result<Taken, Refusal> {
    check_with(Checker::by(rules, limits), bytes, chunk)
}

/// [`check_by`] with a checker that was made for the file.
pub(crate) fn check_with(
    mut checker: Checker,
    bytes: &[u8],
    chunk: usize,
) -> Result<Taken, Refusal> {
    let mut rejected_csv = Vec::new();
    loop {
        for piece in bytes.chunks(chunk.max(1)) {
            rejected_csv.extend(checker.push(piece)?);
        }
        let (last, step) = checker.finish()?;
        rejected_csv.extend(last);
        match step {
            Step::ReadAgain(second) => {
                assert!(rejected_csv.is_empty(), "the first pass decides on no row");
                checker = *second;
            }
            Step::Done(checked) => {
                if rejected_csv.is_empty() {
                    rejected_csv.extend_from_slice(REJECTED_HEADER);
                }
                return Ok(Taken { checked, rejected_csv });
            }
        }
    }
}

/// The upload of a part whose source comes in chunks.
pub(crate) fn encode(encoder: &mut UploadEncoder, source: &[u8], chunk: usize) -> Vec<u8> {
    let mut upload = Vec::new();
    for bytes in source.chunks(chunk) {
        let pieces = encoder.push(&Bytes::copy_from_slice(bytes)).unwrap();
        pieces.iter().for_each(|piece| upload.extend_from_slice(piece));
    }
    upload.extend_from_slice(&encoder.finish().unwrap());
    upload
}

impl Taken {
    /// The rows of `rejected.csv`, as a user's own reader sees them.
    pub(crate) fn rejected(&self) -> Vec<RejectedRow> {
        let mut reader = csv::Reader::from_reader(self.rejected_csv.as_slice());
        assert_eq!(
            reader.headers().unwrap(),
            vec!["line", "byte_offset", "ref_id", "code", "message"]
        );
        let row = |r: csv::StringRecord| RejectedRow {
            line: r[0].parse().unwrap(),
            offset: r[1].parse().unwrap(),
            ref_id: r[2].to_owned(),
            code: r[3].to_owned(),
            message: r[4].to_owned(),
        };
        reader.records().map(|r| row(r.unwrap())).collect()
    }

    /// The rejections of one part, out of its range of `rejected.csv`.
    pub(crate) fn rejections(&self, part: &PlannedPart) -> Rejections {
        let (from, len) = (part.rejected_offset as usize, part.rejected_bytes as usize);
        Rejections::read(&self.rejected_csv[from..from + len]).unwrap()
    }
}

/// The code for `rejected.csv`'s word.
pub(crate) fn code_of(word: &str) -> Code {
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
