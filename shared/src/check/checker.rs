//! The check of a whole file, and the plan that comes out of it. Bytes in, decisions out; no I/O.
//!
//! A clean file is looked at once. Where a row is faulty, or two `ref_id`s hash alike, it is looked at a second time, now
//! knowing which `ref_id`s to compare in full: only then are the rows to reject certain, and `rejected.csv` and the exact
//! length of each part's upload with them.

use crate::check::duplicates::{Candidates, Duplicates, MAX_DUPLICATED_REF_IDS, RefIdHashes};
use crate::check::rejected::{REJECTED_HEADER, write_rejection};
use crate::csv::error::InputError;
use crate::csv::header::Header;
use crate::csv::row::{Item, UPLOAD_HEADER, check_fields, check_row};
use crate::csv::scan::{Row, Scanner};
use crate::plan::{PartLimits, PlannedPart};
use crate::problem::Code;

/// The most parts a drop may have: a part's number has five digits in its record's key.
pub const MAX_PARTS: usize = 99_999;

/// The most rows a file may have: their hashes then take some 760 MiB of memory. Ours.
pub const MAX_ROWS: u64 = 100_000_000;

/// What a look at a whole file found.
#[derive(Debug)]
pub struct Checked {
    /// The header.
    pub header: Header,
    /// The parts, if every decision in them is final; see [`Checked::needs_second_look`].
    pub parts: Vec<PlannedPart>,
    /// Rows in the file.
    pub rows: u64,
    /// Rows rejected so far.
    pub rejected: u64,
    suspects: Candidates,
}

impl Checked {
    /// Whether the file has to be looked at again with [`Checker::second`], since rows are faulty or `ref_id`s may be doubled.
    #[must_use]
    pub fn needs_second_look(&self) -> bool {
        self.rejected > 0 || !self.suspects.is_empty()
    }
}

#[derive(Debug)]
enum Look {
    First(RefIdHashes),
    Second(Duplicates),
}

/// Checks a file that is pushed through it piece by piece.
#[derive(Debug)]
pub struct Checker {
    scanner: Scanner,
    /// The first bytes, held back until there are enough to tell what kind of file it is.
    head: Option<Vec<u8>>,
    planner: Planner,
    look: Look,
    rejections: Vec<u8>,
    pending: Vec<u8>,
}

/// Rows, counts and parts as they grow.
#[derive(Debug)]
struct Planner {
    header: Option<Header>,
    limits: PartLimits,
    parts: Vec<PlannedPart>,
    rows: u64,
    rejected: u64,
    rejected_at: u64,
}

use super::file_kind::{HEAD_BYTES, plain_text};
impl Checker {
    /// The first look at a file.
    #[must_use]
    pub fn first(limits: PartLimits) -> Self {
        Self::new(limits, Look::First(RefIdHashes::default()))
    }

    /// The second look at the same bytes; its rejections are to be kept, see [`Checker::take_rejections`].
    #[must_use]
    pub fn second(limits: PartLimits, first: Checked) -> Self {
        let mut checker = Self::new(limits, Look::Second(Duplicates::of(first.suspects)));
        checker.rejections.extend_from_slice(REJECTED_HEADER);
        checker
    }

    fn new(limits: PartLimits, look: Look) -> Self {
        let rejected_at = REJECTED_HEADER.len() as u64;
        Checker {
            scanner: Scanner::new(0, 1, true),
            head: Some(Vec::new()),
            planner: Planner { header: None, limits, parts: Vec::new(), rows: 0, rejected: 0, rejected_at },
            look,
            rejections: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// The first fault that makes the whole file unusable.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), InputError> {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            if head.len() < HEAD_BYTES {
                return Ok(());
            }
            self.look_at_head()?;
        } else {
            self.scanner.push(bytes);
        }
        self.take_rows()
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    /// The first fault that makes the whole file unusable, `E_EMPTY` among them.
    pub fn finish(&mut self) -> Result<Checked, InputError> {
        self.look_at_head()?;
        self.scanner.finish();
        self.take_rows()?;
        let Some(header) = self.planner.header.take() else {
            return Err(InputError::of_file(Code::Empty, "the file is empty; it needs a header and rows"));
        };
        if self.planner.rows == 0 {
            return Err(InputError::of_file(Code::Empty, "the file has a header and no rows"));
        }
        let suspects = match &self.look {
            Look::First(hashes) => hashes.suspects().ok_or_else(|| {
                let reason = format!(
                    "more than {MAX_DUPLICATED_REF_IDS} different values of `ref_id` stand on more than one row: was the file appended to itself?"
                );
                InputError::of_file(Code::Limit, reason)
            })?,
            Look::Second(_) => Candidates::default(),
        };
        let planner = &mut self.planner;
        Ok(Checked {
            header,
            parts: std::mem::take(&mut planner.parts),
            rows: planner.rows,
            rejected: planner.rejected,
            suspects,
        })
    }

