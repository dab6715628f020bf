//! The strict scanner: bytes in, rows out.
//!
//! The `csv` crate is too lenient to check a file: it reads everything after an unclosed quote as
//! one field (so a truncated download passes), reads `"a"b` as `ab`, accepts NUL, and takes a bare
//! carriage return as the end of a row. This scanner refuses each of these. It records where every
//! row and field begins, so that a row can be located, fetched again and copied byte for byte.
//!
//! [`Scanner::push`] takes pieces of any size. The scanner holds at most one unfinished row, and
//! reads a byte twice only after [`Scanner::resync`].

mod errors;

use super::cause::Wrong;
use super::fields::{Field, Row};
use super::text::marks_before_quote;
use crate::csv::error::InputError;
use crate::csv::rules::Rules;
use crate::csv::separator::Separator;

/// The longest row, in bytes, newlines included: 16 MiB, half of what a part holds by default. It
/// bounds memory for any file. Our limit, not the API's.
pub const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

/// The most fields of a row: the longest header has no room for more, and each field takes memory.
pub const MAX_FIELDS: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RowStart,
    FieldStart,
    Unquoted,
    Quoted,
    /// The last byte was a quote inside a quoted field: the end of the field, or the first of two.
    QuoteSeen,
    /// Skips the rest of the line; see [`Scanner::resync`].
    SkipLine,
}

enum Step {
    Row { end: usize, next: usize },
    NeedMore,
}

/// A push scanner for strict CSV; see the module's documentation.
///
/// ```
/// use moondrop_shared::csv::scan::Scanner;
/// use moondrop_shared::problem::Code;
///
/// let mut scanner = Scanner::new(0, 1, false);
/// scanner.push(b"ref_id,content\n1,\"two\nlines\"\n2,a\"b\n");
/// scanner.finish();
/// assert_eq!(scanner.next_row()?.map(|header| header.len()), Some(2));
/// let row = scanner.next_row()?.ok_or("a row is missing")?;
/// assert_eq!((row.line, row.offset, &*row.value(1)), (2, 15, b"two\nlines".as_slice()));
/// // A quote inside an unquoted field, on line 4.
/// let error = scanner.next_row().err().ok_or("the quote is accepted")?;
/// assert_eq!((error.code, error.line), (Code::Quote, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scanner {
    buffer: Vec<u8>,
    /// File offset of `buffer[0]`.
    base: u64,
    /// Where the current row begins in `buffer`.
    start: usize,
    /// The next byte to read.
    position: usize,
    line: u64,
    state: State,
    fields: Vec<Field>,
    field: Field,
    rules: Rules,
    separator: Separator,
    skip_spaces: bool,
    saw_spaces: bool,
    finished: bool,
    /// See [`Scanner::keeps_rows`].
    keeps_rows: bool,
    max_row: usize,
    /// Where the last returned or refused row begins in `buffer`, and its line.
    last: (usize, u64),
}

const NO_FIELD: Field = Field { start: 0, end: 0, quoted: false, escaped: false };

impl Scanner {
    /// A scanner for bytes that begin at `offset` of the file, on line `line`. With `skip_spaces`,
    /// spaces and tabs after a comma are not part of the field, also before a quote.
    #[must_use]
    pub fn new(offset: u64, line: u64, skip_spaces: bool) -> Self {
        Scanner {
            buffer: Vec::new(),
            base: offset,
            start: 0,
            position: 0,
            line,
            state: State::RowStart,
            fields: Vec::new(),
            field: NO_FIELD,
            rules: Rules::One,
            separator: Separator::Comma,
            skip_spaces,
            saw_spaces: false,
            finished: false,
            keeps_rows: false,
            max_row: MAX_ROW_BYTES,
            last: (0, line),
        }
    }

    /// Sets the rules of the file, instead of [`Rules::One`], by which the API's results are read.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Sets what separates the fields, instead of commas.
    pub fn set_separator(&mut self, separator: Separator) {
        self.separator = separator;
    }

