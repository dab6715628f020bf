//! Whether results belong to the part's rows at all. Only the join shows it.

use super::{OnOtherContent, OnUnreadable, Reading, ResultsProblem};
use crate::problem::Code;
use crate::results::tally::Tally;

/// The fewest compared texts that can hold a part. With fewer, some texts that the API rewrote
/// could hold it.
pub const MIN_COMPARED: u64 = 20;

/// Judges the join of a completed job's results with a part of `accepted` rows that were sent:
/// `E_RESULTS_UNRELATED` if no row is answered, `E_RESULTS_CONTENT` if at least [`MIN_COMPARED`]
/// texts came back and fewer than 1 in 100 is the one that was sent. Not for a job that failed or
/// is lost.
#[must_use]
pub fn judge(tally: &Tally, accepted: u64, reading: &Reading) -> Option<ResultsProblem> {
    // A row with neither labels nor error is answered, and may be counted as missing.
    let answered = tally.rows.evaluated + tally.rows.failed + tally.blank;
    if reading.unreadable == OnUnreadable::Hold && accepted > 0 && answered == 0 {
        let others = match tally.unexpected {
            0 => "they have no row at all".to_owned(),
            others => format!("they have {others} for others: is it another job's file?"),
        };
        return Some(ResultsProblem {
            code: Code::ResultsUnrelated,
            line: None,
            message: format!(
                "the results have no row for any of the {accepted} rows that were sent; {others}"
            ),
            setting: "RESULTS_UNREADABLE=rows",
        });
    }
    let compared = tally.content_compared;
    let matches = compared.saturating_sub(tally.content_mismatches);
    if reading.content == OnOtherContent::Hold
        && compared >= MIN_COMPARED
        && matches.saturating_mul(100) < compared
    {
        return Some(ResultsProblem {
            code: Code::ResultsContent,
            line: None,
            message: format!(
                "of {compared} texts that came back with the results, {matches} are those that were sent, fewer than 1 in 100: is it another job's file?"
            ),
            setting: "RESULTS_CONTENT_CHECK=warn",
        });
    }
    None
}
