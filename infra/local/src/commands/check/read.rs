//! Reads a file in pieces, once or twice as the checker asks, and judges it as submit does.

use super::super::options::FileRules;
use super::progress::Progress;
use super::rejected::{add_lines, of_refusal};
use super::report::{Errors, FileReport, Repeated, Rows, Verdict};
use crate::files::named_file;
use anyhow::{Context, Result, ensure};
use moondrop_shared::check::hashes::Hashes;
use moondrop_shared::check::{Checked, Checker, Refusal, Step};
use moondrop_shared::csv::mapping::Mapping;
use moondrop_shared::csv::row::{Item, Kind};
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::{Code, Problem};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes that are read at once.
const PIECE: usize = 1024 * 1024;

/// The check of one file.
pub(super) struct FileCheck<'a> {
    pub(super) path: &'a Path,
    pub(super) rules: &'a FileRules,
    pub(super) mapping: Option<&'a Mapping>,
    pub(super) daily_limit: Option<u64>,
}

/// The valid rows of one pass, of which the last pass counts.
#[derive(Default)]
struct ValidRows {
    texts: u64,
    images: u64,
    /// A text and an image's URL are never the same content.
    text_hashes: Hashes,
    image_hashes: Hashes,
}

impl ValidRows {
    fn add(&mut self, item: &Item<'_>) {
        let (rows, hashes) = match item.kind {
            Kind::Text => (&mut self.texts, &mut self.text_hashes),
            Kind::ImageUrl => (&mut self.images, &mut self.image_hashes),
        };
        *rows += 1;
        hashes.add(&item.content.bytes());
    }
}

/// A file that is being read.
struct Reading<'a> {
    path: &'a Path,
    mapping: Option<&'a Mapping>,
    progress: Progress,
    /// What the checker rejects.
    errors: Errors,
}

impl Reading<'_> {
    /// Reads the file once or twice; a [`Refusal`] refuses it.
    fn read(&mut self, limits: PartLimits) -> Result<(Checked, ValidRows)> {
        let mut checker = Checker::new(limits).mapped(self.mapping.cloned());
        loop {
            let mut valid = ValidRows::default();
            match self.pass(checker, &mut valid)? {
                Step::ReadAgain(second) => checker = *second,
                Step::Done(checked) => return Ok((checked, valid)),
            }
            self.progress.again();
        }
    }

    /// Reads the file once, from its first byte to its last.
    fn pass(&mut self, mut checker: Checker, valid: &mut ValidRows) -> Result<Step> {
        let name = self.path.display();
        let mut file = File::open(self.path).with_context(|| format!("open {name}"))?;
        let mut piece = vec![0; PIECE];
        let mut see = |item: &Item<'_>| valid.add(item);
        loop {
            let read = file.read(&mut piece).with_context(|| format!("read {name}"))?;
            if read == 0 {
                break;
            }
            add_lines(&mut self.errors, &checker.push_each(&piece[..read], &mut see)?)?;
            self.progress.advance(read as u64, checker.rows());
        }
        let (last, step) = checker.finish_each(&mut see)?;
        add_lines(&mut self.errors, &last)?;
        Ok(step)
    }
}

impl FileCheck<'_> {
    /// Reads and judges the file.
    pub(super) fn run(&self) -> Result<FileReport> {
        let name = self.path.display().to_string();
        let before = named_file(self.path)?;
        let limits = PartLimits { rows: self.rules.rows_per_job, ..PartLimits::default() };
        let progress = Progress::new(&name, before.len());
        let mut reading =
            Reading { path: self.path, mapping: self.mapping, progress, errors: Errors::default() };
        let read = reading.read(limits);
        let after = named_file(self.path)?;
        ensure!(
            before.len() == after.len() && before.modified().ok() == after.modified().ok(),
            "{name} changed while it was read: check it again when it is whole"
        );
        let report = FileReport {
            file: name,
            verdict: Verdict::Refused,
            problem: None,
            bytes: before.len(),
            rows: None,
            repeated: None,
            jobs: 0,
            upload_bytes: 0,
            days: None,
            errors: reading.errors,
            notices: Vec::new(),
        };
        match read {
            Ok((checked, valid)) => Ok(self.judge(report, &checked, &valid)),
            Err(error) => Ok(refuse(report, error.downcast::<Refusal>()?)),
        }
    }

    /// The verdict on a file that was read to its end.
    fn judge(&self, mut report: FileReport, checked: &Checked, valid: &ValidRows) -> FileReport {
        let &Checked { rows: total, rejected, .. } = checked;
        let rows = Rows { total, text: valid.texts, image_url: valid.images, rejected };
        let repeated = valid.text_hashes.repeated() + valid.image_hashes.repeated();
        report.repeated = Some(Repeated::of(repeated, rows.valid()));
        report.rows = Some(rows);
        report.notices.clone_from(&checked.notices);
        report.problem = if rejected > 0 && self.rules.on_bad_rows.rejects_file() {
            let next =
                "Fix the rows, or have the others evaluated with --on-bad-rows submit-valid.";
            let message = format!(
                "{rejected} of {total} rows are invalid, and --on-bad-rows reject-file refuses such a file"
            );
            Some(Problem::new(Code::Rows, message).with_next_step(next))
        } else if rejected == total {
            let message = "no row would be evaluated: every row would be rejected";
            let next = "Fix the rows and check the file again.";
            Some(Problem::new(Code::Nothing, message).with_next_step(next))
        } else {
            None
        };
        if report.problem.is_some() {
            return report;
        }
        report.verdict =
            if rejected > 0 { Verdict::AcceptedWithRejectedRows } else { Verdict::Accepted };
        report.days = self.daily_limit.map(|limit| rows.valid().div_ceil(limit));
        // A part whose rows are all rejected needs no job.
        for part in checked.parts.iter().filter(|part| part.accepted > 0) {
            report.jobs += 1;
            report.upload_bytes += part.upload_bytes;
        }
        report
    }
}

/// The verdict on a file that errors make unusable as a whole.
fn refuse(mut report: FileReport, refusal: Refusal) -> FileReport {
    let error = &refusal.error;
    let problem = Problem::file_refused(error.code, error.line, &error.message);
    report.problem = Some(problem.with_next_step("Fix the file and check it again."));
    report.errors = of_refusal(&refusal);
    report.notices = refusal.notices;
    report
}
