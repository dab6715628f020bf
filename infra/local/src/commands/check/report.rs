//! What the check found. Serialised, it is the JSON that `check.schema.json` describes; fields may
//! be added to it. It never has content.

use super::super::options::CheckArgs;
use moondrop_shared::check::Notice;
use moondrop_shared::problem::{Code, Problem};
use serde::Serialize;
use std::collections::BTreeMap;

/// The form of the JSON.
const FORM: &str = "moondrop.check/1";

/// The most errors of a file that are listed.
pub(super) const MOST_LISTED: usize = 1000;

/// What would become of a file. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Every row would be evaluated.
    Accepted,
    /// Some rows would be rejected.
    AcceptedWithRejectedRows,
    /// No row would be evaluated.
    Refused,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    form: &'static str,
    /// The gravest of the files' verdicts.
    pub(super) verdict: Verdict,
    pub(super) rows_per_job: u64,
    on_bad_rows: &'static str,
    pub(super) daily_limit: Option<u64>,
    pub(super) files: Vec<FileReport>,
    pub(super) total: Total,
}

#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    pub(super) file: String,
    pub(super) verdict: Verdict,
    /// Why the file would be refused.
    pub(super) problem: Option<Problem>,
    /// The size of the file.
    pub(super) bytes: u64,
    /// `None` if an error ended the check before the file did.
    pub(super) rows: Option<Rows>,
    pub(super) repeated: Option<Repeated>,
    /// The jobs that the file would make, and the bytes of their uploads; 0 if it would be refused.
    pub(super) jobs: u64,
    pub(super) upload_bytes: u64,
    pub(super) days: Option<u64>,
    pub(super) errors: Errors,
    /// What would be skipped or trimmed, and what may be a mistake.
    pub(super) notices: Vec<Notice>,
}

/// The rows of a file, by what they are.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Rows {
    pub(super) total: u64,
    /// Valid rows of the type `text`.
    pub(super) text: u64,
    /// Valid rows of the type `image_url`.
    pub(super) image_url: u64,
    pub(super) rejected: u64,
}

impl Rows {
    pub(super) fn valid(&self) -> u64 {
        self.text + self.image_url
    }
}

/// Valid rows with the type and the content of an earlier valid row of the file.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Repeated {
    pub(super) rows: u64,
    /// Of the valid rows, from 0 to 1.
    pub(super) share: f64,
}

impl Repeated {
    pub(super) fn of(rows: u64, valid: u64) -> Self {
        Repeated { rows, share: if valid == 0 { 0.0 } else { rows as f64 / valid as f64 } }
    }
}

/// The errors of a file, in its order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Errors {
    pub(super) total: u64,
    pub(super) by_code: BTreeMap<Code, u64>,
    /// The first [`MOST_LISTED`].
    pub(super) listed: Vec<Listed>,
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) code: Code,
    pub(super) message: String,
}

impl Errors {
    pub(super) fn add(&mut self, error: Listed) {
        self.total += 1;
        *self.by_code.entry(error.code).or_default() += 1;
        if self.listed.len() < MOST_LISTED {
            self.listed.push(error);
        }
    }
}

/// All files together.
#[derive(Debug, Default, Serialize)]
pub(super) struct Total {
    pub(super) files: u64,
    pub(super) refused: u64,
    pub(super) bytes: u64,
    /// Rows that would be evaluated.
    pub(super) rows: u64,
    pub(super) jobs: u64,
    pub(super) upload_bytes: u64,
    pub(super) days: Option<u64>,
}

impl Report {
    pub(super) fn new(args: &CheckArgs, files: Vec<FileReport>) -> Self {
        let mut total = Total { files: files.len() as u64, ..Total::default() };
        for file in &files {
            total.refused += u64::from(file.verdict == Verdict::Refused);
            total.bytes += file.bytes;
            total.rows += file.sent();
            total.jobs += file.jobs;
            total.upload_bytes += file.upload_bytes;
        }
        total.days = args.daily_limit.map(|limit| total.rows.div_ceil(limit));
        Report {
            form: FORM,
            verdict: files.iter().map(|file| file.verdict).max().unwrap_or(Verdict::Accepted),
            rows_per_job: args.rules.rows_per_job,
            on_bad_rows: args.rules.on_bad_rows.as_str(),
            daily_limit: args.daily_limit,
            files,
            total,
        }
    }
}

impl FileReport {
    /// Rows that would be evaluated.
    pub(super) fn sent(&self) -> u64 {
        match self.verdict {
            Verdict::Refused => 0,
            _ => self.rows.map_or(0, |rows| rows.valid()),
        }
    }
}
