//! Reads a row byte by byte. It alone knows what is malformed: the index only goes ahead of it.

use crate::csv::cause::Wrong;
use crate::csv::error::InputError;
use crate::csv::fields::Field;
use crate::csv::rules::Rules;
use crate::csv::separator::Separator;
use crate::csv::text::marks_before_quote;

/// The longest row, in bytes, newlines included: 16 MiB, half of what a part holds by default. It
/// bounds memory for any file. Our limit, not the API's.
pub const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

/// The most fields of a row: the longest header has no room for more, and each field takes memory.
pub const MAX_FIELDS: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    RowStart,
    FieldStart,
    Unquoted,
    Quoted,
    /// The last byte was a quote inside a quoted field: the end of the field, or the first of two.
    QuoteSeen,
    /// Skips the rest of the line; see [`super::Rows::resync`].
    SkipLine,
}

pub(super) enum Step {
    Row { end: usize, next: usize },
    NeedMore,
}

/// A row whose fields are in [`Machine::fields`]; places are in the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    /// After its last field.
    pub(super) end: usize,
    /// After its line end.
    pub(super) next: usize,
    /// The line feeds in it, with the one that ends it.
    pub(super) newlines: u64,
    /// Whether its text was checked already.
    pub(super) is_clean: bool,
}

/// A row that was found in a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) line: u64,
    pub(super) row: Scanned,
}

/// Where the reading of a buffer is, and what of its current row is known. The buffer may be
/// exchanged for another that has the same bytes from `start` on: see [`Machine::rebase`].
#[derive(Debug)]
pub(super) struct Machine {
    /// File offset of the buffer's first byte.
    pub(super) base: u64,
    /// Where the current row begins in the buffer.
    pub(super) start: usize,
    /// The next byte to read.
    pub(super) position: usize,
    pub(super) line: u64,
    pub(super) state: State,
    pub(super) fields: Vec<Field>,
    /// Where the current field begins, from the row's first byte on.
    pub(super) field: usize,
    pub(super) rules: Rules,
    pub(super) separator: Separator,
    pub(super) skip_spaces: bool,
    pub(super) saw_spaces: bool,
    pub(super) finished: bool,
    /// See [`super::Rows::keeps_rows`].
    pub(super) keeps_rows: bool,
    pub(super) max_row: usize,
    /// Where the last returned or refused row begins in the buffer, and its line.
    pub(super) last: (usize, u64),
}

