//! The ledger's records: what is known of a drop and of each of its parts.

use crate::check::{PartLimits, PlannedPart};
use crate::drop::{DropId, Source};
use crate::job::JobState;
use crate::secret::SignedUrl;
use crate::tally::Tally;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the form of what is written here. Records of every older form are read, as long as a drop may live; one of a
/// newer form is refused. It grows when an older release could not go on with such a record: a field that it may pass over, and
/// that is absent from older records, changes nothing.
pub const SCHEMA: u32 = 1;
/// The form of records that do not say theirs.
pub const FIRST_SCHEMA: u32 = 1;

fn first_schema() -> u32 {
    FIRST_SCHEMA
}

/// Where a drop stands. The last four are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropState {
    /// Announced; its file is being checked, and no job exists.
    Checking,
    /// Planned; jobs are being created and fed.
    Uploading,
    /// Every job has its rows.
    Evaluating,
    /// Published, every row evaluated.
    Completed,
    /// Published, with rows that were rejected, failed or are missing.
    CompletedWithErrors,
    /// The file was refused; nothing was sent.
    Rejected,
    /// Published, or given up, with no row evaluated.
    Failed,
}

impl DropState {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, DropState::Checking | DropState::Uploading | DropState::Evaluating)
    }

    /// The state's word, as in the ledger and `status.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DropState::Checking => "checking",
            DropState::Uploading => "uploading",
            DropState::Evaluating => "evaluating",
            DropState::Completed => "completed",
            DropState::CompletedWithErrors => "completed_with_errors",
            DropState::Rejected => "rejected",
            DropState::Failed => "failed",
        }
    }
}

/// What to do with rows that are not fit to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRows {
    /// Send the others; the bad ones stand in the results with their reason.
    #[default]
    SubmitValid,
    /// Send nothing, and list the bad rows.
    RejectFile,
}

/// Trouble, in words a user understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The stable word for it, such as `E_QUOTE`.
    pub class: String,
    /// What is wrong.
    pub reason: String,
    /// What happens next, or what is needed of the user.
    pub next: String,
}

impl Trouble {
    /// Trouble of this class.
    #[must_use]
    pub fn new(class: &str, reason: impl Into<String>, next: &str) -> Self {
        Trouble { class: class.to_owned(), reason: reason.into(), next: next.to_owned() }
    }

    /// The API does not take the key.
    #[must_use]
    pub fn key_refused() -> Self {
        let next = "It needs you to renew the key in its secret; the drop goes on by itself within minutes.";
        Trouble::new(KEY_REFUSED, "the API does not take the API key", next)
    }

    /// The key cannot be had from its secret.
    #[must_use]
    pub fn no_key() -> Self {
        let next =
            "It will be tried again by itself. If it stays so, it needs you to put the key, and nothing else, into its secret.";
        Trouble::new(KEY_REFUSED, "the API key cannot be had from its secret", next)
    }

    /// The API points to a host that is not to be contacted; `what` says for what.
    #[must_use]
    pub fn host_refused(what: &str, host: &str) -> Self {
        let reason = format!("the API {what} {host}, which SIGNED_URL_HOSTS does not allow");
        let next = "If that host is the API's, it needs you to add it to the setting; the drop goes on by itself.";
        Trouble::new(HOST_REFUSED, reason, next)
    }
}

/// The class of the trouble with a host that is not to be contacted.
pub const HOST_REFUSED: &str = "E_HOST";
/// The class of the trouble with a key that the API does not take, or that cannot be had.
pub const KEY_REFUSED: &str = "E_API_KEY";

/// When each stage was reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The drop was first taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// The file was checked and its parts planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<Timestamp>,
    /// Every job had its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_at: Option<Timestamp>,
    /// The drop reached its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// What the check of the whole file found; written once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The header line, which says where each column stands.
    pub header: String,
    /// How many parts there are.
    pub parts: u32,
    /// Rows in the file.
    pub rows: u64,
    /// Rows that are not sent.
    pub rejected: u64,
}

