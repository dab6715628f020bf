//! What is kept of an answer, and what it means.

use super::BlankLabels;
use super::columns::Record;
use super::content::Fingerprint;
use super::texts::{Span, Texts};
use crate::results::labels::{is_blank, is_empty_list, read_labels};
use crate::results::tally::Tally;

/// The error of a row that no record answers.
pub const MISSING_UNANSWERED: &str = "missing: the API's results have no row for this ref_id";
/// The error of a row that no record answers in a file that is unreadable in part.
pub const MISSING_UNREADABLE: &str = "missing: unreadable";
/// The error of a row that was not evaluated: its labels are empty and it has no error.
pub const MISSING_BLANK: &str = "missing: the API's answer has neither labels nor error";
/// The error of a row with two different evaluations.
pub const FAILED_CONFLICTING: &str = "failed: the API gave two different answers";

/// What an answer means, the weakest first: of two answers for a row, the stronger one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    /// Unknown: the file has no error column, so a row without labels may have failed.
    Unreadable,
    /// Neither labels nor error.
    Blank,
    Failed,
    Evaluated,
    /// Two different evaluations.
    Conflicting,
}

pub(super) struct Answer {
    pub(super) ref_id: Span,
    pub(super) labels: Span,
    pub(super) error: Span,
    pub(super) content: Content,
    pub(super) meaning: Meaning,
}

/// What is kept of an answer's content.
pub(super) enum Content {
    Nothing,
    /// As it came. With the type, if the caller wants the rows.
    Text(Span),
    Whole(Box<(Span, Span)>),
    /// Where there was no memory for the text.
    Fingerprint(Box<Fingerprint>),
}

impl Content {
    /// Whether it has an allocation of its own.
    pub(super) fn is_boxed(&self) -> bool {
        matches!(self, Content::Whole(_) | Content::Fingerprint(_))
    }
}

impl Answer {
    /// The labels and the error for `results.csv`.
    pub(super) fn written<'a>(
        &self,
        texts: &'a Texts,
        blank: Option<BlankLabels>,
    ) -> (&'a str, &'a str) {
        let labels = texts.get(self.labels);
        match self.meaning {
            Meaning::Evaluated => (labels, ""),
            Meaning::Failed => (labels, texts.get(self.error)),
            Meaning::Blank if blank == Some(BlankLabels::Evaluated) => (labels, ""),
            Meaning::Blank => ("", MISSING_BLANK),
            Meaning::Conflicting => ("", FAILED_CONFLICTING),
            Meaning::Unreadable => ("", MISSING_UNREADABLE),
        }
    }

    pub(super) fn count(&self, texts: &Texts, blank: Option<BlankLabels>, tally: &mut Tally) {
        let labels = texts.get(self.labels);
        let rows = &mut tally.rows;
        match self.meaning {
            Meaning::Evaluated => {
                rows.evaluated += 1;
                match read_labels(labels) {
                    Ok(labels) => tally.count_labels(&labels),
                    Err(()) => tally.unreadable_labels += 1,
                }
            }
            Meaning::Failed => {
                rows.failed += 1;
                // The labels of a failed row do not describe its content: only unreadable ones are
                // counted.
                tally.unreadable_labels += u64::from(read_labels(labels).is_err());
            }
            Meaning::Blank => {
                tally.blank += 1;
                if blank == Some(BlankLabels::Evaluated) {
                    rows.evaluated += 1
                } else {
                    rows.missing += 1
                }
            }
            Meaning::Conflicting => {
                rows.failed += 1;
                tally.conflicting += 1;
            }
            Meaning::Unreadable => rows.missing += 1,
        }
    }
}

/// What is kept of a content for which there is no memory.
pub(super) fn fingerprint(content: &str) -> Content {
    Fingerprint::of(content).map_or(Content::Nothing, |print| Content::Fingerprint(Box::new(print)))
}

/// Whether a returned text is the one that was sent; `None` if it is not compared.
pub(super) fn is_same_text(returned: &str, sent: &[u8]) -> Option<bool> {
    // Most are, byte for byte.
    if returned.as_bytes() == sent {
        return Some(true);
    }
    let sent = std::str::from_utf8(sent).ok()?;
    Fingerprint::of(returned).map(|print| print.matches(sent))
}

pub(super) fn meaning(record: &Record<'_>, has_error: bool) -> Meaning {
    if !record.error.is_empty() {
        Meaning::Failed
    } else if !has_error && (is_blank(&record.labels) || is_empty_list(&record.labels)) {
        Meaning::Unreadable
    } else if record.is_blank() {
        Meaning::Blank
    } else {
        Meaning::Evaluated
    }
}
