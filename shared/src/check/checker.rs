//! The check of a whole file, and the plan of its parts. Bytes in, decisions out; no I/O.
//!
//! A valid file is read once. If a row is invalid, or two `ref_id`s have the same hash, the file is
//! read a second time ([`Step::ReadAgain`]), and the candidates' `ref_id`s are compared in full.
//! Only then is it certain which rows are rejected, and with them `rejected.csv` and the exact
//! length of each part's upload.
//!
//! ```
//! use moondrop_shared::check::{Checker, Step};
//! use moondrop_shared::plan::PartLimits;
//!
//! let file = b"ref_id,type,content\n1,text,one\n1,text,two\n";
//! let (mut checker, mut rejected) = (Checker::new(PartLimits::default()), Vec::new());
//! let checked = loop {
//!     rejected.extend(checker.push(file)?);
//!     let (last, step) = checker.finish()?;
//!     rejected.extend(last);
//!     match step {
//!         Step::Done(checked) => break checked,
//!         Step::ReadAgain(second) => checker = *second,
//!     }
//! };
//! assert_eq!((checked.rows, checked.rejected, checked.parts.len()), (2, 1, 1));
//! assert!(rejected.ends_with(b"the `ref_id` stands on line 2 already; the first row with it is kept\n"));
//! # Ok::<(), moondrop_shared::csv::error::InputError>(())
//! ```

use super::file_kind::{HEAD_BYTES, plain_text};
use super::notices::{Notice, Notices};
use super::other_format::cause_of;
use super::planner::Planner;
use super::refusal::{Counts, Errors, Refusal};
use super::rows::{Body, Pass, no_header};
use crate::check::duplicates::Duplicates;
use crate::check::rejected::REJECTED_HEADER;
use crate::csv::error::InputError;
use crate::csv::header::{Header, separator};
use crate::csv::mapping::Mapping;
use crate::csv::row::Item;
use crate::csv::rules::Rules;
use crate::csv::scan::{Rows, Scanner};
use crate::plan::{PartLimits, PlannedPart};
use crate::problem::Code;

/// How much of a text is looked at to name its format.
const TEXT_BYTES: usize = 4096;

/// What the check of a whole file found.
#[derive(Debug)]
pub struct Checked {
    /// The header.
    pub header: Header,
    /// The parts.
    pub parts: Vec<PlannedPart>,
    /// Rows in the file.
    pub rows: u64,
    /// Rows that are not sent.
    pub rejected: u64,
    /// Those rows by error code.
    pub counts: Counts,
    /// What was skipped or trimmed, and what may be a mistake.
    pub notices: Vec<Notice>,
}

/// What follows when the file was read to its end.
#[derive(Debug)]
pub enum Step {
    /// The check is complete.
    Done(Checked),
    /// Rows are invalid, or `ref_id`s may be duplicates: push the same bytes through this checker.
    ReadAgain(Box<Checker>),
}

/// Checks a file that is pushed in pieces.
#[derive(Debug)]
pub struct Checker {
    pub(super) scanner: Scanner,
    /// The first bytes, until there are enough to see what kind of file it is.
    pub(super) head: Option<Vec<u8>>,
    /// The first bytes of a text, which may show why its header cannot be read; at most
    /// [`TEXT_BYTES`].
    text: Vec<u8>,
    /// Why the header cannot be read, until there is enough text to name the cause.
    unreadable: Option<InputError>,
    pub(super) body: Body,
    /// What was saved of it.
    pub(super) saved: Saved,
}

/// How much of a check was saved; see [`super::saved`].
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The parts whose end was certain.
    pub(super) parts: usize,
    /// The line of the first row that was not checked yet.
    pub(super) line: u64,
    /// The candidates for duplicates.
    pub(super) candidates: bool,
}

impl Checker {
    /// A checker for a file whose parts have these limits, by the newest rules.
    #[must_use]
    pub fn new(limits: PartLimits) -> Self {
        Self::by(Rules::NEWEST, limits)
    }

    /// A checker by the rules of a drop.
    #[must_use]
    pub fn by(rules: Rules, limits: PartLimits) -> Self {
        Self::for_pass(rules, limits, Pass::first())
    }

    /// For a file with a mapping.
    #[must_use]
    pub fn mapped(mut self, mapping: Option<Mapping>) -> Self {
        self.body.mapping = mapping;
        self
    }

    pub(super) fn for_pass(rules: Rules, limits: PartLimits, pass: Pass) -> Self {
        Checker {
            scanner: Scanner::new(0, 1, true),
            head: Some(Vec::new()),
            text: Vec::new(),
            unreadable: None,
            body: Body::new(rules, limits, pass),
            saved: Saved::default(),
        }
    }

