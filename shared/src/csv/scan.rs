//! The strict scanner: bytes in, rows out.
//!
//! The `csv` crate is too lenient to check a file: it reads everything after an unclosed quote as
//! one field (so a truncated download passes), reads `"a"b` as `ab`, accepts NUL, and takes a bare
//! carriage return as the end of a row. This scanner refuses each of these. It records where every
//! row and field begins, so that a row can be located, fetched again and copied byte for byte.
//!
//! Blocks of any size come in, and their rows are borrowed from them:
//!
//! ```text
//!   block ──► index: where fields end, 64 bytes at a time, ── rows that are plainly regular ──► row
//!     │       and whether whole lines are text (UTF-8)                                           ▲
//!     │                                                                                          │
//!     ├─────► machine, byte by byte: all other rows ─────────────────────────────────────────────┤
//!     └─────► carry: the row that a block cuts, copied, until the next block completes it ───────┘
//! ```
//!
//! The scanner copies at most one unfinished row. A byte is read twice only where a row is irregular
//! or cut by a block, and after [`Rows::resync`].

mod errors;
mod index;
mod machine;

use super::fields::Row;
use crate::csv::error::InputError;
use crate::csv::rules::Rules;
use crate::csv::separator::Separator;
use index::Index;
use machine::{Found, Machine, State};

pub use machine::{MAX_FIELDS, MAX_ROW_BYTES};

/// The most bytes of a block that are first added to an unfinished row: most rows end in them.
const FIRST_FEED: usize = 4 * 1024;

/// A scanner for strict CSV that comes in blocks; see the module's documentation.
///
/// ```
/// use moondrop_shared::csv::scan::Scanner;
/// use moondrop_shared::problem::Code;
///
/// let mut scanner = Scanner::new(0, 1, false);
/// let mut rows = scanner.rows(b"ref_id,content\n1,\"two\nlines\"\n2,a\"b\n");
/// assert_eq!(rows.next_row()?.map(|header| header.len()), Some(2));
/// let row = rows.next_row()?.ok_or("a row is missing")?;
/// assert_eq!((row.line, row.offset, &*row.value(1)), (2, 15, b"two\nlines".as_slice()));
/// // A quote inside an unquoted field, on line 4.
/// let error = rows.next_row().err().ok_or("the quote is accepted")?;
/// assert_eq!((error.code, error.line), (Code::Quote, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scanner {
    machine: Machine,
    index: Index,
    /// The bytes of an unfinished row.
    carry: Vec<u8>,
}

impl Scanner {
    /// A scanner for bytes that begin at `offset` of the file, on line `line`. With `skip_spaces`,
    /// spaces and tabs after a comma are not part of the field, also before a quote.
    #[must_use]
    pub fn new(offset: u64, line: u64, skip_spaces: bool) -> Self {
        let machine = Machine::new(offset, line, skip_spaces);
        Scanner { machine, index: Index::default(), carry: Vec::new() }
    }

    /// Sets the rules of the file, instead of [`Rules::One`], by which the API's results are read.
    pub fn set_rules(&mut self, rules: Rules) {
        self.machine.rules = rules;
    }

    /// Sets what separates the fields, instead of commas.
    pub fn set_separator(&mut self, separator: Separator) {
        self.machine.separator = separator;
    }

    /// Sets how many bytes a row may have, instead of [`MAX_ROW_BYTES`]; at most 4 GiB.
    pub fn set_row_limit(&mut self, bytes: usize) {
        // Where a field is in its row has 32 bits.
        self.machine.max_row = bytes.min(u32::MAX as usize - 1);
    }

    /// The offset and the line of the first row that has not ended yet, where another scanner with
    /// the same settings can go on. `None` while the rest of a line is skipped.
    #[must_use]
    pub fn position(&self) -> Option<(u64, u64)> {
        let Machine { base, start, line, .. } = self.machine;
        (self.machine.state != State::SkipLine).then_some((base + start as u64, line))
    }

    /// Takes the next bytes of the file; its rows are those that end in them. Take all of them, up
    /// to `None`, before the next bytes.
    pub fn rows<'a>(&'a mut self, block: &'a [u8]) -> Rows<'a> {
        self.index.clear();
        let carried = self.carry.len();
        Rows { carried, scanner: self, block, fed: 0, is_last: false, last: None }
    }

