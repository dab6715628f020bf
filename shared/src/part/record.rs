//! A part's record in the ledger.

use super::PartState;
use crate::form::SCHEMA;
use crate::job::{JobState, SignedUrl};
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
    /// The job is gone, rather than failed: its rows are missing, not failed.
    pub lost: bool,
    /// Why, for people: it is in the `error` of every row.
    pub reason: String,
}

/// A job that has its rows and does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// When it was first seen.
    pub since: Timestamp,
    /// No other job of the stack was seen started since the upload began: it is the API that starts nothing.
    pub none_started: bool,
}

/// Results that could not be used, seen once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// The SHA-256 of their bytes, in hex.
    pub digest: String,
    /// When these bytes were first seen.
    pub since: Timestamp,
    /// Since when the results could not be used, whatever their bytes.
    pub first: Timestamp,
}

/// A part's results that cannot be used as they are. They are kept until a setting, or better results, let the part continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldResults {
    /// Where they are kept in the results bucket, as they came.
    pub key: ObjectKey,
    /// How many bytes they are.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub digest: String,
    /// The error code, such as `E_RESULTS_UNREADABLE`.
    pub code: Code,
    /// What is wrong with them, and where; never their content.
    pub message: String,
    /// The line where it is, if it is at one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The setting that lets the part continue, such as `RESULTS_UNREADABLE=rows`.
    pub setting: String,
    /// The settings that they were judged under.
    pub judged_under: String,
    /// Since when they are held.
    pub since: Timestamp,
    /// When the API was last asked for better ones.
    pub fetched_at: Timestamp,
}

/// A part's joined rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedPart {
    /// Where they are stored.
    pub key: ObjectKey,
    /// How many bytes they are.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub digest: String,
    /// The rows could not be joined to their source, which is missing: they are in the API's order, without extra columns.
    #[serde(default)]
    pub source_missing: bool,
    /// What became of them, as JSON text: labels are the API's names, which do not make good attribute names.
    #[serde(with = "tally_as_text")]
    pub tally: Tally,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The form it was written in, see [`SCHEMA`].
    pub schema: u32,
    /// The drop it belongs to.
    pub drop: DropId,
    /// Its range of the source.
    pub plan: PlannedPart,
    /// Its state.
    pub state: PartState,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Where its rows are uploaded to; removed once its job is seen started.
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
    /// When poll decided that the upload is to be repeated, since its job does not start and others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_due_at: Option<Timestamp>,
    /// When that one repeat began, recorded before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_began_at: Option<Timestamp>,
    /// When the part was claimed, to cancel its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned_at: Option<Timestamp>,
    /// How often it was planned again although an upload to its job had begun.
    #[serde(default)]
    pub replans: u32,
    /// How many of its jobs ended before anything was sent to them.
    #[serde(default)]
    pub ended_unsent: u32,
    /// Its job has rows and does not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<NotStarted>,
    /// What the API last said of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<JobState>,
    /// The rank of `job_state`, which only grows.
    #[serde(default)]
    pub job_rank: u32,
    /// For how long, in seconds, its job has been absent from the API's answers, without being reported in between.
    #[serde(default)]
    pub absent_seconds: u64,
    /// When its job was last found absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_at: Option<Timestamp>,
    /// When the API was first asked in vain for a job that is older than the API keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_at: Option<Timestamp>,
    /// When its job's end was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When its end was last announced to collect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
    /// How often collect has failed at it.
    #[serde(default)]
    pub attempts: u32,
    /// When collect is to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Why collect failed at it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Results that could not be used, seen once: they are held only if they come again the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Unconfirmed>,
    /// Results that cannot be used, kept as they came.
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
    /// Whether its rows are with a job, or were.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        let sent = !matches!(self.state, PartState::Planned | PartState::Created | PartState::Abandoning);
        sent && self.job_id.is_some() && (self.uploaded_at.is_some() || self.job_rank >= JobState::Queued.rank())
    }

    /// Whether an upload to its job may have begun.
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        self.upload_began_at.is_some() || self.uploaded_at.is_some() || self.job_rank >= JobState::Queued.rank()
    }

    /// Whether its rows are to be uploaded once more, and were not.
    #[must_use]
    pub fn is_to_be_repeated(&self) -> bool {
        self.state == PartState::Uploaded && self.repeat_due_at.is_some() && self.repeat_began_at.is_none()
    }

    /// A part as it is first written. One without a row to send needs no job and is ready to be collected.
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
