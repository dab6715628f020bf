//! Why a row cannot be read: the cause and what to do, rather than the byte where the scanner
//! noticed. Nothing here is reached by a well-formed row.

use super::fields::Row;
use super::separator::Separator;
use super::text::{code_point, first_char, is_invisible};

/// How many bytes after the error a cause may depend on: the scanner waits for them, so that the
/// words do not hang on how the bytes came in.
pub(super) const LOOKAHEAD: usize = 4;

/// What the scanner finds wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A quote in a field that does not begin with one.
    StrayQuote,
    /// Text after the quote that closes a field.
    TextAfterQuote,
    /// A quote that the file's end leaves open.
    NeverClosed,
    /// A carriage return without a line feed.
    BareReturn,
}

impl Wrong {
    /// What the first rules say of it.
    pub(super) fn first_words(self) -> &'static str {
        match self {
            Wrong::StrayQuote => "a quote stands inside a field that does not begin with one",
            Wrong::TextAfterQuote => "text follows a closing quote",
            Wrong::NeverClosed => "a quote is opened and never closed: is the file cut short?",
            Wrong::BareReturn => "a carriage return without a line feed, outside of quotes",
        }
    }
}

/// Where the cause stands, counted from the row's first byte, and what it is.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) at: usize,
    pub(super) message: String,
    /// Whether the row ends with its line all the same, as every reader takes it.
    pub(super) keeps_rows: bool,
}

impl Cause {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Cause { at, message: message.into(), keeps_rows: false }
    }
}

/// A row up to the byte that the scanner refuses, and [`LOOKAHEAD`] bytes from there on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    /// From the row's first byte to the end of what may be looked at.
    pub(super) row: &'a [u8],
    /// The refused byte.
    pub(super) at: usize,
    /// The row's line.
    pub(super) line: u64,
    /// Where the field begins that is read there.
    pub(super) field: usize,
    /// What separates the fields.
    pub(super) separator: Separator,
}

const TWO_QUOTES: &str = "write two quotes (\"\") for one within a quoted field";

impl Refused<'_> {
    pub(super) fn cause(&self, wrong: Wrong) -> Cause {
        match wrong {
            Wrong::StrayQuote => self.stray_quote(),
            Wrong::TextAfterQuote => self.text_after_quote(),
            Wrong::NeverClosed => self.never_closed(),
            Wrong::BareReturn => self.bare_return(),
        }
    }

    fn stray_quote(&self) -> Cause {
        let before = &self.row[self.field..self.at];
        if let Some(cause) = self.backslash(self.at + 1) {
            return cause;
        }
        let text = std::str::from_utf8(before).unwrap_or("x");
        let message = match text.chars().last() {
            Some(' ' | '\t') if text.trim_matches([' ', '\t']).is_empty() => format!(
                "{} stands before a quote: remove it, or write one after every {} of the header, too",
                unseen(text),
                self.separator.name()
            ),
            Some(c) if text.chars().all(is_unseen) => format!(
                "the invisible character {} stands before a quote: remove it",
                code_point(c)
            ),
            _ => "a quote stands within a field that does not begin with one: put the field in quotes, and write two quotes (\"\") for one within".to_owned(),
        };
        let is_text = !text.chars().all(|c| c.is_whitespace() || is_unseen(c));
        let keeps_rows = is_text && newlines(&self.row[..self.at]) == 0;
        Cause { keeps_rows, ..Cause::new(self.at, message) }
    }

    fn text_after_quote(&self) -> Cause {
        if let Some(cause) = self.backslash(self.at) {
            return cause;
        }
        let next = first_char(&self.row[self.at..]);
        let follows = match next {
            Some(' ') => "a space".to_owned(),
            Some('\t') => "a tab".to_owned(),
            Some(';') => "a semicolon".to_owned(),
            Some('|') => "a vertical bar".to_owned(),
            Some(c) if is_unseen(c) => format!("the invisible character {}", code_point(c)),
            _ => "text".to_owned(),
        };
        let lines = newlines(&self.row[self.field..self.at]);
        if lines > 0 {
            let closed = self.line + newlines(&self.row[..self.at]);
            let message = format!(
                "a quote is opened here, and the next quote is on line {closed}, where {follows} follows it: close the quote where its field ends, and {TWO_QUOTES}"
            );
            return Cause::new(self.field, message);
        }
        let message = match next {
            Some(' ' | '\t') => format!("{follows} stands after a closing quote: remove it"),
            Some(';' | '|') => {
                format!(
                    "{follows} follows a closing quote: separate the columns with {}",
                    self.separator.plural()
                )
            }
            Some(c) if is_unseen(c) => format!("{follows} stands after a closing quote: remove it"),
            _ => format!("text follows a closing quote: {TWO_QUOTES}"),
        };
        Cause::new(self.at, message)
    }

    fn never_closed(&self) -> Cause {
        let opened = &self.row[self.field..];
        let line_end = memchr::memchr(b'\n', opened).unwrap_or(opened.len());
        self.backslash(self.field + line_end).unwrap_or_else(|| Cause::new(self.field, "a quote is opened here and never closed: close it where its field ends, or write the file again if it is cut short"))
    }

    fn bare_return(&self) -> Cause {
        let after = &self.row[self.at + 1..];
        let is_first_line = self.line == 1 && newlines(&self.row[..self.at]) == 0;
        let message = if after.starts_with(b"\r\n") {
            "the line ends with two carriage returns and a line feed: the program that wrote the file doubled its line ends; save it with LF or CR LF (in Python, open it with newline=\"\")"
        } else if is_first_line {
            "the line ends with a carriage return alone, as on old Macs: save the file with line ends LF or CR LF"
        } else if self.at == 0 {
            "the line begins with a carriage return: save the file with line ends LF or CR LF"
        } else {
            "a carriage return without a line feed, outside of quotes: put the field in quotes, or end the line with LF or CR LF"
        };
        Cause::new(self.at, message)
    }

    /// A backslash before a quote: the row's first one if the field begins on its line, or else one
    /// before the last quote up to `end`.
    fn backslash(&self, end: usize) -> Option<Cause> {
        let row = &self.row[..end.min(self.row.len())];
        let (first, start) = (memchr::memmem::find(row, b"\\\"")?, self.field);
        let is_near = newlines(&row[first.min(start)..first.max(start)]) == 0;
        let at = if is_near { first } else { row.strip_suffix(b"\\\"")?.len() };
        let message =
            format!("a backslash stands before a quote: {TWO_QUOTES}, without a backslash");
        Some(Cause::new(at, message))
    }
}

