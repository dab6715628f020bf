//! White space, and characters that cannot be seen.

use super::rules::Rules;
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
#[inline]
#[must_use]
pub(crate) fn trim_bytes(bytes: &[u8]) -> &[u8] {
    // Most values are of this kind.
    if let (Some(first), Some(last)) = (bytes.first(), bytes.last())
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return bytes;
    }
    trim_other(bytes)
}

fn trim_other(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.trim_ascii(), |text| trim(text).as_bytes())
}

/// A value without white space at its ends, by the notion of the rules.
#[inline]
#[must_use]
pub(super) fn trim_by(rules: Rules, value: &[u8]) -> &[u8] {
    match rules {
        Rules::One => value.trim_ascii(),
        Rules::Two => trim_bytes(value),
    }
}

/// Whether a text has only white space. What is not UTF-8 is not blank.
#[inline]
#[must_use]
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    // A look at the first byte, or at the first character, is enough for most texts.
    bytes.first().is_none_or(|byte| may_begin_space(*byte))
        && first_char(bytes).is_none_or(char::is_whitespace)
        && std::str::from_utf8(bytes).is_ok_and(|text| text.trim().is_empty())
}

/// Whether a character of white space may begin with this byte. Unicode's property `White_Space`
/// never changes.
#[inline]
fn may_begin_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xc2 | 0xe1..=0xe3)
}

/// The character that `bytes` begin with; `None` if they begin with none.
#[must_use]
pub(crate) fn first_char(bytes: &[u8]) -> Option<char> {
    // No character has more.
    let bytes = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid.chars().next()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_of_any_kind_is_blank_and_nothing_else_is() {
        for c in (char::MIN..=char::MAX).map(String::from) {
            let is_space = c.trim().is_empty();
            assert_eq!(is_blank(c.as_bytes()), is_space, "{c:?}");
            assert!(!is_blank(format!("{c}x").as_bytes()), "{c:?}");
            assert_eq!(is_blank(format!(" {c}\n").as_bytes()), is_space, "{c:?}");
        }
        assert!(is_blank(b""));
        assert!(!is_blank(b"\xe2\x80"), "not UTF-8");
    }
}
