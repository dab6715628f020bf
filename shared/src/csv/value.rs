//! The value of a field, as a file writes it.

use super::rules::Rules;
use super::separator::Separator;
use super::text::trim_by;
use super::write::{has_edge_space, needs_quotes};
use std::borrow::Cow;
use std::ops::Range;

/// A field's value without the quotes around it. Within quotes, two stand for one; the value is
/// copied only where that makes a difference.
///
/// ```
/// use moondrop_shared::csv::value::Value;
///
/// let value = Value::of(br#""the ""one"" in quotes""#);
/// assert_eq!(&*value.bytes(), br#"the "one" in quotes"#);
/// assert_eq!(value.written_len(), 23);
/// ```
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a [u8],
    is_quoted: bool,
    /// It has neither commas nor quotes nor line ends, as fields outside of quotes that commas
    /// separate.
    is_plain: bool,
}

impl std::fmt::Debug for Value<'_> {
    /// Content is never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value of {} bytes", self.text.len())
    }
}

impl<'a> Value<'a> {
    /// The value of a well-formed field, with its quotes if it has some.
    #[inline]
    #[must_use]
    pub fn of(raw: &'a [u8]) -> Self {
        match raw {
            [b'"', text @ .., b'"'] => Value { text, is_quoted: true, is_plain: false },
            text => Value { text, is_quoted: false, is_plain: false },
        }
    }

    /// [`Value::of`] a field that this separated from the others.
    #[inline]
    pub(super) fn separated(raw: &'a [u8], separator: Separator) -> Self {
        let value = Value::of(raw);
        Value { is_plain: !value.is_quoted && separator == Separator::Comma, ..value }
    }

    /// The value.
    #[inline]
    #[must_use]
    pub fn bytes(self) -> Cow<'a, [u8]> {
        if !self.is_quoted || memchr::memchr(b'"', self.text).is_none() {
            return Cow::Borrowed(self.text);
        }
        Cow::Owned(without_escapes(self.text))
    }

    /// The value as text; `None` if it is not UTF-8, as no scanned field is.
    #[must_use]
    pub fn text_value(self) -> Option<Cow<'a, str>> {
        let text = simdutf8::basic::from_utf8(self.text).ok()?;
        if !self.is_quoted || memchr::memchr(b'"', self.text).is_none() {
            return Some(Cow::Borrowed(text));
        }
        let mut value = String::with_capacity(text.len());
        for_each_piece(self.text, |range| value.push_str(&text[range]));
        Some(Cow::Owned(value))
    }

    /// The bytes between the quotes, in which two quotes stand for one: the value, if it has none.
    #[inline]
    pub(super) fn text(self) -> &'a [u8] {
        self.text
    }

    /// Without white space at its ends, by the notion of the rules.
    #[inline]
    pub(super) fn trimmed(self, rules: Rules) -> Self {
        Value { text: trim_by(rules, self.text), ..self }
    }

    #[inline]
    fn needs_quotes(self) -> bool {
        if self.is_plain { has_edge_space(self.text) } else { needs_quotes(self.text) }
    }

    /// Whether [`Value::write`] appends just this field, of which it is the value, trimmed or not.
    #[inline]
    pub(super) fn is_written_as(self, raw: &[u8]) -> bool {
        let unchanged = self.text.len() + if self.is_quoted { 2 } else { 0 };
        raw.len() == unchanged && self.is_quoted == self.needs_quotes()
    }

    /// How many bytes [`Value::write`] appends.
    #[inline]
    #[must_use]
    pub fn written_len(self) -> usize {
        if self.needs_quotes() {
            // In quotes they stand in pairs already; outside of quotes there are none.
            self.text.len() + 2
        } else {
            self.text.len()
        }
    }

    /// Appends the value as a field of a file that commas separate: see [`super::write::write_field`].
    #[inline]
    pub fn write(self, out: &mut Vec<u8>) {
        if self.needs_quotes() {
            out.push(b'"');
            out.extend_from_slice(self.text);
            out.push(b'"');
        } else {
            out.extend_from_slice(self.text);
        }
    }
}

fn without_escapes(inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(inner.len());
    for_each_piece(inner, |range| value.extend_from_slice(&inner[range]));
    value
}

/// Calls `each` with the pieces of which the value consists: what stands up to and with the first of
/// two quotes, or to the end.
#[inline]
fn for_each_piece(inner: &[u8], mut each: impl FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(quote) = memchr::memchr(b'"', &inner[from..]) {
        each(from..from + quote + 1);
        // Inside a quoted field quotes come in pairs; a single one would have ended the field.
        from = (from + quote + 2).min(inner.len());
    }
    each(from..inner.len());
}
