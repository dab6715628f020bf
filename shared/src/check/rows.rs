//! The records of a file as the check takes them: the header, the rows with their verdicts, and what
//! is skipped between them.

use super::invisible_ids::InvisibleIds;
use super::notices::{Notices, What};
use super::other_format::sep_line;
use super::planner::{Encoded, Planner};
use super::refusal::Errors;
use crate::check::duplicates::{Duplicates, MAX_DUPLICATED_REF_IDS, RefIdHashes};
use crate::check::rejected::write_rejection;
use crate::csv::Row;
use crate::csv::error::InputError;
use crate::csv::header::{Header, separator};
use crate::csv::mapping::Mapping;
use crate::csv::row::{Item, Record, Skipped, read_record, skipped, stray_ctrl_z};
use crate::csv::rules::Rules;
use crate::csv::separator::Separator;
use crate::plan::PartLimits;
use crate::problem::Code;

#[derive(Debug)]
pub(super) enum Pass {
    First(RefIdHashes, InvisibleIds),
    Second(Duplicates),
}

/// What is known of the rows so far.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) rules: Rules,
    pub(super) mapping: Option<Mapping>,
    pub(super) limits: PartLimits,
    pub(super) has_bom: bool,
    pub(super) header: Option<Header>,
    pub(super) planner: Planner,
    pub(super) pass: Pass,
    pub(super) errors: Errors,
    pub(super) notices: Notices,
    /// A line of Ctrl-Z, which is an error if a row follows.
    pub(super) ctrl_z: Option<InputError>,
    pub(super) rejections: Vec<u8>,
}

pub(super) fn no_header() -> InputError {
    InputError::of_file(Code::Empty, "the file is empty; it needs a header and rows")
}

impl Pass {
    pub(super) fn first() -> Self {
        Pass::First(RefIdHashes::default(), InvisibleIds::default())
    }
}

impl Body {
    pub(super) fn new(rules: Rules, limits: PartLimits, pass: Pass) -> Self {
        Body {
            rules,
            mapping: None,
            limits,
            has_bom: false,
            header: None,
            planner: Planner::new(limits),
            pass,
            errors: Errors::default(),
            notices: Notices::default(),
            ctrl_z: None,
            rejections: Vec::new(),
        }
    }

    /// Whether the check goes on after an error in a row.
    pub(super) fn goes_on(&self) -> bool {
        self.rules >= Rules::Two
    }

    /// Whether this is the first of two passes that find the same.
    fn is_first(&self) -> bool {
        self.rules >= Rules::Two && matches!(self.pass, Pass::First(..))
    }

    /// Takes a record above the rows: the header, or a line that is passed over.
    pub(super) fn first_record(&mut self, row: &Row<'_>) -> Result<(), InputError> {
        let is_first = self.is_first();
        if self.rules >= Rules::Two {
            if skipped(row) == Some(Skipped::Blank) {
                if is_first {
                    self.notices.add(What::BlankLines, row.line);
                }
                return Ok(());
            }
            if is_sep_line(row, separator(self.mapping.as_ref())) {
                if is_first {
                    self.notices.add(What::SepLine, row.line);
                }
                return Ok(());
            }
        }
        let mut header = Header::read(row, self.rules, self.mapping.as_ref())?;
        if is_first {
            let second = header.has_bom && self.has_bom;
            let has_marks = second || (!row.mark().is_empty() && !header.has_bom);
            self.notices.header(row, &header, has_marks);
        }
        header.has_bom |= self.has_bom && self.rules >= Rules::Two;
        self.header = Some(header);
        Ok(())
    }

