//! The scanner's errors: what it refuses, where, and in which words.

use super::machine::{MAX_FIELDS, Machine, Scanned, State, Step};
use crate::csv::cause::{self, LOOKAHEAD, Refused, Wrong};
use crate::csv::error::InputError;
use crate::csv::rules::Rules;
use crate::problem::Code;

impl Machine {
    /// A row must be UTF-8 without NUL.
    pub(super) fn check_text(&self, buffer: &[u8], scanned: Scanned) -> Result<(), InputError> {
        let Scanned { end, next, .. } = scanned;
        let start = self.start;
        let row = &buffer[start..end];
        if let Some(nul) = memchr::memchr(0, row) {
            let what = match self.rules {
                Rules::One => "a NUL byte: the file is not plain text",
                Rules::Two => "a NUL byte, which no text has: save the file as CSV UTF-8",
            };
            return Err(self.error_at(&row[..nul], Code::Encoding, what));
        }
        std::str::from_utf8(row).map(drop).map_err(|e| {
            let what = match self.rules {
                Rules::One => "bytes that are not UTF-8",
                Rules::Two => cause::not_utf8(row, e, end == next),
            };
            self.error_at(&row[..e.valid_up_to()], Code::Encoding, what)
        })
    }

    /// Refuses the byte at `position` with the words of the first rules, or with its cause.
    #[cold]
    pub(super) fn refuse(&mut self, buffer: &[u8], wrong: Wrong) -> Result<Step, InputError> {
        if self.rules == Rules::One {
            return Err(self.error_at(
                &buffer[self.start..self.position],
                Code::Quote,
                wrong.first_words(),
            ));
        }
        let end = self.position + 1 + LOOKAHEAD;
        if buffer.len() < end && !self.finished {
            return Ok(Step::NeedMore);
        }
        // Of a quote that is never closed, what follows is all the field's.
        let end = if matches!(self.state, State::Quoted) { usize::MAX } else { end };
        let row = &buffer[self.start..end.min(buffer.len())];
        let refused = Refused {
            row,
            at: self.position - self.start,
            line: self.line,
            field: self.field,
            separator: self.separator,
        };
        let cause = refused.cause(wrong);
        self.keeps_rows = cause.keeps_rows;
        Err(self.error_at(&row[..cause.at], Code::Quote, &cause.message))
    }

    #[cold]
    pub(super) fn too_many_fields(&self) -> InputError {
        let what = match self.rules {
            Rules::One => String::new(),
            Rules::Two => format!(
                ", which is the most: put a field that has {} in quotes",
                self.separator.plural()
            ),
        };
        let message = format!("the row has more than {MAX_FIELDS} fields{what}");
        let offset = self.base + self.start as u64;
        InputError { code: Code::Limit, line: self.line, offset, message }
    }

    #[cold]
    pub(super) fn too_long(&self, buffer: &[u8]) -> InputError {
        let (most, is_quoted) = (self.max_row, matches!(self.state, State::Quoted));
        let opened = self.error_at(&buffer[self.start..][..self.field], Code::Limit, "").line;
        let (line, message) = match self.rules {
            Rules::One if is_quoted => {
                let quote = format!("; a quote opened on line {opened} is not closed by then");
                (self.line, format!("the row is longer than {most} bytes{quote}"))
            }
            Rules::One => (self.line, format!("the row is longer than {most} bytes")),
            Rules::Two if is_quoted => (
                opened,
                format!(
                    "a quote is opened here, and its row is longer than {most} bytes, which is the most: close the quote where its field ends"
                ),
            ),
            Rules::Two => (
                self.line,
                format!(
                    "the row is longer than {most} bytes, which is the most: shorten it, or end it with a line end"
                ),
            ),
        };
        InputError { code: Code::Limit, line, offset: self.base + self.start as u64, message }
    }

    /// An error after these bytes of the row: its line, the row's offset, and the field's number in
    /// the message.
    fn error_at(&self, before: &[u8], code: Code, what: &str) -> InputError {
        let line = self.line + memchr::memchr_iter(b'\n', before).count() as u64;
        let column = self.fields.iter().take_while(|f| f.range().end < before.len()).count() + 1;
        InputError {
            code,
            line,
            offset: self.base + self.start as u64,
            message: format!("column {column}: {what}"),
        }
    }
}
