//! What Moondrop assumes of the Batch API where its documentation leaves a question open: the one
//! table of it, in the order in which the probe looks.

use serde::{Deserialize, Serialize};

/// What an assumption is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Topic {
    CreateUrl,
    JobName,
    CreatedAt,
    CancelInitialized,
    UnknownId,
    UnknownIdBeside,
    UploadHost,
    UploadPut,
    JobStarts,
    KnownStates,
    PolicyVersion,
    JobCompletes,
    FreshResultsUrl,
    ResultsHost,
    SameResultsTwice,
    StrictCsv,
    Columns,
    OneRowPerRefId,
    RowOrder,
    ContentReturned,
    ContentEqual,
    LabelsJson,
    LabelName,
    LabelScore,
    ScoreRange,
    BlankLabels,
    ErrorOnSuccess,
    ErrorOnFailure,
}

/// An assumption.
pub(super) struct Assumption {
    pub(super) topic: Topic,
    /// Its id, as it is printed and kept.
    pub(super) name: &'static str,
    /// What Moondrop assumes.
    pub(super) assumes: &'static str,
    /// Why it matters: what Moondrop does if it is not so.
    pub(super) if_not: &'static str,
}

const fn assumption(
    topic: Topic,
    name: &'static str,
    assumes: &'static str,
    if_not: &'static str,
) -> Assumption {
    Assumption { topic, name, assumes, if_not }
}

