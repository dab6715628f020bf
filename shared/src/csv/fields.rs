//! A scanned row and its fields.

use crate::csv::error::InputError;
use crate::problem::Code;
use std::borrow::Cow;
use std::ops::Range;

/// A field's range in its row, in bytes from the row's start, quotes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
    pub(super) escaped: bool,
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
        self.fields.windows(2).filter(|pair| pair[1].start > pair[0].end + 1).count()
    }

    /// Whether a line end follows it; the last row of a file may have none.
    #[must_use]
    pub fn has_line_end(&self) -> bool {
        self.end - self.offset > self.bytes.len() as u64
    }

    /// The field as it is in the file, with its quotes; empty if there is no such field.
    #[must_use]
    pub fn raw(&self, index: usize) -> &'a [u8] {
        self.fields.get(index).map_or(&[], |f| &self.bytes[f.start..f.end])
    }

    /// The field's value: without the quotes around it, and with `""` read as `"`; empty if there
    /// is no such field.
    #[must_use]
    pub fn value(&self, index: usize) -> Cow<'a, [u8]> {
        let Some(f) = self.fields.get(index) else { return Cow::Borrowed(&[]) };
        if !f.quoted {
            return Cow::Borrowed(&self.bytes[f.start..f.end]);
        }
        let inner = &self.bytes[f.start + 1..f.end - 1];
        if !f.escaped {
            return Cow::Borrowed(inner);
        }
        Cow::Owned(without_escapes(inner))
    }

    /// An error at the row's beginning.
    pub(crate) fn error(&self, code: Code, message: String) -> InputError {
        InputError { code, line: self.line, offset: self.offset, message }
    }

    /// The bytes before the first field: marks that stand before its quote.
    pub(crate) fn mark(&self) -> &'a [u8] {
        &self.bytes[..self.fields.first().map_or(0, |f| f.start)]
    }

    /// Whether a field is in quotes and has a newline in it.
    pub(crate) fn spans_lines(&self) -> bool {
        self.newlines > u64::from(self.has_line_end())
    }

    /// Whether a field is in quotes.
    pub(crate) fn is_quoted(&self, index: usize) -> bool {
        self.fields.get(index).is_some_and(|f| f.quoted)
    }

    /// The whole lines of the row that a field stands on, and the field's place in them.
    pub(crate) fn lines_of(&self, index: usize) -> (&'a [u8], Range<usize>) {
        let (start, end) = self.fields.get(index).map_or((0, 0), |f| (f.start, f.end));
        let first = memchr::memrchr(b'\n', &self.bytes[..start]).map_or(0, |at| at + 1);
        let last =
            memchr::memchr(b'\n', &self.bytes[end..]).map_or(self.bytes.len(), |at| end + at);
        (&self.bytes[first..last], start - first..end - first)
    }

    /// The line where a field begins.
    pub(crate) fn line_of(&self, index: usize) -> u64 {
        let start = self.fields.get(index).map_or(0, |f| f.start);
        self.line + memchr::memchr_iter(b'\n', &self.bytes[..start]).count() as u64
    }
}

/// The value of a field as it is in a file, with its quotes.
pub(super) fn unquoted(raw: &[u8]) -> Cow<'_, [u8]> {
    match raw {
        [b'"', inner @ .., b'"'] => Cow::Owned(without_escapes(inner)),
        plain => Cow::Borrowed(plain),
    }
}

fn without_escapes(inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        value.extend_from_slice(&rest[..=quote]);
        // Inside a quoted field quotes come in pairs; a single one would have ended the field.
        rest = rest.get(quote + 2..).unwrap_or_default();
    }
    value.extend_from_slice(rest);
    value
}
