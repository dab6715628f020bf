//! A scanned row and its fields.

use super::separator::Separator;
use super::value::Value;
use crate::csv::error::InputError;
use crate::problem::Code;
use std::borrow::Cow;
use std::ops::Range;

/// A field's place in its row, in bytes from the row's start, quotes included. A row has less than
/// 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    start: u32,
    end: u32,
}

impl Field {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Field { start: start as u32, end: end as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A row of the file, borrowed from the scanner.
#[derive(Debug)]
pub struct Row<'a> {
    /// The line where it begins, counted from 1.
    pub line: u64,
    /// The byte offset where it begins, counted from the file's first byte (a byte-order mark
    /// included).
    pub offset: u64,
    /// The byte offset after its newline.
    pub end: u64,
    /// The newlines in it, with the one that ends it.
    pub(super) newlines: u64,
    pub(super) bytes: &'a [u8],
    pub(super) fields: &'a [Field],
    pub(super) separator: Separator,
}

impl<'a> Row<'a> {
    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no field; the scanner never returns such a row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// How many fields have spaces after their comma, which are not part of them. A scanner that does
    /// not skip spaces finds none.
    #[must_use]
    pub fn spaced_fields(&self) -> usize {
        let is_spaced = |pair: &&[Field]| pair[1].start > pair[0].end + 1;
        self.fields.windows(2).filter(is_spaced).count()
    }

    /// Whether a line end follows it; the last row of a file may have none.
    #[must_use]
    pub fn has_line_end(&self) -> bool {
        self.end - self.offset > self.bytes.len() as u64
    }

    /// The field as it is in the file, with its quotes; empty if there is no such field.
    #[inline]
    #[must_use]
    pub fn raw(&self, index: usize) -> &'a [u8] {
        self.fields.get(index).map_or(&[], |field| &self.bytes[field.range()])
    }

    /// The field's value as the file writes it; empty if there is no such field.
    #[inline]
    #[must_use]
    pub fn field(&self, index: usize) -> Value<'a> {
        Value::separated(self.raw(index), self.separator)
    }

    /// The field's value: without the quotes around it, and with `""` read as `"`; empty if there
    /// is no such field.
    #[inline]
    #[must_use]
    pub fn value(&self, index: usize) -> Cow<'a, [u8]> {
        self.field(index).bytes()
    }

    /// An error at the row's beginning.
    pub(crate) fn error(&self, code: Code, message: String) -> InputError {
        InputError { code, line: self.line, offset: self.offset, message }
    }

    /// The bytes before the first field: marks that stand before its quote.
    pub(crate) fn mark(&self) -> &'a [u8] {
        &self.bytes[..self.fields.first().map_or(0, |field| field.range().start)]
    }

    /// Whether a field is in quotes and has a newline in it.
    pub(crate) fn spans_lines(&self) -> bool {
        self.newlines > u64::from(self.has_line_end())
    }

    /// Whether a field is in quotes.
    pub(crate) fn is_quoted(&self, index: usize) -> bool {
        self.raw(index).first() == Some(&b'"')
    }

    /// The whole lines of the row that a field stands on, and the field's place in them.
    pub(crate) fn lines_of(&self, index: usize) -> (&'a [u8], Range<usize>) {
        let Range { start, end } = self.fields.get(index).map_or(0..0, |field| field.range());
        let first = memchr::memrchr(b'\n', &self.bytes[..start]).map_or(0, |at| at + 1);
        let last =
            memchr::memchr(b'\n', &self.bytes[end..]).map_or(self.bytes.len(), |at| end + at);
        (&self.bytes[first..last], start - first..end - first)
    }

    /// The line where a field begins.
    pub(crate) fn line_of(&self, index: usize) -> u64 {
        let start = self.fields.get(index).map_or(0, |field| field.range().start);
        self.line + memchr::memchr_iter(b'\n', &self.bytes[..start]).count() as u64
    }
}
