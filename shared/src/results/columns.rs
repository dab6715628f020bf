//! The columns of a results file.

use crate::csv::Row;
use crate::results::labels::{is_blank, is_empty_list};
use std::borrow::Cow;

/// The names of an error column.
const ERRORS: [&str; 3] = ["error", "errors", "errormessage"];

/// The numbers of the columns, counted from 0.
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
    /// If `ref_id` or `labels` is missing or a duplicate.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, String> {
        let names: Vec<String> = (0..row.len()).map(|i| comparable(&text(row, i))).collect();
        let find = |name: &'static str| {
            names.iter().enumerate().filter_map(move |(i, n)| (n == name).then_some(i))
        };
        let once = |name: &'static str, shown: &str| {
            let mut at = find(name);
            match (at.next(), at.next()) {
                (Some(first), None) => Ok(first),
                (Some(first), Some(second)) => Err(format!(
                    "the header has the column `{shown}` twice, as columns {} and {}",
                    first + 1,
                    second + 1
                )),
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

    /// Whether an error column is the last one: then a cut record can still have all its fields,
    /// and lack a part of its error.
    pub(super) fn error_is_last(&self) -> bool {
        self.errors.last().is_some_and(|&last| last + 1 == self.width)
    }

    /// The scanner accepts only UTF-8.
    pub(super) fn record<'a>(&self, row: &Row<'a>) -> Record<'a> {
        let optional = |column: Option<usize>| column.map_or(Cow::Borrowed(""), |i| text(row, i));
        let mut errors = self.errors.iter().map(|&i| text(row, i));
        Record {
            ref_id: text(row, self.ref_id),
            labels: text(row, self.labels),
            // If the API writes errors as JSON, `null` is no error.
            error: errors.find(|error| !matches!(error.trim(), "" | "null")).unwrap_or_default(),
            kind: optional(self.kind),
            content: optional(self.content),
        }
    }
}

/// A record of the results. A field whose column the file lacks is empty.
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
    /// The row's identifier without white space at its ends, as it was sent.
    pub(super) fn ref_id(&self) -> &str {
        self.ref_id.trim_matches(|c: char| c.is_ascii_whitespace())
    }

    /// Whether it has neither an error nor a label; `[]` has no label.
    pub(super) fn has_no_label_and_no_error(&self) -> bool {
        self.error.is_empty() && (is_blank(&self.labels) || is_empty_list(&self.labels))
    }

    /// Whether it has neither labels nor an error; `[]` is labels.
    pub(super) fn is_blank(&self) -> bool {
        self.error.is_empty() && is_blank(&self.labels)
    }
}

fn text<'a>(row: &Row<'a>, column: usize) -> Cow<'a, str> {
    row.field(column).text_value().unwrap_or_default()
}

/// A name in the form in which names are compared: lower case, without white space and underscores.
fn comparable(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect()
}
