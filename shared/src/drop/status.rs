//! `status.json`: the state of a drop, for people and programs. It is made from the ledger each time, so it can never disagree
//! with it. The form is [`STATUS_SCHEMA`]; fields are only ever added to it.

use crate::drop::{DropRecord, DropState, Times};
use crate::object_key::ObjectKey;
use crate::part::{PartRecord, PartState};
use crate::problem::Problem;
use crate::results::tally::{LabelCount, Outcomes, Tally};
use crate::source::Source;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name and version of the form.
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
    /// Its state: `checking`, `uploading`, `evaluating`, `completed`, `completed_with_errors`, `rejected`, `failed`.
    pub state: DropState,
    /// What is wrong, why, and what happens next; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Rows by outcome. `total` is `null` until the file is checked; `pending` have no outcome yet.
    pub rows: Rows,
    /// What the API's results held beside answers.
    pub results: Anomalies,
    /// Labels by name: rows that carry it, and a histogram of their scores in ten bins of 0.1.
    pub labels: BTreeMap<String, LabelCount>,
    /// Parts by state.
    pub parts_by_state: BTreeMap<String, u64>,
    /// Each part and its job.
    pub parts: Vec<PartStatus>,
    /// The objects of the results bucket, as far as they are there.
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

/// What the API's results held beside answers to our rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomalies {
    /// Results for rows that were never sent; not written.
    pub unexpected: u64,
    /// Results for a row that already had one; not written.
    pub duplicates: u64,
    /// Results whose `labels` could not be read; written as they came.
    pub unreadable_labels: u64,
    /// Rows with two different evaluations; they end `failed`.
    #[serde(default)]
    pub conflicting: u64,
    /// Rows whose answer has neither labels nor error.
    #[serde(default)]
    pub blank: u64,
    /// Rows of text whose content came back as another than was sent.
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
    /// Those of them that are not sent.
    pub rejected: u64,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What the API last said of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_state: Option<String>,
    /// Why it has no results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What keeps it from going on; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Its results, kept as they came since they cannot be used: their key in the results bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<ObjectKey>,
    /// For how many seconds its job has been absent from the API's answers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent_seconds: u64,
    /// Its rows are in the API's order without extra columns, since the source was gone.
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
    /// The file that was dropped.
    pub source: u64,
    /// All uploads.
    pub uploaded: u64,
    /// `results.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<u64>,
}

impl Status {
    /// The state of a drop by its records. `checked` is how many rows were checked, while the file is being checked.
    #[must_use]
    pub fn of(meta: &DropRecord, parts: &[PartRecord], checked: u64, now: Timestamp) -> Self {
        let plan = meta.plan.as_ref();
        let mut tally = Tally::default();
        let mut parts_by_state = BTreeMap::new();
        for part in parts {
            *parts_by_state.entry(part.state.as_str().to_owned()).or_default() += 1;
            if let Some(collected) = &part.collected {
                tally.add(&collected.tally);
            }
        }
        let total = plan.map(|p| p.rows);
        if meta.state == DropState::Rejected {
            tally.rows.rejected = plan.map_or(0, |p| p.rejected);
        }
        Status {
            schema: STATUS_SCHEMA.to_owned(),
            drop: meta.id.to_string(),
            source: meta.source.clone(),
            dropped_at: meta.dropped_at,
            policy: meta.policy.clone(),
            state: meta.state,
            problem: meta.problem.clone().or_else(|| parts.iter().find_map(PartRecord::problem)),
            rows: Rows {
                total,
                checked: total.unwrap_or(checked),
                outcomes: tally.rows,
                pending: if meta.state.is_final() { 0 } else { total.unwrap_or(0).saturating_sub(tally.rows.total()) },
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
            files: Files::of(meta),
            times: meta.times.clone(),
            sizes: Sizes {
                source: meta.source.size,
                uploaded: parts.iter().filter(|p| p.is_sent()).map(|p| p.plan.upload_bytes).sum(),
                results: meta.results_bytes,
            },
            updated_at: now,
        }
    }
}

impl Files {
    /// What there is of a drop.
    #[must_use]
    pub fn of(meta: &DropRecord) -> Self {
        let has_rejections = meta.state == DropState::Rejected || meta.plan.as_ref().is_some_and(|p| p.rejected > 0);
        Files {
            results: meta.results_bytes.map(|_| meta.results_key()),
            rejected: has_rejections.then(|| meta.rejected_key()),
            status: meta.status_key(),
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
            held: part.held.as_ref().filter(|_| part.state != PartState::Collected).map(|held| held.key.clone()),
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
