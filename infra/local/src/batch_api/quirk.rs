//! How a sandbox misbehaves on request: one quirk for each assumption of `moondrop probe`, so that
//! its tests can break each. Without a quirk the sandbox follows the documentation.

use super::labels::Found;
use clap::ValueEnum;
use serde_json::{Value, json};

/// One way to differ from what Moondrop assumes of the Batch API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Quirk {
    /// The answer to a create has no upload URL.
    NoUploadUrl,
    /// Jobs are reported without their names.
    NoName,
    /// Jobs are reported without `createdAt`.
    NoCreatedAt,
    /// Jobs are reported without `policyVersionId`.
    NoPolicyVersion,
    /// The states between QUEUED and COMPLETED have names that are not documented.
    UnknownStates,
    /// A cancel is answered as if it took effect, and does not.
    CancelIgnored,
    /// A query for unknown jobs alone is answered with 500.
    UnknownIdFails,
    /// A query for an unknown job beside a known one is answered with 500.
    UnknownIdFailsBeside,
    /// Upload URLs point to another host.
    UploadElsewhere,
    /// An upload needs a `Content-Type`, as if it were signed.
    SignedContentType,
    /// A job is reported as INITIALIZED for three seconds after its upload.
    StartsLate,
    /// A row that cannot be evaluated fails its whole job.
    FailsWholeJob,
    /// Each query reports the same URL of a job's results.
    SameResultsUrl,
    /// URLs of results point to another host.
    ResultsElsewhere,
    /// Every second download of the same results has one more byte.
    OtherBytes,
    /// Fields of results are not quoted.
    LooseQuotes,
    /// Results have no column `type`.
    NoTypeColumn,
    /// The first row of the results is there twice.
    RowTwice,
    /// Rows of results are in the order of the input.
    SameOrder,
    /// `content` is empty in the results.
    NoContent,
    /// `content` in the results is not what was sent.
    OtherContent,
    /// `labels` are text instead of JSON.
    LabelsAsText,
    /// A label's name has an unknown key.
    OtherNameKey,
    /// A label's score has an unknown key.
    OtherScoreKey,
    /// Scores are from 0 to 100.
    ScoresInPercent,
    /// `labels` are empty, not `[]`, if no label applies.
    BlankLabels,
    /// `error` has a text also for a row that was evaluated.
    ErrorOnSuccess,
    /// `error` is empty also for a row that failed.
    NoErrorOnFailure,
}

/// How long [`Quirk::StartsLate`] takes, in seconds.
pub(super) const LATE: i64 = 3;

impl Quirk {
    /// Changes a job's record.
    pub(super) fn change_record(self, record: &mut Value) {
        let field = match self {
            Self::NoName => "name",
            Self::NoCreatedAt => "createdAt",
            Self::NoPolicyVersion => "policyVersionId",
            Self::UnknownStates => {
                let state = record["state"].as_str().unwrap_or_default();
                if state.contains("PROCESS") || state.ends_with("SUBMITTED") {
                    record["state"] = "BATCH_JOB_STATE_DREAMING".into();
                }
                return;
            }
            _ => return,
        };
        if let Some(fields) = record.as_object_mut() {
            fields.remove(field);
        }
    }

    /// Whether a query is answered with 500 in which `unknown` of `asked` jobs are unknown.
    pub(super) fn fails(self, unknown: usize, asked: usize) -> bool {
        match self {
            Self::UnknownIdFails => unknown == asked,
            Self::UnknownIdFailsBeside => 0 < unknown && unknown < asked,
            _ => false,
        }
    }

    /// The `labels` of a row that was evaluated.
    pub(super) fn labels(self, found: &[Found]) -> Option<String> {
        let list = |object: fn(&Found) -> Value| {
            Some(Value::Array(found.iter().map(object).collect()).to_string())
        };
        match self {
            Self::BlankLabels if found.is_empty() => Some(String::new()),
            Self::LabelsAsText if !found.is_empty() => {
                let words: Vec<_> =
                    found.iter().map(|f| format!("{}:{}", f.label, f.score)).collect();
                Some(words.join(";"))
            }
            Self::OtherNameKey => list(|f| json!({"title": f.label, "score": f.score})),
            Self::OtherScoreKey => list(|f| json!({"label": f.label, "probability": f.score})),
            Self::ScoresInPercent => list(|f| json!({"label": f.label, "score": f.score * 100.0})),
            _ => None,
        }
    }

    /// Changes a row of the results: `ref_id`, `type`, `labels`, `content`, `error`.
    pub(super) fn change_row(self, row: &mut [String; 5]) {
        let [.., content, error] = row;
        match self {
            Self::NoContent => content.clear(),
            Self::OtherContent => content.insert(0, '~'),
            Self::ErrorOnSuccess if error.is_empty() => error.push_str("none"),
            Self::NoErrorOnFailure => error.clear(),
            _ => {}
        }
    }
}
