//! What is unusual about a file that is accepted: what was skipped or trimmed, and what may be a
//! mistake. A notice rejects nothing.

use crate::csv::Row;
use crate::csv::header::Header;
use crate::csv::row::{Kind, Skipped};
use crate::csv::text::{has_edge_mark, trim};
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The most lines that a notice lists.
pub const MOST_LINES: usize = 10;

/// One kind of thing that was noticed, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// A stable code, such as `N_BLANK_LINES`.
    pub code: String,
    /// What it is, and what Moondrop does; never content.
    pub message: String,
    /// How often it is in the file.
    pub count: u64,
    /// The first lines where it is, at most [`MOST_LINES`]. Of `N_ROWS_IN_FIELD`, the first and the
    /// last line of each field.
    pub lines: Vec<u64>,
}

macro_rules! notices {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $message:literal;)+) => {
        /// What can be noticed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(super) enum What {
            $($(#[doc = $doc])+ $name,)+
        }

        impl What {
            fn words(self) -> (&'static str, &'static str) {
                match self {
                    $(What::$name => ($code, $message),)+
                }
            }
        }
    };
}

notices! {
    /// A line of spaces, tabs or marks.
    BlankLines = "N_BLANK_LINES", "lines of spaces or tabs are skipped";
    /// Ctrl-Z as the last line.
    CtrlZ = "N_CTRL_Z", "the Ctrl-Z (U+001A) that ends the file is skipped";
    /// Excel's first line.
    SepLine = "N_SEP_LINE", "the first line, Excel's `sep=`, which names the separator, is skipped";
    /// Marks at an edge.
    Marks = "N_MARKS", "byte-order marks (U+FEFF) or zero-width spaces (U+200B) stand at the edge of a column's name or a `ref_id`, or before a quote that begins a row; they are not part of it";
    /// The header once more.
    HeaderAgain = "N_HEADER_AGAIN", "the header is repeated, as in files that were joined; the repetition is no row, and is in no count and no result";
    /// Spaces after all commas of the header.
    SpacesSkipped = "N_SPACES_SKIPPED", "every comma of the header has spaces after it: spaces after commas are skipped in these rows";
    /// Spaces after some commas of the header.
    SpacesKept = "N_SPACES_KEPT", "some commas of the header have spaces after them, but not all: in the rows, spaces after commas are kept";
    /// Ids that look the same.
    InvisibleIds = "N_INVISIBLE_IDS", "a `ref_id` differs from another only by invisible characters within; they count as different, and each row is evaluated";
    /// Rows within a field.
    RowsInField = "N_ROWS_IN_FIELD", "a quoted field has lines that look like rows: was its quote opened by mistake? `lines` has the first and the last line of each";
}

/// What was noticed so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Notices {
    found: BTreeMap<What, (u64, Vec<u64>)>,
}

impl Notices {
    pub(super) fn add(&mut self, what: What, line: u64) {
        self.add_at(what, &[line]);
    }

    fn add_at(&mut self, what: What, at: &[u64]) {
        let (count, lines) = self.found.entry(what).or_default();
        *count += 1;
        if lines.len() + at.len() <= MOST_LINES {
            lines.extend_from_slice(at);
        }
    }

    pub(super) fn list(&self) -> Vec<Notice> {
        let notice = |(what, (count, lines)): (&What, &(u64, Vec<u64>))| {
            let (code, message) = what.words();
            let (code, message) = (code.to_owned(), message.to_owned());
            Notice { code, message, count: *count, lines: lines.clone() }
        };
        self.found.iter().map(notice).collect()
    }

    pub(super) fn skipped(&mut self, skipped: Skipped, line: u64) {
        let what = match skipped {
            Skipped::Blank => What::BlankLines,
            Skipped::CtrlZ => What::CtrlZ,
            Skipped::HeaderAgain => What::HeaderAgain,
        };
        self.add(what, line);
    }

    /// With `has_marks`, there are marks before the header beside the file's byte-order mark.
    pub(super) fn header(&mut self, row: &Row<'_>, header: &Header, has_marks: bool) {
        let spaced = row.spaced_fields() > 0;
        if spaced && !header.skip_spaces {
            self.add(What::SpacesKept, row.line);
        }
        if spaced && header.skip_spaces {
            self.add(What::SpacesSkipped, row.line);
        }
        if has_marks || header.has_marked_name() {
            self.add(What::Marks, row.line);
        }
    }

    pub(super) fn row(&mut self, row: &Row<'_>, header: &Header) {
        if header.skip_spaces && row.spaced_fields() > 0 {
            self.add(What::SpacesSkipped, row.line);
        }
        if !row.mark().is_empty() || is_id_marked(row, header) {
            self.add(What::Marks, row.line);
        }
        if row.spans_lines() {
            for i in (0..row.len()).filter(|i| row.is_quoted(*i)) {
                self.field(row, i, header);
            }
        }
    }

    /// Looks for rows in the lines of a quoted field.
    fn field(&mut self, row: &Row<'_>, index: usize, header: &Header) {
        let raw = row.raw(index);
        let newlines = memchr::memchr_iter(b'\n', raw).count() as u64;
        // Few fields name a type.
        if newlines == 0 || TYPES.iter().all(|finder| finder.find(raw).is_none()) {
            return;
        }
        // The field's first and last line have more on them than the field.
        let (lines, place) = row.lines_of(index);
        let mut start = 0;
        for line in lines.split(|b| *b == b'\n') {
            if type_of_row(line, header).is_some_and(|at| place.contains(&(start + at))) {
                let first = row.line_of(index);
                return self.add_at(What::RowsInField, &[first, first + newlines]);
            }
            start += line.len() + 1;
        }
    }
}

static TYPES: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Kind::Text, Kind::ImageUrl].map(|kind| Finder::new(kind.as_str())));

/// Whether a `ref_id` has a mark at an end, in its quotes if it has some.
fn is_id_marked(row: &Row<'_>, header: &Header) -> bool {
    let Some(column) = header.ref_id.column() else { return false };
    let raw = row.raw(column);
    let inner = if row.is_quoted(column) { &raw[1..raw.len() - 1] } else { raw };
    if inner.first().is_none_or(u8::is_ascii_graphic)
        && inner.last().is_none_or(u8::is_ascii_graphic)
    {
        return false;
    }
    has_edge_mark(&String::from_utf8_lossy(inner))
}

/// Where a line has its type, if it has as many fields as the header, and a known type.
fn type_of_row(line: &[u8], header: &Header) -> Option<usize> {
    // Without a column of types, no line can be told from a text.
    let column = header.kind.column()?;
    let separator = header.separator.byte();
    if memchr::memchr_iter(separator, line).take(header.columns).count() + 1 != header.columns {
        return None;
    }
    let mut fields = line.split(|b| *b == separator);
    let at = fields.by_ref().take(column).map(|field| field.len() + 1).sum();
    let kind = String::from_utf8_lossy(fields.next()?);
    let kind = trim(kind.trim_matches('"'));
    [Kind::Text, Kind::ImageUrl].iter().any(|known| known.as_str() == kind).then_some(at)
}