/// Why a row of another number of fields than the header's is refused.
pub(super) fn fields(row: &Row<'_>, columns: usize, separator: Separator) -> String {
    let (one, many) = (separator.name(), separator.plural());
    let (found, bytes) = (row.len(), row.bytes);
    let count = if found == 1 { "1 field".to_owned() } else { format!("{found} fields") };
    let says = format!("the row has {count}, the header {columns}");
    let last_line = row.line + newlines(bytes);
    if last_line > row.line {
        return format!(
            "{says}: it begins here and ends on line {last_line}; close each quote where its field ends, and put a field that has {many} in quotes"
        );
    }
    if memchr::memmem::find(bytes, &[b'\\', separator.byte()]).is_some() {
        return format!(
            "{says}: a backslash stands before a {one}; put the field in quotes, without a backslash"
        );
    }
    if found > columns {
        let surplus = (columns..found).all(|i| row.raw(i).is_empty());
        return if surplus && found == columns + 1 {
            format!("{says}: the last field is empty; remove the {one} at the end of the row")
        } else if surplus {
            format!(
                "{says}: the last {} fields are empty; remove the {many} at the end of the row",
                found - columns
            )
        } else {
            format!("{says}: put a field that has {many} in quotes")
        };
    }
    let others = [(b';', "semicolons"), (b'\t', "tabs"), (b'|', "vertical bars"), (b',', "commas")];
    let other = others
        .into_iter()
        .filter(|(byte, _)| *byte != separator.byte())
        .find(|(byte, _)| memchr::memchr_iter(*byte, bytes).count() + 1 >= columns);
    if let Some((_, other)) = other.filter(|_| found == 1) {
        return format!("{says}: it is separated by {other}; separate it by {many}");
    }
    if !row.has_line_end() {
        return format!(
            "{says}: it is the last row and has no line end; is the file cut short? Write it again"
        );
    }
    if found == 1 {
        return format!(
            "{says}: if it continues the text of the line above, put that text in quotes"
        );
    }
    format!("{says}: write a {one} for each field, also for an empty one")
}

/// Why bytes are not UTF-8.
pub(super) fn not_utf8(row: &[u8], error: std::str::Utf8Error, is_last: bool) -> &'static str {
    let rest = &row[error.valid_up_to()..];
    match (error.error_len(), rest) {
        (None, _) if is_last => {
            "the file ends within a character: write it again if it is cut short, or save it as CSV UTF-8"
        }
        (None, [_, _, ..]) => {
            "a character of UTF-8 is cut off: cut no text within a character, and save the file as CSV UTF-8"
        }
        (_, [0xed, 0xa0..=0xbf, ..]) => {
            "half of a UTF-16 surrogate pair, which is not UTF-8: save the file as CSV UTF-8"
        }
        _ => {
            "bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8"
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn is_unseen(c: char) -> bool {
    is_invisible(c) || (c.is_whitespace() && !c.is_ascii())
}

fn unseen(text: &str) -> &'static str {
    if text.contains('\t') { "a tab" } else { "a space" }
}