impl Machine {
    pub(super) fn new(offset: u64, line: u64, skip_spaces: bool) -> Self {
        Machine {
            base: offset,
            start: 0,
            position: 0,
            line,
            state: State::RowStart,
            fields: Vec::new(),
            field: 0,
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

    pub(super) fn row_is_too_long(&self) -> bool {
        self.position - self.start > self.max_row
    }

    /// The buffer is exchanged for one that begins `bytes` later, at most where the row begins.
    pub(super) fn rebase(&mut self, bytes: usize) {
        self.base += bytes as u64;
        self.start -= bytes;
        self.position -= bytes;
        self.last.0 = self.last.0.saturating_sub(bytes);
    }

    pub(super) fn resync(&mut self) {
        let (row, line) = self.last;
        (self.start, self.position, self.line, self.state) = (row, row, line, State::SkipLine);
        self.keeps_rows = false;
    }

    /// The next whole row of the buffer.
    pub(super) fn next_row(&mut self, buffer: &[u8]) -> Result<Option<Found>, InputError> {
        let step = self.scan(buffer);
        self.last = (self.start, self.line);
        let (end, next) = match step? {
            Step::NeedMore if self.row_is_too_long() => return Err(self.too_long(buffer)),
            Step::NeedMore => return Ok(None),
            Step::Row { end, next } => (end, next),
        };
        if self.fields.len() > MAX_FIELDS {
            return Err(self.too_many_fields());
        }
        let newlines = memchr::memchr_iter(b'\n', &buffer[self.start..next]).count() as u64;
        self.take(buffer, Scanned { end, next, newlines, is_clean: false }).map(Some)
    }

    /// Takes a row that was scanned from `start` on, whatever its text is.
    #[inline]
    pub(super) fn take(&mut self, buffer: &[u8], row: Scanned) -> Result<Found, InputError> {
        let (start, line) = (self.start, self.line);
        let text = if row.is_clean { Ok(()) } else { self.check_text(buffer, row) };
        self.last = (start, line);
        self.line += row.newlines;
        (self.start, self.position, self.state) = (row.next, row.next, State::RowStart);
        text.map(|()| Found { start, line, row })
    }

    fn scan(&mut self, buffer: &[u8]) -> Result<Step, InputError> {
        let separator = self.separator.byte();
        loop {
            // Nothing after the longest row is read: the error must not depend on how the bytes
            // were cut into pieces.
            let most = self.start.saturating_add(self.max_row).saturating_add(1);
            let window = &buffer[..buffer.len().min(most)];
            let Some(&byte) = window.get(self.position) else { return self.at_end(buffer) };
            match self.state {
                State::RowStart => match byte {
                    b'\n' => self.skip_line(1),
                    b'\r' => match buffer.get(self.position + 1) {
                        Some(b'\n') => self.skip_line(2),
                        None if !self.finished => return Ok(Step::NeedMore),
                        _ => return self.refuse(buffer, Wrong::BareReturn),
                    },
                    // A byte-order mark or a zero-width space, maybe.
                    0xef | 0xe2 if self.rules >= Rules::Two => {
                        if !self.begin_row_after_marks(buffer) {
                            return Ok(Step::NeedMore);
                        }
                    }
                    _ => {
                        self.fields.clear();
                        self.begin_field(buffer);
                    }
                },
                State::FieldStart => {
                    if self.skip_spaces && byte != separator && (byte == b' ' || byte == b'\t') {
                        self.saw_spaces = true;
                        self.position += 1;
                    } else {
                        self.begin_field(buffer);
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
                        return self.refuse(buffer, Wrong::StrayQuote);
                    }
                    if let Some(step) = self.end_field(buffer)? {
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
                        self.position += 1;
                        self.state = State::Quoted;
                    }
                    _ if byte == separator || matches!(byte, b'\n' | b'\r') => {
                        if let Some(step) = self.end_field(buffer)? {
                            return Ok(step);
                        }
                    }
                    _ => return self.refuse(buffer, Wrong::TextAfterQuote),
                },
                State::SkipLine => match memchr::memchr(b'\n', &buffer[self.position..]) {
                    Some(found) => self.skip_line(found + 1),
                    None => (self.start, self.position) = (buffer.len(), buffer.len()),
                },
            }
        }
    }

    /// At a comma, a newline or a carriage return: ends the field, and at a newline the row.
    fn end_field(&mut self, buffer: &[u8]) -> Result<Option<Step>, InputError> {
        let end = self.position;
        let next = match buffer[end] {
            byte if byte == self.separator.byte() => {
                self.push_field(end);
                self.position += 1;
                self.state = State::FieldStart;
                return Ok(None);
            }
            b'\n' => end + 1,
            _ => match buffer.get(end + 1) {
                Some(b'\n') => end + 2,
                None if !self.finished => return Ok(Some(Step::NeedMore)),
                _ => return self.refuse(buffer, Wrong::BareReturn).map(Some),
            },
        };
        self.push_field(end);
        Ok(Some(Step::Row { end, next }))
    }

    fn at_end(&mut self, buffer: &[u8]) -> Result<Step, InputError> {
        if !self.finished
            || self.row_is_too_long()
            || matches!(self.state, State::RowStart | State::SkipLine)
        {
            return Ok(Step::NeedMore);
        }
        let end = self.position;
        match self.state {
            State::Quoted => {
                self.position = self.start + self.field;
                return self.refuse(buffer, Wrong::NeverClosed);
            }
            State::FieldStart => {
                self.begin_field(buffer);
                self.push_field(end);
            }
            _ => self.push_field(end),
        }
        Ok(Step::Row { end, next: end })
    }

    fn begin_field(&mut self, buffer: &[u8]) {
        let is_quoted = buffer.get(self.position) == Some(&b'"');
        self.field = self.position - self.start;
        self.state = if is_quoted { State::Quoted } else { State::Unquoted };
        self.position += usize::from(is_quoted);
    }

    /// Begins a row, after the marks before its first quote; false if more bytes are needed.
    #[cold]
    fn begin_row_after_marks(&mut self, buffer: &[u8]) -> bool {
        let marks = marks_before_quote(&buffer[self.position..]);
        if marks.is_none() && !self.finished {
            return false;
        }
        self.position += marks.unwrap_or(0);
        self.fields.clear();
        self.begin_field(buffer);
        true
    }

    /// Where a field that begins at `begin` after a separator begins without its spaces.
    pub(super) fn after_spaces(&mut self, buffer: &[u8], begin: usize, end: usize) -> usize {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let spaces = buffer[begin..end].iter().take_while(is_space).count();
        self.saw_spaces |= spaces > 0;
        begin + spaces
    }

    fn push_field(&mut self, end: usize) {
        // One field too many is enough to refuse the row.
        if self.fields.len() <= MAX_FIELDS {
            self.fields.push(Field::new(self.field, end - self.start));
        }
    }

    pub(super) fn skip_line(&mut self, bytes: usize) {
        self.position += bytes;
        self.start = self.position;
        self.state = State::RowStart;
        self.line += 1;
    }
}