/// A drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The form it was written in, see [`SCHEMA`].
    #[serde(default = "first_schema")]
    pub schema: u32,
    /// The drop.
    pub id: DropId,
    /// Its object.
    pub source: Source,
    /// When it was dropped, by S3's clock.
    pub dropped_at: Timestamp,
    /// The policy its rows are evaluated by; `None` if none was named, which refuses the drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where its results go.
    pub folder: String,
    /// The setting it was dropped under.
    pub limits: PartLimits,
    /// The setting it was dropped under.
    pub on_bad_rows: OnBadRows,
    /// Where it stands.
    pub state: DropState,
    /// What the check found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Why it was refused or given up, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// When each stage was reached.
    #[serde(default)]
    pub times: Times,
    /// When someone last worked on it, or asked for work to be done: a drop long untouched is put back on the queue.
    pub touched_at: Timestamp,
    /// The size of `results.csv`, once published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_bytes: Option<u64>,
    /// When its end had been reported and announced: until then it stays in the open index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// Where a part stands; see the diagram in [`crate::ledger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PartState {
    /// Planned; no job of its own.
    Planned,
    /// It has a job, whose id and upload address are recorded.
    Created,
    /// Its job never started and its address has run out: the job is being cancelled, then the part is planned again.
    Abandoning,
    /// Its rows are with its job.
    Uploaded,
    /// Its job completed; or it has no row to send.
    Completed,
    /// Its job failed, was cancelled, was refused, or is gone.
    Failed,
    /// Its rows are joined and stored.
    Collected,
}

impl PartState {
    /// The state's word, as in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PartState::Planned => "PLANNED",
            PartState::Created => "CREATED",
            PartState::Abandoning => "ABANDONING",
            PartState::Uploaded => "UPLOADED",
            PartState::Completed => "COMPLETED",
            PartState::Failed => "FAILED",
            PartState::Collected => "COLLECTED",
        }
    }

    /// Whether it has a job that has not ended, as far as is known.
    #[must_use]
    pub fn has_open_job(self) -> bool {
        matches!(self, PartState::Created | PartState::Uploaded | PartState::Abandoning)
    }

    /// Whether its job has ended and its rows wait to be joined.
    #[must_use]
    pub fn is_collectable(self) -> bool {
        matches!(self, PartState::Completed | PartState::Failed)
    }
}

/// Why a part has no results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFailure {
    /// The job is gone, rather than failed: its rows are missing, not failed.
    pub lost: bool,
    /// Why, for a person: it stands in the `error` of every row.
    pub reason: String,
}

/// A part's joined rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Where they are stored.
    pub key: String,
    /// How many bytes they are.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub digest: String,
    /// The rows could not be joined to their source, which is gone: they stand in the API's order, without extra columns.
    #[serde(default)]
    pub unjoined: bool,
    /// What became of them, as JSON text: labels are the API's words, which do not make good attribute names.
    #[serde(with = "tally_as_text")]
    pub tally: Tally,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The form it was written in, see [`SCHEMA`].
    #[serde(default = "first_schema")]
    pub schema: u32,
    /// The drop it belongs to.
    pub drop: DropId,
    /// Its range of the source.
    pub plan: PlannedPart,
    /// Where it stands.
    pub state: PartState,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Where its rows are uploaded to; removed once they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_url: Option<SignedUrl>,
    /// When its job was created, by our clock, before the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When its rows were uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_at: Option<Timestamp>,
    /// What the API last said of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<JobState>,
    /// The rank of `job_state`, which only grows.
    #[serde(default)]
    pub job_rank: u32,
    /// Since when the API does not know its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Timestamp>,
    /// When its end was last announced to collect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<PartFailure>,
    /// Its joined rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<Collected>,
}

impl Part {
    /// Whether its rows are with a job, or were.
    #[must_use]
    pub fn is_fed(&self) -> bool {
        let fed = !matches!(self.state, PartState::Planned | PartState::Created | PartState::Abandoning);
        fed && self.job_id.is_some() && (self.uploaded_at.is_some() || self.job_rank >= JobState::Queued.rank())
    }

    /// A part as it is first written. One without a row to send needs no job and is ready to be collected.
    #[must_use]
    pub fn planned(drop: DropId, plan: PlannedPart) -> Self {
        Part {
            schema: SCHEMA,
            drop,
            state: if plan.accepted == 0 { PartState::Completed } else { PartState::Planned },
            plan,
            job_id: None,
            upload_url: None,
            created_at: None,
            uploaded_at: None,
            job_state: None,
            job_rank: 0,
            missing_since: None,
            announced_at: None,
            failure: None,
            collected: None,
        }
    }
}

mod tally_as_text {
    use crate::tally::Tally;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(tally: &Tally, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(tally).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tally, D::Error> {
        let text = String::deserialize(from)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}
