//! The results of one job, read strictly. Bytes in, answers out; no I/O.
//!
//! What the API writes is read by the scanner that also reads users' files, and a row is never taken for evaluated because
//! something is absent:
//!
//! - **Columns** are found by name. Names compare in lower case without white space and underscores. `ref_id`, `labels` and an
//!   error column (`error`, `errors` or `error_message`; of several, any that is not empty is the error) are required; `ref_id`
//!   and `labels` appear once. `type` and `content` are optional, and other columns are ignored.
//! - **Form.** A record of another width, a stray quote, a NUL or invalid UTF-8 in any record makes the file unreadable. A file
//!   whose end is not clean may be a cut: it is fetched again ([`Form::MayBeCut`], [`Form::NoLineEnd`]), and the same bytes twice
//!   are no cut ([`ReadResults::confirmed`]). A last record without a line end that has no label, and whose last column is an
//!   error that is empty, may have lost its error: it is never an evaluation.
//! - **Evaluated** is a row with labels and without an error; `[]` and `{}` are labels, namely none. **Failed** is a row with an
//!   error, whatever its labels.
//! - **Neither labels nor error** is no evaluation. [`BlankLabels`] says what it is; while nothing says so, such a row is missing
//!   where other rows of the file show that `[]` means "no label", and the file is held (`E_BLANK_LABELS`) where none does.
//! - **Two answers for one row**: an evaluation beats an error, an error beats neither, the first of two errors counts, and two
//!   different evaluations make the row failed.
//! - **Another job's file**: [`judge`] decides by what the join counted. Results without a row for any row of the part, or with
//!   other texts than were sent, are held.
//!
//! [`OnUnreadable::Rows`] gives up on form: each record that is well-formed is used, and every row without one is
//! `missing: unreadable`. Behind an invalid record, reading goes on at the line behind the one it began on; behind one whose
//! text is not UTF-8 but whose end is known, at its end. So a record that swallowed others does not lose them, and no
//! byte is read more than twice.
//! Without an error column, only rows with at least one label are evaluated: `[]` could be a row that failed.
//!
//! Memory: the answers may take as many bytes as the caller says, and one record as many again.

#![warn(missing_docs)]

mod answers;
mod columns;
mod content;
mod judge;
pub mod labels;
mod reader;
mod reading;
pub mod tally;

pub use answers::{AnsweredRow, Answers, FAILED_CONFLICTING, MISSING_BLANK, MISSING_UNANSWERED, MISSING_UNREADABLE};
pub use judge::{MIN_COMPARED, judge};
pub use reader::{Form, ReadResults, ResultsReader};
pub use reading::{BlankLabels, OnOtherContent, OnUnreadable, Reading};

use crate::problem::Code;

/// The results take more memory than there is for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the results of one job take more than the {0} bytes of memory there are for them")]
pub struct ResultsTooLarge(pub usize);

/// Why results cannot be used as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultsProblem {
    /// Why: [`Code::ResultsUnreadable`], [`Code::BlankLabels`], [`Code::ResultsUnrelated`] or [`Code::ResultsContent`].
    pub code: Code,
    /// The line of the results file, counted from 1, where there is one to point at.
    pub line: Option<u64>,
    /// What is wrong, where, and the limit, for a person; never content.
    pub message: String,
    /// The setting that lets the results be used all the same, such as `RESULTS_UNREADABLE=rows`.
    pub setting: &'static str,
}

impl ResultsProblem {
    /// The file, from `line` on, cannot be read.
    fn unreadable(line: Option<u64>, message: String) -> Self {
        ResultsProblem { code: Code::ResultsUnreadable, line, message, setting: "RESULTS_UNREADABLE=rows" }
    }
}
