//! Which column of a results file is which.

use crate::csv::Row;
use crate::results::labels::{is_blank, is_empty_list};
use std::borrow::Cow;

/// The names of an error column.
const ERRORS: [&str; 3] = ["error", "errors", "errormessage"];

/// The places of the columns, counted from 0.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) width: usize,
    ref_id: usize,
    labels: usize,
    /// All error columns.
    errors: Vec<usize>,
    kind: Option<usize>,
    content: Option<usize>,
}

impl Columns {
    /// Reads the header.
    ///
    /// # Errors
    /// A message: `ref_id` or `labels` is absent, or appears twice.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, String> {
        let names: Vec<String> = (0..row.len()).map(|i| plain(&text(row, i))).collect();
        let find = |name: &'static str| names.iter().enumerate().filter_map(move |(i, n)| (n == name).then_some(i));
        let once = |name: &'static str, shown: &str| {
            let mut at = find(name);
            match (at.next(), at.next()) {
                (Some(first), None) => Ok(first),
                (Some(first), Some(second)) => {
                    Err(format!("the header has the column `{shown}` twice, as columns {} and {}", first + 1, second + 1))
                }
                (None, _) => Err(format!("the header has no column `{shown}`")),
            }
        };
        let (ref_id, labels) = (once("refid", "ref_id")?, once("labels", "labels")?);
        let errors = (0..names.len()).filter(|&i| ERRORS.contains(&names[i].as_str())).collect();
        let (kind, content) = (find("type").next(), find("content").next());
        Ok(Columns { width: names.len(), ref_id, labels, errors, kind, content })
    }

    /// Whether there is an error column.
    pub(super) fn has_error(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether an error column is the last: a record that has all its fields may then lack a part of its error.
    pub(super) fn error_is_last(&self) -> bool {
        self.errors.last().is_some_and(|&last| last + 1 == self.width)
    }

    /// A record's fields. The scanner let only UTF-8 through.
    pub(super) fn record<'a>(&self, row: &Row<'a>) -> Record<'a> {
        let optional = |column: Option<usize>| column.map_or(Cow::Borrowed(""), |i| text(row, i));
        let mut errors = self.errors.iter().map(|&i| text(row, i));
        Record {
            ref_id: text(row, self.ref_id),
            labels: text(row, self.labels),
            // Where an error is written as JSON, `null` is none.
            error: errors.find(|error| !matches!(error.trim(), "" | "null")).unwrap_or_default(),
            kind: optional(self.kind),
            content: optional(self.content),
        }
    }
}

/// A record of the results; what its file has no column for is empty.
#[derive(Debug)]
pub(super) struct Record<'a> {
    ref_id: Cow<'a, str>,
    pub(super) labels: Cow<'a, str>,
    /// Empty, or more than white space.
    pub(super) error: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    pub(super) content: Cow<'a, str>,
}

impl Record<'_> {
    /// The row's identifier as it was sent: without white space at its ends.
    pub(super) fn ref_id(&self) -> &[u8] {
        self.ref_id.as_bytes().trim_ascii()
    }

    /// Whether it has no error, and no label either.
    pub(super) fn says_nothing(&self) -> bool {
        self.error.is_empty() && (is_blank(&self.labels) || is_empty_list(&self.labels))
    }

    /// Whether it has neither labels nor an error.
    pub(super) fn is_blank(&self) -> bool {
        self.error.is_empty() && is_blank(&self.labels)
    }
}

fn text<'a>(row: &Row<'a>, column: usize) -> Cow<'a, str> {
    match row.value(column) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
    }
}

/// A name as names compare: in lower case, without white space and underscores.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect()
}