    /// Takes the next bytes of the file; returns the next bytes of `rejected.csv`, of which the
    /// first are its header.
    ///
    /// # Errors
    /// If the rest of the file cannot be read. An error in a row that leaves the others readable is
    /// kept until [`Checker::finish`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.push_each(bytes, &mut |_| {})
    }

    /// As [`Checker::push`]; also calls `valid` for every row that is found valid. In a first pass
    /// these are the rows that are sent only if no second one follows: a duplicate is not known
    /// there.
    ///
    /// # Errors
    /// As [`Checker::push`].
    pub fn push_each(
        &mut self,
        bytes: &[u8],
        valid: &mut impl FnMut(&Item<'_>),
    ) -> Result<Vec<u8>, Refusal> {
        if self.unreadable.is_none() {
            let taken = self.take(bytes, valid);
            self.unreadable = taken.or_else(|error| self.wait(error))?;
        } else {
            self.keep_text(bytes);
        }
        if self.text.len() == TEXT_BYTES
            && let Some(error) = self.unreadable.take()
        {
            return Err(self.refuse(error));
        }
        Ok(std::mem::take(&mut self.body.rejections))
    }

    /// An error of the header waits for more of the text; any other is a refusal.
    fn wait(&mut self, error: InputError) -> Result<Option<InputError>, Refusal> {
        let is_header = self.body.rules >= Rules::Two && self.body.header.is_none();
        if is_header && !self.text.is_empty() { Ok(Some(error)) } else { Err(self.refuse(error)) }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        valid: &mut impl FnMut(&Item<'_>),
    ) -> Result<Option<InputError>, InputError> {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            if head.len() < HEAD_BYTES {
                return Ok(None);
            }
            self.read_head(valid)?;
        } else {
            self.keep_text(bytes);
            take_rows(&mut self.body, self.scanner.rows(bytes), valid)?;
        }
        Ok(None)
    }

    fn keep_text(&mut self, bytes: &[u8]) {
        if self.body.header.is_none() {
            let room = TEXT_BYTES - self.text.len();
            self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Ends the file; also returns the last bytes of `rejected.csv`.
    ///
    /// # Errors
    /// Every error that makes the whole file unusable, `E_EMPTY` among them.
    pub fn finish(self) -> Result<(Vec<u8>, Step), Refusal> {
        self.finish_each(&mut |_| {})
    }

    /// As [`Checker::finish`]; also calls `valid`, as [`Checker::push_each`] does.
    ///
    /// # Errors
    /// As [`Checker::finish`].
    pub fn finish_each(
        mut self,
        valid: &mut impl FnMut(&Item<'_>),
    ) -> Result<(Vec<u8>, Step), Refusal> {
        let candidates = match self.end(valid) {
            Ok(candidates) => candidates,
            Err(error) => return Err(self.refuse(error)),
        };
        let Body { rules, mapping, limits, header, planner, errors, notices, rejections, .. } =
            self.body;
        if errors.are_of_file() {
            return Err(refusal(errors, &notices));
        }
        if let Some(duplicates) = candidates {
            let mut second =
                Checker::for_pass(rules, limits, Pass::Second(duplicates)).mapped(mapping);
            second.body.rejections.extend_from_slice(REJECTED_HEADER);
            second.body.notices = notices;
            return Ok((Vec::new(), Step::ReadAgain(Box::new(second))));
        }
        let Some(header) = header else { return Err(no_header().into()) };
        let Planner { parts, rows, rejected, .. } = planner;
        let (counts, notices) = (errors.counts().clone(), notices.list());
        Ok((rejections, Step::Done(Checked { header, parts, rows, rejected, counts, notices })))
    }

    /// Takes the last rows. Returns what a second pass looks for, if one is needed.
    fn end(&mut self, valid: &mut impl FnMut(&Item<'_>)) -> Result<Option<Duplicates>, InputError> {
        if let Some(error) = self.unreadable.take() {
            return Err(error);
        }
        self.read_head(valid)?;
        take_rows(&mut self.body, self.scanner.last_rows(&[]), valid)?;
        self.body.end()
    }

    /// Rows checked so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.body.planner.rows
    }

    fn read_head(&mut self, valid: &mut impl FnMut(&Item<'_>)) -> Result<(), InputError> {
        let Some(head) = self.head.take() else { return Ok(()) };
        let text = plain_text(&head, self.body.rules)?;
        self.scanner = Scanner::new((head.len() - text.len()) as u64, 1, true);
        self.scanner.set_rules(self.body.rules);
        self.scanner.set_separator(separator(self.body.mapping.as_ref()));
        self.body.has_bom = text.len() < head.len();
        self.text = text[..text.len().min(TEXT_BYTES)].to_vec();
        take_rows(&mut self.body, self.scanner.rows(text), valid)
    }

    /// The refusal, with an error after which the file cannot be read.
    fn refuse(&mut self, error: InputError) -> Refusal {
        let Body { rules, mapping, header, errors, notices, .. } = &mut self.body;
        let error = match header {
            None if *rules >= Rules::Two => cause_of(error, &self.text, mapping.as_ref()),
            _ => error,
        };
        let mut errors = std::mem::take(errors);
        if *rules == Rules::One {
            return error.into();
        }
        errors.refuse(error);
        refusal(errors, notices)
    }
}

fn take_rows(
    body: &mut Body,
    mut rows: Rows<'_>,
    valid: &mut impl FnMut(&Item<'_>),
) -> Result<(), InputError> {
    while body.header.is_none() {
        let Some(row) = rows.next_row()? else { return Ok(()) };
        body.first_record(&row)?;
        if let Some(header) = &body.header {
            rows.set_skip_spaces(header.skip_spaces);
        }
    }
    loop {
        match rows.next_row() {
            Ok(Some(row)) => body.record(&row, valid)?,
            Ok(None) => return Ok(()),
            Err(error) => {
                if rows.keeps_rows() {
                    rows.resync();
                } else if error.code != Code::Encoding || !body.goes_on() {
                    return Err(error);
                }
                // After bytes that are no text the scanner continues after the row.
                body.errors.refuse(error);
            }
        }
    }
}

fn refusal(errors: Errors, notices: &Notices) -> Refusal {
    // There is an error: a file that cannot be read has no rows.
    errors.refusal(notices.list()).unwrap_or_else(|| no_header().into())
}
