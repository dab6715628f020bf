//! Problems of the whole stack: what stops every drop, not one.

use super::{DropRecord, DropState};
use crate::problem::Problem;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a problem of the stack is about. Each is recorded by who meets it, and removed only by who
/// has seen the opposite since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackCause {
    /// The API key: refused, without a right, or not to be read.
    Key,
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
}

/// The problems of the stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackProblems {
    /// [`StackCause::Key`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<StackProblem>,
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
            StackCause::UploadHost => self.upload_host.as_ref(),
            StackCause::ResultsHost => self.results_host.as_ref(),
            StackCause::NotStarted => self.not_started.as_ref(),
        }
    }

    /// Those that concern a drop: it has a plan, and has not ended.
    pub fn concerning(&self, drop: &DropRecord) -> impl Iterator<Item = &StackProblem> {
        let waits = matches!(drop.state, DropState::Uploading | DropState::Evaluating);
        let uploads = drop.state == DropState::Uploading && drop.cancelled_at.is_none();
        let all = [&self.key, &self.results_host, &self.not_started].map(|one| (waits, one));
        let all = all.into_iter().chain([(uploads, &self.upload_host)]);
        all.filter(|(concerns, _)| *concerns).filter_map(|(_, one)| one.as_ref())
    }

    /// What is reported of them, to compare.
    #[must_use]
    pub fn words(&self) -> String {
        let all = [&self.key, &self.upload_host, &self.results_host, &self.not_started];
        let words = all.into_iter().flatten().map(|one| {
            let Problem { code, message, .. } = &one.problem;
            format!("{code} {message}")
        });
        words.collect::<Vec<_>>().join("\n")
    }
}
