//! `status.json`: the state of a drop, for people and programs. It is always written from the
//! ledger, so the two never disagree. Within a version ([`STATUS_SCHEMA`]), fields are only added.

use crate::drop::{DropRecord, DropState, Times};
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
    /// What is wrong, why, and what happens next; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Rows by outcome. `total` is `null` until the file is checked; `pending` have no outcome yet.
    pub rows: Rows,
    /// What is unusual in the API's results.
    pub results: Anomalies,
    /// Labels by name: rows that have the label, and a histogram of their scores in ten bins of
    /// 0.1.
    pub labels: BTreeMap<String, LabelCount>,
    /// Parts by state.
    pub parts_by_state: BTreeMap<String, u64>,
    /// Each part and its job.
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
    /// `rejected.csv`, if a row or the file was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<ObjectKey>,
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

impl Status {
    /// The status of a drop from its records. `checked` is the number of rows checked so far, while
    /// the file is being checked.
    #[must_use]
    pub fn of(drop: &DropRecord, parts: &[PartRecord], checked: u64, now: Timestamp) -> Self {
        let plan = drop.plan.as_ref();
        let mut tally = Tally::default();
        let mut parts_by_state = BTreeMap::new();
        for part in parts {
            *parts_by_state.entry(part.state.as_str().to_owned()).or_default() += 1;
            if let Some(collected) = &part.collected {
                tally.add(&collected.tally);
            }
        }
        let total = plan.map(|p| p.rows);
        let is_being_cancelled = drop.cancelled_at.is_some() && !drop.state.is_final();
        if drop.state == DropState::Rejected {
            tally.rows.rejected = plan.map_or(0, |p| p.rejected);
        }
        Status {
            schema: STATUS_SCHEMA.to_owned(),
            drop: drop.id.to_string(),
            source: drop.source.clone(),
            dropped_at: drop.dropped_at,
            policy: drop.policy.clone(),
            state: drop.state,
            cancelled_at: drop.cancelled_at,
            problem: drop
                .problem
                .clone()
                .or_else(|| is_being_cancelled.then(Problem::being_cancelled))
                .or_else(|| parts.iter().find_map(PartRecord::problem)),
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
            parts: parts.iter().map(PartStatus::of).collect(),
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

impl Files {
    /// The files of a drop that exist.
    #[must_use]
    pub fn of(drop: &DropRecord) -> Self {
        let has_rejections =
            drop.state == DropState::Rejected || drop.plan.as_ref().is_some_and(|p| p.rejected > 0);
        Files {
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
