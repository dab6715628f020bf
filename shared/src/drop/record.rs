//! A drop's record in the ledger.

use crate::form;
use crate::plan::PartLimits;
use crate::problem::Problem;
use crate::source::{DropId, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
pub struct DropRecord {
    /// The form it was written in, see [`form::SCHEMA`].
    #[serde(default = "form::first_schema")]
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
    pub trouble: Option<Problem>,
    /// Since when the API refuses to create jobs for it, with no job created in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Timestamp>,
    /// Since when it does so with answers that blame the request itself; see [`crate::services::batch_api::ApiError::Invalid`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<Timestamp>,
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
