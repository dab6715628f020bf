//! Writing one field of CSV.

use super::separator::Separator;

/// Appends a field. It is quoted if it has commas, quotes or newlines (RFC 4180), or white space at
/// its ends, which a reader that trims would otherwise remove.
#[inline]
pub fn write_field(out: &mut Vec<u8>, value: &[u8]) {
    if !needs_quotes(value) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    let mut rest = value;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=quote]);
        out.push(b'"');
        rest = &rest[quote + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// How many bytes [`write_field`] appends.
#[inline]
#[must_use]
pub fn field_len(value: &[u8]) -> usize {
    if needs_quotes(value) {
        value.len() + 2 + memchr::memchr_iter(b'"', value).count()
    } else {
        value.len()
    }
}

#[inline]
pub(super) fn needs_quotes(value: &[u8]) -> bool {
    has_edge_space(value)
        || memchr::memchr3(b',', b'"', b'\n', value).is_some()
        || memchr::memchr(b'\r', value).is_some()
}

#[inline]
pub(super) fn has_edge_space(value: &[u8]) -> bool {
    let is_space = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

/// Appends a field as it is in a file with this separator, with its quotes: byte for byte, or in
/// quotes if it has commas that did not separate.
pub fn write_source(out: &mut Vec<u8>, raw: &[u8], separator: Separator) {
    if separator == Separator::Comma || raw.first() == Some(&b'"') || !raw.contains(&b',') {
        out.extend_from_slice(raw);
    } else {
        write_field(out, raw);
    }
}
