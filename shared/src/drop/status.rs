//! `status.json`: the state of a drop, for people and programs. It is always written from the
//! ledger, so the two never disagree. Within a version ([`STATUS_SCHEMA`]), fields are only added.

use crate::check::{Counts, Notice};
use crate::drop::problems::{MOST_PROBLEMS, OwnedProblem, policy_versions, problems};
use crate::drop::stack::StackProblems;
use crate::drop::{DropRecord, DropState, SafeResults, Times};
use crate::object_key::ObjectKey;
use crate::part::{PartRecord, PartState};
use crate::problem::Problem;
use crate::results::tally::{LabelCount, Outcomes, Tally};
use crate::source::Source;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name and version of the format.
pub const STATUS_SCHEMA: &str = "moondrop.status/2";
/// The most parts that `status.json` lists.
pub const MOST_PARTS: usize = 1_000;

/// The state of a drop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// The drop's identity.
    pub drop: String,
    /// Its object: bucket, key, version, ETag, size in bytes.
    pub source: Source,
    /// When it was dropped, by S3's clock.
    pub dropped_at: Timestamp,
    /// The policy it is evaluated by.
    pub policy: Option<String>,
    /// Its state: `checking`, `uploading`, `evaluating`, `completed`, `completed_with_errors`,
    /// `rejected`, `failed`.
    pub state: DropState,
    /// When the user asked for it to be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    /// The first of `problems`; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What is wrong with the drop, its parts and the stack, gravest first: at most
    /// [`MOST_PROBLEMS`].
    #[serde(default)]
    pub problems: Vec<OwnedProblem>,
    /// How many problems there are.
    #[serde(default)]
    pub problem_count: u64,
    /// The versions of the policy by which rows were judged, as far as the API reports them.
    #[serde(default)]
    pub policy_versions: Vec<String>,
    /// Rows by outcome. `total` is `null` until the file is checked; `pending` have no outcome yet.
    pub rows: Rows,
    /// Errors that the check found, by code: those of the rejected rows, or those that the file is
    /// refused for.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub errors: Counts,
    /// What the check skipped or trimmed, and what may be a mistake.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// What is unusual in the API's results.
    pub results: Anomalies,
    /// Labels by name: rows that have the label, and a histogram of their scores in ten bins of
    /// 0.1.
    pub labels: BTreeMap<String, LabelCount>,
    /// Parts by state.
    pub parts_by_state: BTreeMap<String, u64>,
    /// Each part and its job; of more than [`MOST_PARTS`] the first ones, and all in `parts.json`.
    pub parts: Vec<PartStatus>,
    /// The objects of the results bucket that exist.
    pub files: Files,
    /// When each stage was reached.
    pub times: Times,
    /// Sizes in bytes.
    pub sizes: Sizes,
    /// When this was written.
    pub updated_at: Timestamp,
}

/// Rows by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows in the file, once it is checked.
    pub total: Option<u64>,
    /// Rows checked so far.
    pub checked: u64,
    /// By outcome.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Rows that have no outcome yet.
    pub pending: u64,
}

/// What is unusual in the API's results.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomalies {
    /// Results for rows that were never sent; not written.
    pub unexpected: u64,
    /// Results for a row that already had one; not written.
    pub duplicates: u64,
    /// Results whose `labels` could not be read; written as they are.
    pub unreadable_labels: u64,
    /// Rows with two different evaluations; they count as failed.
    #[serde(default)]
    pub conflicting: u64,
    /// Rows whose answer has neither labels nor error.
    #[serde(default)]
    pub blank: u64,
    /// Rows of text whose content in the answer is not the sent one.
    #[serde(default)]
    pub content_mismatches: u64,
}

/// A part and its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartStatus {
    /// The part, counted from 1.
    pub part: u32,
    /// Its state, as in the ledger.
    pub state: PartState,
    /// The line of its first row.
    pub first_line: u64,
    /// Its rows.
    pub rows: u64,
    /// Its rows that are not sent.
    pub rejected: u64,
    /// The id of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The state of its job, as last reported by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<String>,
    /// The id of the policy that the job names; `null` if the API does not report it.
    #[serde(default)]
    pub policy_id: Option<String>,
    /// The version of the policy that judged the job; `null` if the API does not report it.
    #[serde(default)]
    pub policy_version: Option<String>,
    /// When the API last changed the job's record; `null` if it does not report that.
    #[serde(default)]
    pub job_updated_at: Option<Timestamp>,
    /// Why it has no results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it cannot continue; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The key of its kept results in the results bucket, if they cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<ObjectKey>,
    /// For how many seconds its job has been absent from the API's answers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent_seconds: u64,
    /// The source was gone: its rows are in the API's order, without extra columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source_missing: bool,
}

/// Keys in the results bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// `results.csv`, once published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<ObjectKey>,
    /// `results.safe.csv`, once written, if `RESULTS_FORMATS` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<ObjectKey>,
    /// `rejected.csv`, if a row or the file was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<ObjectKey>,
    /// `parts.json`, if there are more than [`MOST_PARTS`] parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<ObjectKey>,
    /// This file.
    pub status: ObjectKey,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The dropped file.
    pub source: u64,
    /// All uploads.
    pub uploaded: u64,
    /// `results.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<u64>,
}

