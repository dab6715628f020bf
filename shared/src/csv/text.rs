//! White space, and characters that cannot be seen.

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// Whether a character marks the edge of a text and is not part of it: the byte-order mark and the
/// zero-width space.
#[must_use]
pub fn is_mark(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{200b}')
}

/// Whether a character cannot be seen, by Unicode's property `Default_Ignorable_Code_Point`.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// The text without white space and marks at its ends.
///
/// ```
/// use moondrop_shared::csv::text::trim;
///
/// assert_eq!(trim("\u{feff} a\u{3000}b\u{a0}\u{200b}"), "a\u{3000}b");
/// ```
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_mark(c))
}

/// [`trim`] for bytes. What is not UTF-8 loses its ASCII white space.
#[must_use]
pub(crate) fn trim_bytes(bytes: &[u8]) -> &[u8] {
    // Most values are of this kind.
    if let (Some(first), Some(last)) = (bytes.first(), bytes.last())
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return bytes;
    }
    std::str::from_utf8(bytes).map_or_else(|_| bytes.trim_ascii(), |text| trim(text).as_bytes())
}

/// Whether what [`trim`] takes away has a mark.
#[must_use]
pub(crate) fn has_edge_mark(text: &str) -> bool {
    let inner = trim(text);
    let before = inner.as_ptr() as usize - text.as_ptr() as usize;
    let edges = [&text[..before], &text[before + inner.len()..]];
    edges.iter().any(|edge| edge.contains(is_mark))
}

/// The text without what cannot be seen; `None` if all of it can be seen.
#[must_use]
pub(crate) fn visible(text: &str) -> Option<String> {
    if text.is_ascii() || !text.contains(is_invisible) {
        return None;
    }
    Some(text.chars().filter(|c| !is_invisible(*c)).collect())
}

/// A character's name, such as `U+200B`.
#[must_use]
pub(crate) fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// The length of the marks that `bytes` begin with, if a quote follows them: they stand before a
/// record and are not part of it. `None` if more bytes are needed to see that.
#[must_use]
pub(super) fn marks_before_quote(bytes: &[u8]) -> Option<usize> {
    const MARKS: [&[u8]; 2] = ["\u{feff}".as_bytes(), "\u{200b}".as_bytes()];
    /// More than any concatenation leaves; it bounds what is read ahead.
    const MOST: usize = 8;
    let mut rest = bytes;
    for _ in 0..=MOST {
        if let Some(after) = MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            rest = after;
        } else if MARKS.iter().any(|mark| mark.starts_with(rest)) {
            return None;
        } else {
            break;
        }
    }
    Some(if rest.first() == Some(&b'"') { bytes.len() - rest.len() } else { 0 })
}