    /// Sets whether spaces after a comma are skipped, from the next row on.
    pub fn set_skip_spaces(&mut self, skip: bool) {
        self.skip_spaces = skip;
    }

    /// Sets how many bytes a row may have, instead of [`MAX_ROW_BYTES`].
    pub fn set_row_limit(&mut self, bytes: usize) {
        self.max_row = bytes;
    }

    /// Whether the current row has more bytes than a row may have: then [`Scanner::next_row`]
    /// refused it for that.
    #[must_use]
    pub fn row_is_too_long(&self) -> bool {
        self.position - self.start > self.max_row
    }

    /// Whether the last refused row ends with its line all the same, by the second rules: a quote
    /// stands within plain text. Then [`Scanner::resync`] loses no other row.
    #[must_use]
    pub fn keeps_rows(&self) -> bool {
        self.keeps_rows
    }

    /// Continues after the line on which the last returned or refused row began. Call it before the
    /// next push.
    ///
    /// However often it is called, no byte is read more than twice: of a row of several lines, the
    /// last line has an odd number of quotes and the lines between have an even number, so each of
    /// those is a row of its own when it is read again.
    pub fn resync(&mut self) {
        let (row, line) = self.last;
        (self.start, self.position, self.line, self.state) = (row, row, line, State::SkipLine);
        self.keeps_rows = false;
    }

    /// Whether a space after a comma has been skipped so far.
    #[must_use]
    pub fn saw_spaces(&self) -> bool {
        self.saw_spaces
    }

    /// Adds the next bytes of the file. Take all rows with [`Scanner::next_row`] before the next
    /// push, so that at most one unfinished row is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.base += self.start as u64;
            self.position -= self.start;
            self.last.0 = self.last.0.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Ends the file: the bytes that are left are the last row.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next whole row, or `None` if more bytes are needed (after [`Scanner::finish`]: if there
    /// is none).
    ///
    /// # Errors
    /// If the row is malformed. After `E_ENCODING` the scanner continues after the row, whose end
    /// is known. After any other error only [`Scanner::resync`] lets it continue.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, InputError> {
        let step = self.scan();
        self.last = (self.start, self.line);
        let (end, next) = match step? {
            Step::NeedMore if self.row_is_too_long() => return Err(self.too_long()),
            Step::NeedMore => return Ok(None),
            Step::Row { end, next } => (end, next),
        };
        let (start, line) = self.last;
        if self.fields.len() > MAX_FIELDS {
            return Err(self.too_many_fields());
        }
        let text = self.check_text(start, end, next);
        let newlines = memchr::memchr_iter(b'\n', &self.buffer[start..next]).count() as u64;
        self.line += newlines;
        self.start = next;
        self.position = next;
        self.state = State::RowStart;
        text?;
        Ok(Some(Row {
            line,
            offset: self.base + start as u64,
            end: self.base + next as u64,
            newlines,
            bytes: &self.buffer[start..end],
            fields: &self.fields,
        }))
    }

