//! The states of a part.

use serde::{Deserialize, Serialize};

/// The state of a part; see the diagram in [`crate::services::ledger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PartState {
    /// It has no job yet.
    Planned,
    /// It has a job, whose id and upload URL are recorded.
    Created,
    /// Its job never started and its upload URL has expired: the job is being cancelled, and then
    /// the part is planned again.
    Abandoning,
    /// Its rows are with its job.
    Uploaded,
    /// Its job completed; or it has no row to send.
    Completed,
    /// Its job failed, was cancelled, was refused, or is lost.
    Failed,
    /// Its rows are joined and stored.
    Collected,
}

impl PartState {
    /// The state as in the ledger.
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

    /// Whether it has a job that is not known to have ended.
    #[must_use]
    pub fn has_open_job(self) -> bool {
        matches!(self, PartState::Created | PartState::Uploaded | PartState::Abandoning)
    }

    /// Whether its job has ended, and its rows are to be joined.
    #[must_use]
    pub fn is_collectable(self) -> bool {
        matches!(self, PartState::Completed | PartState::Failed)
    }
}
