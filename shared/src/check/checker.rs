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
use crate::check::duplicates::{Duplicates, MAX_DUPLICATED_REF_IDS, RefIdHashes};
use crate::check::rejected::{REJECTED_HEADER, write_rejection};
use crate::csv::Row;
use crate::csv::error::InputError;
use crate::csv::header::Header;
use crate::csv::row::{Item, UPLOAD_HEADER, check_fields, check_row};
use crate::csv::rules::Rules;
use crate::csv::scan::Scanner;
use crate::plan::{PartLimits, PlannedPart};
use crate::problem::Code;

/// The most parts of a drop: the key of a part's record has five digits for its number.
pub const MAX_PARTS: usize = 99_999;

/// The most rows of a file: their hashes take some 760 MiB of memory. Our limit, not the API's.
pub const MAX_ROWS: u64 = 100_000_000;

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
}

/// What follows when the file was read to its end.
#[derive(Debug)]
pub enum Step {
    /// The check is complete.
    Done(Checked),
    /// Rows are invalid, or `ref_id`s may be duplicates: push the same bytes through this checker.
    ReadAgain(Box<Checker>),
}

#[derive(Debug)]
enum Pass {
    First(RefIdHashes),
    Second(Duplicates),
}

/// Checks a file that is pushed in pieces.
#[derive(Debug)]
pub struct Checker {
    rules: Rules,
    scanner: Scanner,
    /// The first bytes, until there are enough to see what kind of file it is.
    head: Option<Vec<u8>>,
    planner: Planner,
    pass: Pass,
    rejections: Vec<u8>,
    encoded: Vec<u8>,
}

