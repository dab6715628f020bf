//! Writing one field of CSV.

use super::separator::Separator;

/// Appends a field. It is quoted if it has commas, quotes or newlines (RFC 4180), or white space at
/// its ends, which a reader that trims would otherwise remove.
pub fn write_field(out: &mut Vec<u8>, value: &[u8]) {
    let is_space = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    let special = value.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'));
    if !special && !is_space(value.first()) && !is_space(value.last()) {
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

/// Appends a field as it is in a file with this separator, with its quotes: byte for byte, or in
/// quotes if it has commas that did not separate.
pub fn write_source(out: &mut Vec<u8>, raw: &[u8], separator: Separator) {
    if separator == Separator::Comma || raw.first() == Some(&b'"') || !raw.contains(&b',') {
        out.extend_from_slice(raw);
    } else {
        write_field(out, raw);
    }
}