    /// Takes a record below the header; calls `valid` for a row that is sent.
    pub(super) fn record(
        &mut self,
        row: &Row<'_>,
        valid: &mut impl FnMut(&Item<'_>),
    ) -> Result<(), InputError> {
        // The caller has read it.
        let Some(header) = &self.header else { return Ok(()) };
        let is_first = self.rules >= Rules::Two && matches!(self.pass, Pass::First(..));
        let number = self.planner.rows + 1;
        let checked = match read_record(row, header, number) {
            Record::Row(checked) => checked,
            Record::Unclear(error) if self.rules == Rules::One => return Err(error),
            Record::Unclear(error) => {
                self.errors.refuse(error);
                return Ok(());
            }
            Record::Skipped(skipped) => {
                if skipped == Skipped::CtrlZ {
                    self.ctrl_z.get_or_insert_with(|| stray_ctrl_z(row));
                } else if is_first {
                    self.notices.skipped(skipped, row.line);
                }
                return Ok(());
            }
        };
        if let Some(error) = self.ctrl_z.take() {
            self.errors.refuse(error);
        }
        if is_first {
            self.notices.row(row, header);
        }
        let verdict = checked.and_then(|item| check_unique(&mut self.pass, row, item));
        match verdict {
            Ok(item) => {
                valid(&item);
                self.planner.add(row, Encoded::Upload(item.upload_len() as u64))
            }
            Err(error) => {
                let mut line = Vec::new();
                write_rejection(&mut line, &error, &header.ref_id.value(row, number));
                self.errors.reject(&error);
                if matches!(self.pass, Pass::Second(_)) {
                    self.rejections.extend_from_slice(&line);
                }
                self.planner.add(row, Encoded::Rejection(line.len() as u64))
            }
        }
    }

    /// The file's end. Returns what a second pass looks for, if one is needed.
    pub(super) fn end(&mut self) -> Result<Option<Duplicates>, InputError> {
        if self.header.is_none() {
            return Err(no_header());
        }
        if self.errors.are_of_file() {
            return Ok(None);
        }
        if self.planner.rows == 0 {
            let says = match self.rules {
                Rules::One => "the file has a header and no rows",
                Rules::Two => "the file has a header and no rows: write them below it",
            };
            return Err(InputError::of_file(Code::Empty, says));
        }
        let is_first = self.is_first();
        let Pass::First(hashes, invisible) = &self.pass else { return Ok(None) };
        if is_first {
            if let Some(error) = &self.ctrl_z {
                self.notices.add(What::CtrlZ, error.line);
            }
            let alike = invisible.alike(hashes);
            alike.into_iter().for_each(|line| self.notices.add(What::InvisibleIds, line));
        }
        let candidates = hashes.candidates().ok_or_else(|| {
            let message = format!(
                "more than {MAX_DUPLICATED_REF_IDS} different values of `ref_id` are on more than one row: was the file appended to itself?"
            );
            InputError::of_file(Code::Limit, message)
        })?;
        let again = self.planner.rejected > 0 || !candidates.is_empty();
        Ok(again.then(|| Duplicates::of(candidates)))
    }
}

/// Whether a record is the line by which Excel knows that this separates the columns.
fn is_sep_line(row: &Row<'_>, separator: Separator) -> bool {
    let value = |i| String::from_utf8_lossy(&row.value(i)).into_owned();
    row.line == 1
        && match row.len() {
            1 => sep_line(&value(0)).is_some_and(|named| named.as_bytes() == [separator.byte()]),
            2 => sep_line(&value(0)) == Some("") && value(1).trim().is_empty(),
            _ => false,
        }
}

/// Rejects a row whose `ref_id` an earlier row has; only the second pass knows that.
fn check_unique<'a>(
    pass: &mut Pass,
    row: &Row<'_>,
    item: Item<'a>,
) -> Result<Item<'a>, InputError> {
    match pass {
        Pass::First(hashes, invisible) => {
            hashes.add(&item.ref_id);
            invisible.add(&item.ref_id, row.line);
        }
        Pass::Second(duplicates) => {
            if let Some(first) = duplicates.seen_before(&item.ref_id, row.line) {
                let message = format!(
                    "the `ref_id` stands on line {first} already; the first row with it is kept"
                );
                return Err(row.error(Code::RefId, message));
            }
        }
    }
    Ok(item)
}
