//! Problems of the whole stack: what stops every drop, not one.

use super::{DropRecord, DropState};
use crate::part::{PartRecord, PartState};
use crate::problem::Problem;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a problem of the stack is about. Each is recorded by who meets it, and removed only by who
/// has seen the opposite since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackCause {
    /// The API key: refused, or not to be read. Any accepted call shows the opposite.
    Key,
    /// The key's right to create jobs. Only a job that is created shows the opposite.
    CreateRight,
    /// The key's right to read jobs.
    ReadRight,
    /// The key's right to cancel jobs.
    CancelRight,
    /// The host that the API wants rows uploaded to.
    UploadHost,
    /// The host that the API keeps results at.
    ResultsHost,
    /// The API starts no job.
    NotStarted,
}

/// A problem of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackProblem {
    /// The problem.
    pub problem: Problem,
    /// When it was first met.
    pub since: Timestamp,
    /// When it was last met.
    pub seen_at: Timestamp,
    /// The host that is refused, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// The problems of the stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackProblems {
    /// [`StackCause::Key`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<StackProblem>,
    /// [`StackCause::CreateRight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_right: Option<StackProblem>,
    /// [`StackCause::ReadRight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_right: Option<StackProblem>,
    /// [`StackCause::CancelRight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_right: Option<StackProblem>,
    /// [`StackCause::UploadHost`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_host: Option<StackProblem>,
    /// [`StackCause::ResultsHost`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results_host: Option<StackProblem>,
    /// [`StackCause::NotStarted`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_started: Option<StackProblem>,
    /// The problems as they stand in the `status.json` of every drop, see [`StackProblems::words`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<String>,
}

impl StackProblems {
    /// The problem of one cause.
    #[must_use]
    pub fn of(&self, cause: StackCause) -> Option<&StackProblem> {
        match cause {
            StackCause::Key => self.key.as_ref(),
            StackCause::CreateRight => self.create_right.as_ref(),
            StackCause::ReadRight => self.read_right.as_ref(),
            StackCause::CancelRight => self.cancel_right.as_ref(),
            StackCause::UploadHost => self.upload_host.as_ref(),
            StackCause::ResultsHost => self.results_host.as_ref(),
            StackCause::NotStarted => self.not_started.as_ref(),
        }
    }

    /// Those that concern a drop with these parts: it has a plan, and has not ended. A host of
    /// uploads concerns it while a part waits for one. Each is listed once, whatever it stops.
    #[must_use]
    pub fn concerning(&self, drop: &DropRecord, parts: &[PartRecord]) -> Vec<&StackProblem> {
        if !matches!(drop.state, DropState::Uploading | DropState::Evaluating) {
            return Vec::new();
        }
        let uploads = parts.iter().any(waits_for_upload);
        let mut all: Vec<&StackProblem> = self
            .in_order()
            .filter(|(cause, _)| *cause != StackCause::UploadHost || uploads)
            .map(|(_, problem)| problem)
            .collect();
        all.dedup_by(|a, b| a.problem == b.problem);
        all
    }

    /// What is reported of them, to compare.
    #[must_use]
    pub fn words(&self) -> String {
        let words = self.in_order().map(|(_, one)| {
            let Problem { code, message, .. } = &one.problem;
            format!("{code} {message}")
        });
        words.collect::<Vec<_>>().join("\n")
    }

    fn in_order(&self) -> impl Iterator<Item = (StackCause, &StackProblem)> {
        let causes = [
            StackCause::Key,
            StackCause::CreateRight,
            StackCause::ReadRight,
            StackCause::CancelRight,
            StackCause::UploadHost,
            StackCause::ResultsHost,
            StackCause::NotStarted,
        ];
        causes.into_iter().filter_map(|cause| Some((cause, self.of(cause)?)))
    }
}

/// Whether a part waits for its rows to be uploaded.
#[must_use]
pub fn waits_for_upload(part: &PartRecord) -> bool {
    let waits = matches!(part.state, PartState::Planned | PartState::Created);
    waits && !part.may_be_sent() && part.cancelled_at.is_none()
}