#[derive(Debug)]
struct Planner {
    header: Option<Header>,
    limits: PartLimits,
    parts: Vec<PlannedPart>,
    rows: u64,
    rejected: u64,
    rejected_at: u64,
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
        Self::for_pass(rules, limits, Pass::First(RefIdHashes::default()))
    }

    fn for_pass(rules: Rules, limits: PartLimits, pass: Pass) -> Self {
        let rejected_at = REJECTED_HEADER.len() as u64;
        Checker {
            rules,
            scanner: Scanner::new(0, 1, true),
            head: Some(Vec::new()),
            planner: Planner {
                header: None,
                limits,
                parts: Vec::new(),
                rows: 0,
                rejected: 0,
                rejected_at,
            },
            pass,
            rejections: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// Takes the next bytes of the file; returns the next bytes of `rejected.csv`, of which the
    /// first are its header.
    ///
    /// # Errors
    /// The first error that makes the whole file unusable.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, InputError> {
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
    ) -> Result<Vec<u8>, InputError> {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            if head.len() < HEAD_BYTES {
                return Ok(Vec::new());
            }
            self.read_head()?;
        } else {
            self.scanner.push(bytes);
        }
        self.take_rows(valid)?;
        Ok(std::mem::take(&mut self.rejections))
    }

    /// Ends the file; also returns the last bytes of `rejected.csv`.
    ///
    /// # Errors
    /// The first error that makes the whole file unusable, `E_EMPTY` among them.
    pub fn finish(self) -> Result<(Vec<u8>, Step), InputError> {
        self.finish_each(&mut |_| {})
    }

    /// As [`Checker::finish`]; also calls `valid`, as [`Checker::push_each`] does.
    ///
    /// # Errors
    /// As [`Checker::finish`].
    pub fn finish_each(
        mut self,
        valid: &mut impl FnMut(&Item<'_>),
    ) -> Result<(Vec<u8>, Step), InputError> {
        self.read_head()?;
        self.scanner.finish();
        self.take_rows(valid)?;
        let Planner { header, limits, parts, rows, rejected, .. } = self.planner;
        let Some(header) = header else {
            return Err(InputError::of_file(
                Code::Empty,
                "the file is empty; it needs a header and rows",
            ));
        };
        if rows == 0 {
            return Err(InputError::of_file(Code::Empty, "the file has a header and no rows"));
        }
        if let Pass::First(hashes) = self.pass {
            let candidates = hashes.candidates().ok_or_else(|| {
                let message = format!(
                    "more than {MAX_DUPLICATED_REF_IDS} different values of `ref_id` are on more than one row: was the file appended to itself?"
                );
                InputError::of_file(Code::Limit, message)
            })?;
            if rejected > 0 || !candidates.is_empty() {
                let mut second =
                    Checker::for_pass(self.rules, limits, Pass::Second(Duplicates::of(candidates)));
                second.rejections.extend_from_slice(REJECTED_HEADER);
                return Ok((Vec::new(), Step::ReadAgain(Box::new(second))));
            }
        }
        Ok((self.rejections, Step::Done(Checked { header, parts, rows, rejected })))
    }

    /// Rows checked so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.planner.rows
    }

    fn read_head(&mut self) -> Result<(), InputError> {
        if let Some(head) = self.head.take() {
            let text = plain_text(&head)?;
            self.scanner = Scanner::new((head.len() - text.len()) as u64, 1, true);
            self.scanner.set_rules(self.rules);
            self.scanner.push(text);
        }
        Ok(())
    }

    fn take_rows(&mut self, valid: &mut impl FnMut(&Item<'_>)) -> Result<(), InputError> {
        if self.planner.header.is_none() {
            let Some(row) = self.scanner.next_row()? else { return Ok(()) };
            let header = Header::read(&row, self.rules)?;
            self.scanner.set_skip_spaces(header.skip_spaces);
            self.planner.header = Some(header);
        }
        while let Some(row) = self.scanner.next_row()? {
            // Read above.
            let Some(header) = &self.planner.header else { break };
            check_fields(&row, header)?;
            let verdict =
                check_row(&row, header).and_then(|item| check_unique(&mut self.pass, &row, item));
            self.encoded.clear();
            match verdict {
                Ok(item) => {
                    valid(&item);
                    item.write_upload(&mut self.encoded);
                    self.planner.add(&row, Encoded::Upload(self.encoded.len() as u64))?;
                }
                Err(error) => {
                    write_rejection(&mut self.encoded, &error, &row.value(header.ref_id));
                    self.planner.add(&row, Encoded::Rejection(self.encoded.len() as u64))?;
                    if matches!(self.pass, Pass::Second(_)) {
                        self.rejections.extend_from_slice(&self.encoded);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Rejects a row whose `ref_id` an earlier row has; only the second pass knows that.
fn check_unique<'a>(
    pass: &mut Pass,
    row: &Row<'_>,
    item: Item<'a>,
) -> Result<Item<'a>, InputError> {
    match pass {
        Pass::First(hashes) => hashes.add(&item.ref_id),
        Pass::Second(duplicates) => {
            if let Some(first) = duplicates.seen_before(&item.ref_id, row.line) {
                let message = format!(
                    "the `ref_id` stands on line {first} already; the first row with it is kept"
                );
                return Err(InputError {
                    code: Code::RefId,
                    line: row.line,
                    offset: row.offset,
                    message,
                });
            }
        }
    }
    Ok(item)
}

/// How many bytes a row takes.
#[derive(Debug, Clone, Copy)]
enum Encoded {
    /// In the upload.
    Upload(u64),
    /// In `rejected.csv`.
    Rejection(u64),
}

impl Planner {
    fn add(&mut self, row: &Row<'_>, encoded: Encoded) -> Result<(), InputError> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            let message =
                format!("the file has more than {MAX_ROWS} rows: drop it in several files");
            return Err(InputError {
                code: Code::Limit,
                line: row.line,
                offset: row.offset,
                message,
            });
        }
        let (upload, rejection) = match encoded {
            Encoded::Upload(bytes) => (bytes, 0),
            Encoded::Rejection(bytes) => (0, bytes),
        };
        let accepted = matches!(encoded, Encoded::Upload(_));
        self.rejected += u64::from(!accepted);
        let fits = self.parts.last().is_some_and(|part| {
            part.rows < self.limits.rows
                && row.end - part.offset <= self.limits.bytes
                && part.upload_bytes + upload <= self.limits.bytes
        });
        if !fits {
            if self.parts.len() == MAX_PARTS {
                let message = format!("the file would make more than {MAX_PARTS} parts");
                return Err(InputError {
                    code: Code::Limit,
                    line: row.line,
                    offset: row.offset,
                    message,
                });
            }
            self.parts.push(PlannedPart {
                number: self.parts.len() as u32 + 1,
                first_line: row.line,
                offset: row.offset,
                end: row.end,
                rows: 0,
                accepted: 0,
                upload_bytes: UPLOAD_HEADER.len() as u64,
                rejected_offset: self.rejected_at,
                rejected_bytes: 0,
            });
        }
        let Some(part) = self.parts.last_mut() else { return Ok(()) };
        part.end = row.end;
        part.rows += 1;
        part.upload_bytes += upload;
        part.accepted += u64::from(accepted);
        part.rejected_bytes += rejection;
        self.rejected_at += rejection;
        Ok(())
    }
}
