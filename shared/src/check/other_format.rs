//! Names the format of a text whose header cannot be read: another separator, or no CSV at all.

use crate::csv::error::InputError;
use crate::csv::header::INPUT_COLUMNS;
use crate::csv::header_cause::other_separator;
use crate::csv::mapping::Mapping;
use crate::problem::Code;

/// Excel's first line that names the separator; with a comma it only says what is so.
pub(super) const SEP_LINE: &str = "sep=";

/// The error of a file's header, or the cause of it that the first bytes of the text show.
pub(super) fn cause_of(error: InputError, head: &[u8], mapping: Option<&Mapping>) -> InputError {
    if matches!(error.code, Code::Empty) {
        return error;
    }
    let by_other = || match mapping {
        None => separated(head),
        Some(mapping) => separated_unlike(head, mapping),
    };
    match kind(head).or_else(by_other) {
        Some(message) => InputError { code: Code::Header, message, ..error },
        None => error,
    }
}

/// What the text is, if it is no table.
fn kind(head: &[u8]) -> Option<String> {
    if head.get(257..262) == Some(b"ustar") {
        return Some(
            "the file is a tar archive, not CSV: drop the CSV file that is in it".to_owned(),
        );
    }
    let text = lossy(head);
    let text = text.trim_start();
    let lower = text.get(..text.len().min(64)).unwrap_or(text).to_ascii_lowercase();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let is_tag = text.starts_with('<') && text[1..].starts_with(|c: char| c.is_ascii_alphabetic());
    let (kind, advice) = if lower.starts_with("{\\rtf") {
        ("an RTF document", "save its table as CSV UTF-8")
    } else if text.starts_with('{') && lines.next().is_some_and(|line| line.starts_with('{')) {
        ("JSON Lines", EXPORT)
    } else if text.starts_with(['{', '[']) {
        ("JSON", EXPORT)
    } else if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        (
            "an HTML page",
            "was a page to sign in, or an error, saved in its place? Fetch the file again",
        )
    } else if lower.starts_with("<?xml") || is_tag {
        (
            "XML",
            "was an error saved in its place? Fetch the file again, or export its rows as CSV UTF-8",
        )
    } else if lower.starts_with("version https://git-lfs") {
        ("a Git LFS pointer", "fetch the file that it points to with git lfs pull, and drop that")
    } else if text.starts_with("ORC") && head.iter().any(|b| *b < b'\t') {
        ("an ORC file", EXPORT)
    } else if lower.starts_with("insert into") || lower.starts_with("create table") {
        ("SQL", EXPORT)
    } else if text.starts_with("<<<<<<< ") {
        ("an unresolved merge of Git", "resolve its conflicts, and drop it again")
    } else if first.starts_with('|') && first.trim_end().ends_with('|') {
        ("a Markdown table", EXPORT)
    } else {
        return None;
    };
    Some(format!("the file is {kind}, not CSV: {advice}"))
}

const EXPORT: &str = "export its rows as CSV UTF-8";

/// Another separator than commas, by Excel's first line or by the names in the header.
fn separated(head: &[u8]) -> Option<String> {
    let text = lossy(head);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut first = lines.next()?;
    if let Some(separator) = sep_line(first) {
        if separator != "," {
            let name = name(separator.chars().next().unwrap_or(' '));
            return Some(format!(
                "the first line is Excel's `sep=`, which names {name} as the separator: save the file with commas, and remove the line"
            ));
        }
        first = lines.next()?;
    }
    let by_commas = known_names(first, ',');
    SEPARATORS.into_iter().find_map(|(separator, name)| {
        let is_named = known_names(first, separator) > by_commas.max(1);
        let is_only = !first.contains(',') && first.contains(separator);
        (is_named || is_only).then(|| {
            format!(
                "the columns are separated by {name}, not by commas: save the file with commas as the separator"
            )
        })
    })
}

/// Another separator than the mapping's.
fn separated_unlike(head: &[u8], mapping: &Mapping) -> Option<String> {
    let text = lossy(head);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next()?;
    let header = if sep_line(first).is_some() { lines.next()? } else { first };
    other_separator(header, mapping)
}

const SEPARATORS: [(char, &str); 6] = [
    (';', "semicolons"),
    ('\t', "tabs"),
    ('|', "vertical bars"),
    ('^', "carets"),
    ('~', "tildes"),
    ('\u{1}', "Ctrl-A (U+0001)"),
];

fn name(separator: char) -> String {
    let found = SEPARATORS.iter().find(|(c, _)| *c == separator);
    found.map_or_else(|| "another character".to_owned(), |(_, name)| (*name).to_owned())
}

/// The separator that Excel's first line names.
pub(super) fn sep_line(line: &str) -> Option<&str> {
    let line = line.trim_matches(['"', ' ', '\r', '\n']);
    let named = line.get(..SEP_LINE.len())?.eq_ignore_ascii_case(SEP_LINE);
    let separator = &line[SEP_LINE.len()..];
    (named && separator.chars().count() <= 1).then_some(separator)
}

/// How many of our columns a header has if this separates it.
fn known_names(line: &str, separator: char) -> usize {
    let names: Vec<String> = line
        .split(separator)
        .map(|name| name.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_lowercase())
        .collect();
    INPUT_COLUMNS.iter().filter(|column| names.iter().any(|name| name == *column)).count()
}

/// The head as text; a character that the head cuts off does not matter.
fn lossy(head: &[u8]) -> String {
    String::from_utf8_lossy(head).into_owned()
}
