//! The results of one job, read strictly. Bytes in, answers out; no I/O.
//!
//! The strict scanner of users' files also reads the API's results. A row never counts as evaluated
//! because something is missing:
//!
//! - **Columns** are found by name. Names are compared in lower case without white space and
//!   underscores. `ref_id`, `labels` and an error column (`error`, `errors` or `error_message`; of
//!   several, the first that is not empty counts) are required; `ref_id` and `labels` must be
//!   unique. `type` and `content` are optional, and other columns are ignored.
//! - **Form.** A record with more or fewer fields, a stray quote, a NUL or invalid UTF-8 in any
//!   record makes the file unreadable. A file with a malformed end may be cut: it is fetched again
//!   ([`Form::MayBeCut`], [`Form::NoLineEnd`]), and if the same bytes come again it is not cut
//!   ([`ReadResults::confirmed`]). If the last record has no line end and no label, and its last
//!   field is an empty error, the error may be cut off: the record is never an evaluation.
//! - **Evaluated** is a row with labels and without an error; `[]` and `{}` are labels. **Failed**
//!   is a row with an error, whatever its labels.
//! - **Neither labels nor error** is no evaluation. [`BlankLabels`] decides what it means. Without
//!   that setting, such a row is missing if another row of the file has `[]`, which then means "no
//!   label"; if none has, the file is held (`E_BLANK_LABELS`).
//! - **Two answers for one row**: an evaluation beats an error, an error beats neither, the first
//!   of two errors counts, and two different evaluations make the row failed.
//! - **Another job's file**: [`judge`] uses the counts of the join. Results that answer no row of
//!   the part, or have other texts than were sent, are held.
//!
//! With [`OnUnreadable::Rows`] a malformed file is used: each well-formed record counts, and every
//! row without one is `missing: unreadable`. After an invalid record, reading continues on the line
//! after the one where it began; if only its text is not UTF-8, its end is known and reading
//! continues there. So a record that swallowed others does not lose them, and no byte is read more
//! than twice. Without an error column, only rows with at least one label are evaluated: a row with
//! `[]` may have failed.
//!
//! Memory: the answers take at most as many bytes as the caller allows, and one record as many
//! again.

#![warn(missing_docs)]

mod answer;
mod answers;
mod columns;
mod content;
mod judge;
pub mod labels;
mod reader;
mod reading;
pub mod tally;
mod texts;

pub use answer::{FAILED_CONFLICTING, MISSING_BLANK, MISSING_UNANSWERED, MISSING_UNREADABLE};
pub use answers::{AnsweredRow, Answers};
pub use judge::{MIN_COMPARED, judge};
pub use reader::{Form, ReadResults, ResultsReader};
pub use reading::{BlankLabels, OnOtherContent, OnUnreadable, Reading};

use crate::problem::Code;

/// The results need more memory than is available for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the results of one job take more than the {0} bytes of memory there are for them")]
pub struct ResultsTooLarge(pub usize);

/// Why results cannot be used as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultsProblem {
    /// One of [`Code::ResultsUnreadable`], [`Code::BlankLabels`], [`Code::ResultsUnrelated`] and
    /// [`Code::ResultsContent`].
    pub code: Code,
    /// The line of the results file, counted from 1, if the problem is on one line.
    pub line: Option<u64>,
    /// What is wrong, where, and the limit, for people to read; never content.
    pub message: String,
    /// The setting with which the results are used nevertheless, such as `RESULTS_UNREADABLE=rows`.
    pub setting: &'static str,
}

impl ResultsProblem {
    /// The file cannot be read, from `line` on.
    fn unreadable(line: Option<u64>, message: String) -> Self {
        ResultsProblem {
            code: Code::ResultsUnreadable,
            line,
            message,
            setting: "RESULTS_UNREADABLE=rows",
        }
    }
}