/// What a status is made of: the ledger's records at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The drop.
    pub drop: &'a DropRecord,
    /// All its parts, in order.
    pub parts: &'a [PartRecord],
    /// The problems of the stack.
    pub stack: &'a StackProblems,
    /// The number of rows checked so far, while the file is being checked.
    pub checked: u64,
    /// The moment.
    pub now: Timestamp,
}

impl Status {
    /// The status of a drop from its records.
    #[must_use]
    pub fn of(snapshot: &Snapshot<'_>) -> Self {
        let Snapshot { drop, parts, stack, checked, now } = *snapshot;
        let (tally, total) = (tally_of(drop, parts), drop.plan.as_ref().map(|plan| plan.rows));
        let mut parts_by_state = BTreeMap::new();
        for part in parts {
            *parts_by_state.entry(part.state.as_str().to_owned()).or_default() += 1;
        }
        let mut problems = problems(drop, parts, stack);
        let problem_count = problems.len() as u64;
        problems.truncate(MOST_PROBLEMS);
        Status {
            schema: STATUS_SCHEMA.to_owned(),
            drop: drop.id.to_string(),
            source: drop.source.clone(),
            dropped_at: drop.dropped_at,
            policy: drop.policy.clone(),
            state: drop.state,
            cancelled_at: drop.cancelled_at,
            problem: problems.first().map(|first| first.problem.clone()),
            problems,
            problem_count,
            policy_versions: policy_versions(parts),
            rows: Rows {
                total,
                checked: total.unwrap_or(checked),
                outcomes: tally.rows,
                pending: if drop.state.is_final() {
                    0
                } else {
                    total.unwrap_or(0).saturating_sub(tally.rows.total())
                },
            },
            errors: drop.errors.clone(),
            notices: drop.notices.clone(),
            results: Anomalies {
                unexpected: tally.unexpected,
                duplicates: tally.duplicates,
                unreadable_labels: tally.unreadable_labels,
                conflicting: tally.conflicting,
                blank: tally.blank,
                content_mismatches: tally.content_mismatches,
            },
            labels: tally.labels,
            parts_by_state,
            parts: parts.iter().take(MOST_PARTS).map(PartStatus::of).collect(),
            files: Files::of(drop),
            times: drop.times.clone(),
            sizes: Sizes {
                source: drop.source.size,
                uploaded: parts.iter().filter(|p| p.is_sent()).map(|p| p.plan.upload_bytes).sum(),
                results: drop.results_bytes,
            },
            updated_at: now,
        }
    }
}

/// The counts of a drop's rows: those of its collected parts, and the rejected rows of the others,
/// which are known since the check.
fn tally_of(drop: &DropRecord, parts: &[PartRecord]) -> Tally {
    let mut tally = Tally::default();
    for part in parts {
        match &part.collected {
            Some(collected) => tally.add(&collected.tally),
            None => tally.rows.rejected += part.plan.rows - part.plan.accepted,
        }
    }
    if drop.state == DropState::Rejected || drop.plan.is_none() {
        tally.rows.rejected = drop.plan.as_ref().map_or(0, |plan| plan.rejected);
    }
    tally
}

/// `parts.json`: every part of a drop that has more than [`MOST_PARTS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsFile {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// The drop's identity.
    pub drop: String,
    /// Each part and its job, as in `status.json`.
    pub parts: Vec<PartStatus>,
    /// When this was written.
    pub updated_at: Timestamp,
}

impl PartsFile {
    /// The parts of a drop from their records.
    #[must_use]
    pub fn of(snapshot: &Snapshot<'_>) -> Self {
        PartsFile {
            schema: STATUS_SCHEMA.to_owned(),
            drop: snapshot.drop.id.to_string(),
            parts: snapshot.parts.iter().map(PartStatus::of).collect(),
            updated_at: snapshot.now,
        }
    }
}

impl Files {
    /// The files of a drop that exist.
    #[must_use]
    pub fn of(drop: &DropRecord) -> Self {
        let has_rejections =
            drop.state == DropState::Rejected || drop.plan.as_ref().is_some_and(|p| p.rejected > 0);
        let parts = drop.plan.as_ref().map_or(0, |plan| plan.parts as usize);
        Files {
            parts: (parts > MOST_PARTS).then(|| drop.parts_key()),
            safe: (drop.safe == Some(SafeResults::Written)).then(|| drop.safe_key()),
            results: drop.results_bytes.map(|_| drop.results_key()),
            rejected: has_rejections.then(|| drop.rejected_key()),
            status: drop.status_key(),
        }
    }
}

impl PartStatus {
    fn of(part: &PartRecord) -> Self {
        PartStatus {
            part: part.plan.number,
            state: part.state,
            first_line: part.plan.first_line,
            rows: part.plan.rows,
            rejected: part.plan.rows - part.plan.accepted,
            job: part.job_id.clone(),
            job_state: part.job_state.as_ref().map(|s| s.as_str().to_owned()),
            policy_id: part.provenance.as_ref().and_then(|p| p.policy_id.clone()),
            policy_version: part.provenance.as_ref().and_then(|p| p.policy_version.clone()),
            job_updated_at: part.provenance.as_ref().and_then(|p| p.updated_at),
            reason: part.failure.as_ref().map(|f| f.reason.clone()),
            problem: part.problem(),
            held: part
                .held
                .as_ref()
                .filter(|_| part.state != PartState::Collected)
                .map(|held| held.key.clone()),
            absent_seconds: part.absent_seconds,
            source_missing: part.collected.as_ref().is_some_and(|c| c.source_missing),
        }
    }
}

// serde gives a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}