/// Every assumption.
pub(super) const ASSUMPTIONS: [Assumption; 28] = [
    assumption(
        Topic::CreateUrl,
        "create-url",
        "The answer to a create has the job's id and a URL for the upload.",
        "No rows can be sent: Moondrop tries again, and each attempt leaves a job without rows.",
    ),
    assumption(
        Topic::JobName,
        "job-name",
        "A job is reported with the name that it was created with.",
        "Moondrop does not recognise the orphans of an interrupted attempt, and does not cancel them.",
    ),
    assumption(
        Topic::CreatedAt,
        "created-at",
        "A job is reported with the time of its creation.",
        "Moondrop takes an orphan's age from when it first saw the job, and cancels it later.",
    ),
    assumption(
        Topic::CancelInitialized,
        "cancel-initialized",
        "A job that waits for its rows can be cancelled, and is then reported as CANCELLED.",
        "Orphans stay on the account, and rows whose job does not start wait: they never get another job.",
    ),
    assumption(
        Topic::UnknownId,
        "unknown-id",
        "A query for an unknown job is answered with a 404 of the API's own, or leaves the job out.",
        "Moondrop never takes a job for lost that the API has forgotten: its rows wait.",
    ),
    assumption(
        Topic::UnknownIdBeside,
        "unknown-id-beside",
        "A query for an unknown job and a known one is answered with a 404 of the API's own, or reports the known one.",
        "Moondrop asks for the jobs one by one while one of them is unknown, which takes more calls.",
    ),
    assumption(
        Topic::UploadHost,
        "upload-host",
        "The upload URL points to a host that the setting SIGNED_URL_HOSTS allows.",
        "Nothing is uploaded, and the drop waits with E_HOST: add the host to the setting if it is the API's.",
    ),
    assumption(
        Topic::UploadPut,
        "upload-put",
        "The upload URL accepts a PUT with a Content-Length and without a Content-Type.",
        "No part can be uploaded: the drop waits, and Moondrop has to be changed.",
    ),
    assumption(
        Topic::JobStarts,
        "job-starts",
        "A job starts soon after its upload, without a further call.",
        "Moondrop reports E_NOT_STARTED after an hour. If no job ever starts, the API may want a call that Moondrop does not make.",
    ),
    assumption(
        Topic::KnownStates,
        "known-states",
        "Every state of a job is a documented one.",
        "Moondrop takes a state that it does not know for pending: if it is a final one, the rows wait.",
    ),
    assumption(
        Topic::PolicyVersion,
        "policy-version",
        "A job that has started is reported with the version of its policy.",
        "Moondrop cannot say which version judged the rows.",
    ),
    assumption(
        Topic::JobCompletes,
        "job-completes",
        "A job of valid rows completes, also if one of the rows cannot be evaluated.",
        "All rows of such a job end as failed, up to 25,000 for one: make jobs smaller (ROWS_PER_JOB).",
    ),
    assumption(
        Topic::FreshResultsUrl,
        "fresh-results-url",
        "Each query for a completed job reports a new URL of its results.",
        "Results that are not fetched within hours of the job's end can no longer be fetched.",
    ),
    assumption(
        Topic::ResultsHost,
        "results-host",
        "The URL of the results points to a host that the setting SIGNED_URL_HOSTS allows.",
        "Results are not fetched, and the drop waits with E_HOST: add the host to the setting if it is the API's.",
    ),
    assumption(
        Topic::SameResultsTwice,
        "same-results-twice",
        "Results that are fetched again have the same bytes.",
        "Moondrop cannot tell results that lack rows from results that were cut: they wait for a day longer.",
    ),
    assumption(
        Topic::StrictCsv,
        "strict-csv",
        "The results are well-formed CSV, quoted as RFC 4180 has it.",
        "Moondrop holds them (E_RESULTS_UNREADABLE); RESULTS_UNREADABLE=rows uses the rows that can be read.",
    ),
    assumption(
        Topic::Columns,
        "columns",
        "The results have the columns ref_id, type, labels, content and error, in any order.",
        "Without ref_id, labels or error Moondrop holds them (E_RESULTS_UNREADABLE); it can do without the others.",
    ),
    assumption(
        Topic::OneRowPerRefId,
        "one-row-per-ref-id",
        "The results have one row for each ref_id that was sent, and no other.",
        "A row without an answer ends as missing; of several answers the strongest counts; unexpected ones are ignored.",
    ),
    assumption(
        Topic::RowOrder,
        "row-order",
        "Rows of the results may be in any order.",
        "Nothing: Moondrop finds each row by its ref_id. The order sent shows nothing, since it may be chance.",
    ),
    assumption(
        Topic::ContentReturned,
        "content-returned",
        "The results repeat each row's content.",
        "Moondrop cannot notice the results of another job that has the same ref_ids.",
    ),
    assumption(
        Topic::ContentEqual,
        "content-equal",
        "A text that the results repeat is the one that was sent, but for case, white space, Unicode form and length.",
        "Moondrop holds results of which fewer than 1 in 100 texts is the one sent (E_RESULTS_CONTENT); RESULTS_CONTENT_CHECK=warn uses them.",
    ),
    assumption(
        Topic::LabelsJson,
        "labels-json",
        "labels are a JSON list of objects, or one object of names and scores.",
        "Moondrop writes labels as they are and counts none; the drop ends as completed_with_errors.",
    ),
    assumption(
        Topic::LabelName,
        "label-name",
        "A label's name is under label, name, label_name or labelName.",
        "Moondrop writes labels as they are and counts none; the drop ends as completed_with_errors.",
    ),
    assumption(
        Topic::LabelScore,
        "label-score",
        "A label's score is under score or confidence.",
        "Moondrop writes labels as they are and counts none; the drop ends as completed_with_errors.",
    ),
    assumption(
        Topic::ScoreRange,
        "score-range",
        "A score is a number from 0 to 1.",
        "The histograms of scores in status.json are wrong: a score over 1 counts as 1.",
    ),
    assumption(
        Topic::BlankLabels,
        "blank-labels",
        "A row to which no label applies has [] as its labels; no row has neither labels nor error.",
        "Moondrop holds the results (E_BLANK_LABELS) until BLANK_LABELS says what such a row means.",
    ),
    assumption(
        Topic::ErrorOnSuccess,
        "error-on-success",
        "The error of a row that was evaluated is empty.",
        "Moondrop counts such a row as failed.",
    ),
    assumption(
        Topic::ErrorOnFailure,
        "error-on-failure",
        "A row that cannot be evaluated has an error.",
        "Moondrop counts such a row as evaluated if its labels are [].",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_assumption_is_there_once_by_the_name_it_is_kept_under() {
        let topics: std::collections::BTreeSet<Topic> =
            ASSUMPTIONS.iter().map(|known| known.topic).collect();
        assert_eq!(topics.len(), ASSUMPTIONS.len());
        for known in &ASSUMPTIONS {
            assert_eq!(serde_json::to_value(known.topic).unwrap(), known.name);
        }
    }
}