    /// Rows looked at so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.planner.rows
    }

    /// The lines of `rejected.csv` that have come up since the last call, its header first. To be called after each push of
    /// the second look.
    pub fn take_rejections(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rejections)
    }

    fn look_at_head(&mut self) -> Result<(), InputError> {
        if let Some(head) = self.head.take() {
            let text = plain_text(&head)?;
            self.scanner = Scanner::new((head.len() - text.len()) as u64, 1, true);
            self.scanner.push(text);
        }
        Ok(())
    }

    fn take_rows(&mut self) -> Result<(), InputError> {
        if self.planner.header.is_none() {
            let Some(row) = self.scanner.next_row()? else { return Ok(()) };
            let mut header = Header::read(&row, false)?;
            header.skip_blanks = self.scanner.saw_blanks();
            self.scanner.set_skip_blanks(header.skip_blanks);
            self.planner.header = Some(header);
        }
        while let Some(row) = self.scanner.next_row()? {
            // The header was read above.
            let Some(header) = &self.planner.header else { break };
            check_fields(&row, header)?;
            let verdict = check_row(&row, header).and_then(|item| is_first(&mut self.look, &row, item));
            self.pending.clear();
            match verdict {
                Ok(item) => {
                    item.write_upload(&mut self.pending);
                    self.planner.add(&row, self.pending.len() as u64, None)?;
                }
                Err(fault) => {
                    write_rejection(&mut self.pending, &fault, &row.value(header.ref_id));
                    self.planner.add(&row, 0, Some(self.pending.len() as u64))?;
                    if matches!(self.look, Look::Second(_)) {
                        self.rejections.extend_from_slice(&self.pending);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether the row is the first with its `ref_id`; only a second look can say no.
fn is_first<'a>(look: &mut Look, row: &Row<'_>, item: Item<'a>) -> Result<Item<'a>, InputError> {
    match look {
        Look::First(hashes) => hashes.add(&item.ref_id),
        Look::Second(doubles) => {
            if let Some(first) = doubles.seen_before(&item.ref_id, row.line) {
                let reason = format!("the `ref_id` stands on line {first} already; the first row with it is kept");
                return Err(InputError { class: Code::RefId, line: row.line, offset: row.offset, reason });
            }
        }
    }
    Ok(item)
}

impl Planner {
    fn add(&mut self, row: &Row<'_>, upload: u64, rejection: Option<u64>) -> Result<(), InputError> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            let reason = format!("the file has more than {MAX_ROWS} rows: drop it in several files");
            return Err(InputError { class: Code::Limit, line: row.line, offset: row.offset, reason });
        }
        self.rejected += u64::from(rejection.is_some());
        let fits = self.parts.last().is_some_and(|part| {
            part.rows < self.limits.rows
                && row.end - part.offset <= self.limits.bytes
                && part.upload_bytes + upload <= self.limits.bytes
        });
        if !fits {
            if self.parts.len() == MAX_PARTS {
                let reason = format!("the file would make more than {MAX_PARTS} parts");
                return Err(InputError { class: Code::Limit, line: row.line, offset: row.offset, reason });
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
        part.accepted += u64::from(rejection.is_none());
        part.rejected_bytes += rejection.unwrap_or(0);
        self.rejected_at += rejection.unwrap_or(0);
        Ok(())
    }
}