    fn scan(&mut self) -> Result<Step, InputError> {
        let separator = self.separator.byte();
        loop {
            // Nothing after the longest row is read: the error must not depend on how the bytes
            // were cut into pieces.
            let window = &self.buffer[..self
                .buffer
                .len()
                .min(self.start.saturating_add(self.max_row).saturating_add(1))];
            let Some(&byte) = window.get(self.position) else { return self.at_end() };
            match self.state {
                State::RowStart => match byte {
                    b'\n' => self.skip_line(1),
                    b'\r' => match self.buffer.get(self.position + 1) {
                        Some(b'\n') => self.skip_line(2),
                        None if !self.finished => return Ok(Step::NeedMore),
                        _ => return self.refuse(Wrong::BareReturn),
                    },
                    // A byte-order mark or a zero-width space, maybe.
                    0xef | 0xe2 if self.rules >= Rules::Two => {
                        if !self.begin_row_after_marks() {
                            return Ok(Step::NeedMore);
                        }
                    }
                    _ => {
                        self.fields.clear();
                        self.begin_field();
                    }
                },
                State::FieldStart => {
                    if self.skip_spaces && byte != separator && (byte == b' ' || byte == b'\t') {
                        self.saw_spaces = true;
                        self.position += 1;
                    } else {
                        self.begin_field();
                    }
                }
                State::Unquoted => {
                    let rest = &window[self.position..];
                    let Some(found) = rest
                        .iter()
                        .position(|b| *b == separator || matches!(b, b'\n' | b'\r' | b'"'))
                    else {
                        self.position = window.len();
                        continue;
                    };
                    self.position += found;
                    if rest[found] == b'"' {
                        return self.refuse(Wrong::StrayQuote);
                    }
                    if let Some(step) = self.end_field()? {
                        return Ok(step);
                    }
                }
                State::Quoted => match memchr::memchr(b'"', &window[self.position..]) {
                    Some(found) => {
                        self.position += found + 1;
                        self.state = State::QuoteSeen;
                    }
                    None => self.position = window.len(),
                },
                State::QuoteSeen => match byte {
                    b'"' => {
                        self.field.escaped = true;
                        self.position += 1;
                        self.state = State::Quoted;
                    }
                    _ if byte == separator || matches!(byte, b'\n' | b'\r') => {
                        if let Some(step) = self.end_field()? {
                            return Ok(step);
                        }
                    }
                    _ => return self.refuse(Wrong::TextAfterQuote),
                },
                State::SkipLine => match memchr::memchr(b'\n', &self.buffer[self.position..]) {
                    Some(found) => self.skip_line(found + 1),
                    None => (self.start, self.position) = (self.buffer.len(), self.buffer.len()),
                },
            }
        }
    }

    /// At a comma, a newline or a carriage return: ends the field, and at a newline the row.
    fn end_field(&mut self) -> Result<Option<Step>, InputError> {
        let end = self.position;
        let next = match self.buffer[end] {
            byte if byte == self.separator.byte() => {
                self.push_field(end);
                self.position += 1;
                self.state = State::FieldStart;
                return Ok(None);
            }
            b'\n' => end + 1,
            _ => match self.buffer.get(end + 1) {
                Some(b'\n') => end + 2,
                None if !self.finished => return Ok(Some(Step::NeedMore)),
                _ => return self.refuse(Wrong::BareReturn).map(Some),
            },
        };
        self.push_field(end);
        Ok(Some(Step::Row { end, next }))
    }

    fn at_end(&mut self) -> Result<Step, InputError> {
        if !self.finished
            || self.row_is_too_long()
            || matches!(self.state, State::RowStart | State::SkipLine)
        {
            return Ok(Step::NeedMore);
        }
        let end = self.position;
        match self.state {
            State::Quoted => {
                self.position = self.start + self.field.start;
                return self.refuse(Wrong::NeverClosed);
            }
            State::FieldStart => {
                self.begin_field();
                self.push_field(end);
            }
            _ => self.push_field(end),
        }
        Ok(Step::Row { end, next: end })
    }

    fn begin_field(&mut self) {
        let quoted = self.buffer.get(self.position) == Some(&b'"');
        self.field = Field { start: self.position - self.start, end: 0, quoted, escaped: false };
        self.state = if quoted { State::Quoted } else { State::Unquoted };
        self.position += usize::from(quoted);
    }

    /// Begins a row, after the marks before its first quote; false if more bytes are needed.
    #[cold]
    fn begin_row_after_marks(&mut self) -> bool {
        let marks = marks_before_quote(&self.buffer[self.position..]);
        if marks.is_none() && !self.finished {
            return false;
        }
        self.position += marks.unwrap_or(0);
        self.fields.clear();
        self.begin_field();
        true
    }

    fn push_field(&mut self, end: usize) {
        // One field too many is enough to refuse the row.
        if self.fields.len() <= MAX_FIELDS {
            self.fields.push(Field { end: end - self.start, ..self.field });
        }
    }

    fn skip_line(&mut self, bytes: usize) {
        self.position += bytes;
        self.start = self.position;
        self.state = State::RowStart;
        self.line += 1;
    }
}