    /// Takes the last bytes of the file: what stands after their last line end is a row, too.
    pub fn last_rows<'a>(&'a mut self, block: &'a [u8]) -> Rows<'a> {
        let mut rows = self.rows(block);
        rows.is_last = true;
        rows.scanner.machine.finished = rows.carried == 0 || block.is_empty();
        rows
    }
}

/// The rows that end in a block.
#[derive(Debug)]
pub struct Rows<'a> {
    scanner: &'a mut Scanner,
    block: &'a [u8],
    /// How many bytes were carried from earlier blocks.
    carried: usize,
    /// How many bytes of the block were added to them.
    fed: usize,
    /// No block follows.
    is_last: bool,
    last: Option<Found>,
}

impl Rows<'_> {
    /// The next whole row, or `None` if more bytes are needed (after [`Scanner::last_rows`]: if there
    /// is none).
    ///
    /// # Errors
    /// If the row is malformed. After `E_ENCODING` the scanner continues after the row, whose end
    /// is known. After any other error only [`Rows::resync`] lets it continue.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, InputError> {
        self.last = None;
        self.last = if self.scanner.carry.is_empty() { self.of_block()? } else { self.of_carry()? };
        Ok(self.last_row())
    }

    /// The row that [`Rows::next_row`] returned last, once more.
    #[inline]
    #[must_use]
    pub fn last_row(&self) -> Option<Row<'_>> {
        let Found { start, line, row } = self.last?;
        let Scanner { machine, carry, .. } = &*self.scanner;
        let buffer = if carry.is_empty() { self.block } else { carry };
        Some(Row {
            line,
            offset: machine.base + start as u64,
            end: machine.base + row.next as u64,
            newlines: row.newlines,
            bytes: &buffer[start..row.end],
            fields: &machine.fields,
            separator: machine.separator,
        })
    }

    /// A row that is whole in the block.
    #[inline]
    fn of_block(&mut self) -> Result<Option<Found>, InputError> {
        let Scanner { machine, index, carry } = &mut *self.scanner;
        if let Some(row) = index.next_row(machine, self.block) {
            return machine.take(self.block, row).map(Some);
        }
        let found = machine.next_row(self.block)?;
        if found.is_none() {
            carry.extend_from_slice(&self.block[machine.start..]);
            machine.rebase(machine.start);
            index.clear();
            (self.block, self.carried, self.fed) = (&[], carry.len(), 0);
        }
        Ok(found)
    }

    /// A row that began before the block; after it, one of the block.
    #[cold]
    fn of_carry(&mut self) -> Result<Option<Found>, InputError> {
        let Scanner { machine, index, carry } = &mut *self.scanner;
        while machine.start < self.carried {
            let found = machine.next_row(carry)?;
            if found.is_some() {
                return Ok(found);
            }
            if self.fed == self.block.len() {
                carry.drain(..machine.start);
                machine.rebase(machine.start);
                (self.block, self.carried, self.fed) = (&[], carry.len(), 0);
                return Ok(None);
            }
            let more = self.fed.max(FIRST_FEED).min(self.block.len() - self.fed);
            carry.extend_from_slice(&self.block[self.fed..self.fed + more]);
            self.fed += more;
            machine.finished = self.is_last && self.fed == self.block.len();
        }
        machine.finished = self.is_last;
        machine.rebase(self.carried);
        carry.clear();
        index.clear();
        self.of_block()
    }

    /// Sets whether spaces after a comma are skipped, from the next row on.
    pub fn set_skip_spaces(&mut self, skip: bool) {
        self.scanner.machine.skip_spaces = skip;
    }

    /// Whether a space after a comma has been skipped so far.
    #[must_use]
    pub fn saw_spaces(&self) -> bool {
        self.scanner.machine.saw_spaces
    }

    /// Whether the current row has more bytes than a row may have: then [`Rows::next_row`] refused
    /// it for that.
    #[must_use]
    pub fn row_is_too_long(&self) -> bool {
        self.scanner.machine.row_is_too_long()
    }

    /// Whether the last refused row ends with its line all the same, by the second rules: a quote
    /// stands within plain text. Then [`Rows::resync`] loses no other row.
    #[must_use]
    pub fn keeps_rows(&self) -> bool {
        self.scanner.machine.keeps_rows
    }

    /// Continues after the line on which the last returned or refused row began.
    ///
    /// However often it is called, no byte is read more than twice: of a row of several lines, the
    /// last line has an odd number of quotes and the lines between have an even number, so each of
    /// those is a row of its own when it is read again.
    pub fn resync(&mut self) {
        self.last = None;
        self.scanner.machine.resync();
    }
}
