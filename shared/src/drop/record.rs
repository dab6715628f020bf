//! A drop's record in the ledger.

use super::mapping::DropMapping;
use super::saved_check::SavedCheck;
use crate::check::{Counts, Notice};
use crate::csv::mapping::Mapping;
use crate::csv::rules::Rules;
use crate::form::SCHEMA;
use crate::object_key::{ObjectKey, results_folder, second_folder};
use crate::plan::{OnBadRows, PartLimits};
use crate::problem::Problem;
use crate::source::{DropId, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The state of a drop. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropState {
    /// Announced; its file is being checked, and no job exists.
    Checking,
    /// Planned; jobs are being created, and rows uploaded to them.
    Uploading,
    /// Every job has its rows.
    Evaluating,
    /// Published, every row evaluated.
    Completed,
    /// Published, with rows that were rejected, failed or are missing.
    CompletedWithErrors,
    /// The file was refused, and nothing was sent.
    Rejected,
    /// Published, or given up, with no row evaluated.
    Failed,
}

impl DropState {
    /// Whether the drop has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, DropState::Checking | DropState::Uploading | DropState::Evaluating)
    }

    /// The state as in the ledger and `status.json`.
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

/// When each stage was reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The drop was accepted.
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
    /// The header line, which says which column is which.
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
    /// The version of the record, see [`SCHEMA`].
    pub schema: u32,
    /// Its identity.
    pub id: DropId,
    /// Its object.
    pub source: Source,
    /// When it was dropped, by S3's clock.
    pub dropped_at: Timestamp,
    /// The policy its rows are evaluated by; a drop with `None` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The folder of its results.
    pub folder: String,
    /// The limits of its parts, by the settings when it was accepted.
    pub limits: PartLimits,
    /// The setting when it was accepted.
    pub on_bad_rows: OnBadRows,
    /// The rules that its file is checked, uploaded and joined by; a record without a number is of the
    /// first ones.
    #[serde(default)]
    pub rules: Rules,
    /// How the columns of its file are read; absent if they are the three under their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Box<DropMapping>>,
    /// See [`DropState`].
    pub state: DropState,
    /// How far its check was saved, if that takes longer than an invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<SavedCheck>,
    /// Whether `rejected.csv` as it was decided is among the work files, by who planned the drop:
    /// earlier releases had only the one in the results' folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejections_in_work: bool,
    /// What the check found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// How many errors the check found, by code.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub errors: Counts,
    /// What the check noticed besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// Why it ended otherwise than as `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// [`DropProblem::Check`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_problem: Option<Problem>,
    /// [`DropProblem::Create`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_problem: Option<Problem>,
    /// [`DropProblem::Publish`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_problem: Option<Problem>,
    /// The versions of the policy by which its rows were judged, once published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_versions: Vec<String>,
    /// The functions that are to report a change in `status.json`, each by a name of its own: what
    /// one that died did not report, poll reports.
    #[serde(default, skip_serializing)]
    pub reports_due: BTreeSet<String>,
    /// The upload that `results.csv` is put together by, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_upload: Option<String>,
    /// How many of its parts were not collected when poll last reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_open: Option<u32>,
    /// When poll last reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Timestamp>,
    /// Since when the API has refused to create jobs for it, with no job created in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Timestamp>,
    /// Since when the API has refused with an error that blames the request itself; see
    /// [`Problem::create_invalid`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<Timestamp>,
    /// Since when it has waited to go on, with nothing created or uploaded in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<Timestamp>,
    /// When poll requeues a drop that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// When the user asked for it to be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    /// When poll first found it open 72 hours after it was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_at: Option<Timestamp>,
    /// When each stage was reached.
    #[serde(default)]
    pub times: Times,
    /// When a function last worked on it, or requeued it: a drop that is idle for long is requeued.
    pub active_at: Timestamp,
    /// The size of `results.csv` in bytes, once published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_bytes: Option<u64>,
    /// Whether `results.safe.csv` is wanted, by the setting when it was accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_safe: bool,
    /// How many attempts to write it have begun.
    #[serde(default)]
    pub safe_attempts: u32,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<SafeResults>,
    /// When its end was reported and announced. Until then it stays in the open index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

impl DropRecord {
    /// The first record of a drop.
    #[must_use]
    pub fn new(source: Source, dropped_at: Timestamp, terms: Terms, now: Timestamp) -> Self {
        DropRecord {
            schema: SCHEMA,
            id: source.id(),
            folder: results_folder(&source.key, dropped_at),
            source,
            dropped_at,
            policy: terms.policy,
            limits: terms.limits,
            on_bad_rows: terms.on_bad_rows,
            rules: Rules::NEWEST,
            mapping: None,
            state: DropState::Checking,
            check: None,
            rejections_in_work: false,
            plan: None,
            errors: Counts::new(),
            notices: Vec::new(),
            problem: None,
            check_problem: None,
            create_problem: None,
            publish_problem: None,
            policy_versions: Vec::new(),
            reports_due: BTreeSet::new(),
            results_upload: None,
            reported_open: None,
            reported_at: None,
            refused_since: None,
            invalid_since: None,
            waits_since: None,
            retry_at: None,
            cancelled_at: None,
            overdue_at: None,
            times: Times { accepted_at: Some(now), ..Times::default() },
            active_at: now,
            results_bytes: None,
            wants_safe: terms.wants_safe,
            safe_attempts: 0,
            safe: None,
            closed_at: None,
        }
    }

    /// The mapping of its file, if it has a valid one.
    #[must_use]
    pub fn mapping(&self) -> Option<&Mapping> {
        self.mapping.as_ref().and_then(|mapping| mapping.read.as_ref())
    }

    /// The folder of its results if another drop has the first one.
    #[must_use]
    pub fn second_folder(&self) -> String {
        second_folder(&self.folder, &self.id)
    }

    /// The key of `results.csv`.
    #[must_use]
    pub fn results_key(&self) -> ObjectKey {
        ObjectKey::results(&self.folder)
    }

    /// The key of `results.safe.csv`.
    #[must_use]
    pub fn safe_key(&self) -> ObjectKey {
        ObjectKey::safe_results(&self.folder)
    }

    /// Whether it is published, and `results.safe.csv` is still to be written.
    #[must_use]
    pub fn is_safe_due(&self) -> bool {
        self.wants_safe && self.results_bytes.is_some() && self.safe.is_none()
    }

    /// The key of `rejected.csv` as it was decided.
    #[must_use]
    pub fn decided_rejections_key(&self) -> ObjectKey {
        match self.rejections_in_work {
            true => ObjectKey::decided_rejections(&self.id),
            false => self.rejected_key(),
        }
    }

    /// The key of `rejected.csv` for the user.
    #[must_use]
    pub fn rejected_key(&self) -> ObjectKey {
        ObjectKey::rejected(&self.folder)
    }

    /// The key of `status.json`.
    #[must_use]
    pub fn status_key(&self) -> ObjectKey {
        ObjectKey::status(&self.folder)
    }

    /// The key of `parts.json`.
    #[must_use]
    pub fn parts_key(&self) -> ObjectKey {
        ObjectKey::parts(&self.folder)
    }

    /// Whether the user cancelled it, and it has not ended.
    #[must_use]
    pub fn is_being_cancelled(&self) -> bool {
        self.cancelled_at.is_some() && !self.state.is_final()
    }

    /// The problem of one kind that it waits for.
    #[must_use]
    pub fn waits_for(&self, kind: DropProblem) -> Option<&Problem> {
        match kind {
            DropProblem::Check => self.check_problem.as_ref(),
            DropProblem::Create => self.create_problem.as_ref(),
            DropProblem::Publish => self.publish_problem.as_ref(),
        }
    }

    /// The gravest of its own problems: neither its parts' nor the stack's.
    #[must_use]
    pub fn own_problem(&self) -> Option<&Problem> {
        let own = [&self.problem, &self.check_problem, &self.create_problem, &self.publish_problem];
        own.into_iter().flatten().min_by_key(|problem| problem.code.gravity())
    }

    /// Whether its end is recorded, with all its files, but not yet reported and announced.
    #[must_use]
    pub fn is_to_be_concluded(&self) -> bool {
        self.state.is_final() && self.closed_at.is_none() && !self.is_safe_due()
    }
}

/// What became of `results.safe.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SafeResults {
    /// It is written.
    Written,
    /// It could not be written, in three attempts.
    Failed,
}

/// The kinds of problems that a drop waits for. Each is set and removed by one step only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropProblem {
    /// Its file could not be checked.
    Check,
    /// The API creates no job for it.
    Create,
    /// Its results could not be published.
    Publish,
}

/// The settings that a drop keeps from when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The policy; `None` if none is named.
    pub policy: Option<String>,
    /// Where a part ends.
    pub limits: PartLimits,
    /// What to do with invalid rows.
    pub on_bad_rows: OnBadRows,
    /// Whether `results.safe.csv` is wanted.
    pub wants_safe: bool,
}
