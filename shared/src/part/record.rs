//! A part's record in the ledger.

use super::PartState;
use crate::form::SCHEMA;
use crate::job::{JobState, Provenance, SignedUrl};
use crate::object_key::ObjectKey;
use crate::plan::PlannedPart;
use crate::problem::{Code, Problem};
use crate::results::tally::Tally;
use crate::source::DropId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a part has no results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFailure {
    /// The job is lost: its rows are missing, not failed.
    pub lost: bool,
    /// For people to read: it is in the `error` of every row.
    pub reason: String,
    /// The user cancelled the drop: nothing went wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
}

impl PartFailure {
    /// A failure that is no loss.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        PartFailure { lost: false, reason: reason.into(), cancelled: false }
    }

    /// The job is lost.
    #[must_use]
    pub fn lost(reason: impl Into<String>) -> Self {
        PartFailure { lost: true, ..PartFailure::failed(reason) }
    }

    /// The user cancelled the drop.
    #[must_use]
    pub fn cancelled() -> Self {
        PartFailure { cancelled: true, ..PartFailure::failed("cancelled on request") }
    }
}

/// A job that has its rows and does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// When this was first recorded.
    pub since: Timestamp,
    /// No other job of the stack has started since the upload began: the API starts none.
    pub none_started: bool,
}

/// Results that cannot be used, seen once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// The SHA-256 of their bytes, in hex.
    pub digest: String,
    /// When these bytes were first seen.
    pub since: Timestamp,
    /// When results were first unusable, whatever their bytes.
    pub first: Timestamp,
}

/// A part's results that cannot be used. They are kept until a setting or better results let the
/// part continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldResults {
    /// The key of their unchanged copy in the results bucket.
    pub key: ObjectKey,
    /// Their size in bytes.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub digest: String,
    /// The error code, such as `E_RESULTS_UNREADABLE`.
    pub code: Code,
    /// What is wrong with them, and where; never content.
    pub message: String,
    /// The line of the results with the problem, if it is on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The setting that lets the part continue, such as `RESULTS_UNREADABLE=rows`.
    pub setting: String,
    /// The settings under which they were judged.
    pub judged_under: String,
    /// Since when they are held.
    pub since: Timestamp,
    /// When the API was last asked for better ones.
    pub fetched_at: Timestamp,
}

/// A part's joined rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedPart {
    /// Their key in the results bucket.
    pub key: ObjectKey,
    /// Their size in bytes.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub digest: String,
    /// Their object's ETag: what is copied must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The source is gone, so the rows could not be joined: they are in the API's order, without
    /// extra columns.
    #[serde(default)]
    pub source_missing: bool,
    /// Their counts, as JSON text: labels are names of the API's, which do not make good attribute
    /// names.
    #[serde(with = "tally_as_text")]
    pub tally: Tally,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The version of the record, see [`SCHEMA`].
    pub schema: u32,
    /// The drop it belongs to.
    pub drop: DropId,
    /// Its range of the source.
    pub plan: PlannedPart,
    /// See [`PartState`].
    pub state: PartState,
    /// The id of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Where its rows are uploaded to; removed once its job has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_url: Option<SignedUrl>,
    /// When its job was created, by our clock, before the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When the first upload to its job began, recorded before the first byte was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_began_at: Option<Timestamp>,
    /// When its rows were uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_at: Option<Timestamp>,
    /// When poll decided to repeat the upload, because its job does not start and others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_due_at: Option<Timestamp>,
    /// When the one repeat began, recorded before its first byte was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_began_at: Option<Timestamp>,
    /// When the part was claimed in order to cancel its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned_at: Option<Timestamp>,
    /// How often it was planned again after an upload to its job had begun.
    #[serde(default)]
    pub replans: u32,
    /// How many of its jobs ended before anything was sent to them.
    #[serde(default)]
    pub ended_unsent: u32,
    /// When the user cancelled it: it gets no other job and no other upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    /// When the API was last asked to cancel its job, on the user's request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_sent_at: Option<Timestamp>,
    /// Its job has rows and does not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<NotStarted>,
    /// The state of its job, as last reported by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<JobState>,
    /// The rank of `job_state`, which only grows.
    #[serde(default)]
    pub job_rank: u32,
    /// For how many seconds its job has been absent from the API's answers without a break.
    #[serde(default)]
    pub absent_seconds: u64,
    /// When its job was last found absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_at: Option<Timestamp>,
    /// When the API first did not report the job at an age at which it no longer has to keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_at: Option<Timestamp>,
    /// When its job's end was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When its end was last announced to collect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
    /// How often collect has failed to collect it.
    #[serde(default)]
    pub attempts: u32,
    /// When collect tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Why submit could not send its rows, or why collect failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What the API reports of its job beside the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Results that cannot be used, seen once. They are held only if the same bytes come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Unconfirmed>,
    /// Results that cannot be used, kept unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldResults>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<PartFailure>,
    /// Its joined rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<CollectedPart>,
}

impl PartRecord {
    /// Whether its rows were sent to a job.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        let sent =
            !matches!(self.state, PartState::Planned | PartState::Created | PartState::Abandoning);
        sent && self.job_id.is_some()
            && (self.uploaded_at.is_some() || self.job_rank >= JobState::Queued.rank())
    }

    /// Whether an upload to its job may have begun.
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        self.upload_began_at.is_some()
            || self.uploaded_at.is_some()
            || self.job_rank >= JobState::Queued.rank()
    }

    /// Whether it waits for its rows to be sent, and no upload to its job can have begun.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        let waits =
            matches!(self.state, PartState::Planned | PartState::Created | PartState::Abandoning);
        waits && !self.may_be_sent()
    }

    /// Whether collecting it fetches results from the API.
    #[must_use]
    pub fn asks_api(&self) -> bool {
        self.state == PartState::Completed && self.job_id.is_some() && self.held.is_none()
    }

    /// Whether its rows are to be uploaded once more, and that has not begun.
    #[must_use]
    pub fn is_to_be_repeated(&self) -> bool {
        self.state == PartState::Uploaded
            && self.repeat_due_at.is_some()
            && self.repeat_began_at.is_none()
    }

    /// The first record of a part. A part without a row to send needs no job and can be collected
    /// at once.
    #[must_use]
    pub fn planned(drop: DropId, plan: PlannedPart) -> Self {
        PartRecord {
            schema: SCHEMA,
            drop,
            state: if plan.accepted == 0 { PartState::Completed } else { PartState::Planned },
            plan,
            job_id: None,
            upload_url: None,
            created_at: None,
            upload_began_at: None,
            uploaded_at: None,
            repeat_due_at: None,
            repeat_began_at: None,
            abandoned_at: None,
            replans: 0,
            ended_unsent: 0,
            cancelled_at: None,
            cancel_sent_at: None,
            not_started: None,
            job_state: None,
            job_rank: 0,
            absent_seconds: 0,
            absent_at: None,
            overdue_at: None,
            ended_at: None,
            announced_at: None,
            attempts: 0,
            retry_at: None,
            problem: None,
            provenance: None,
            unconfirmed: None,
            held: None,
            failure: None,
            collected: None,
        }
    }
}

mod tally_as_text {
    use crate::results::tally::Tally;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(tally: &Tally, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(tally).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tally, D::Error> {
        let text = String::deserialize(from)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}
