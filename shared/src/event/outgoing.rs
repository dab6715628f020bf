//! The events that Moondrop puts on its bus.

use crate::drop::problems::warnings;
use crate::drop::status::Files;
use crate::drop::{DropRecord, DropState};
use crate::object_key::ObjectKey;
use crate::part::{PartFailure, PartRecord};
use crate::problem::Problem;
use crate::results::tally::Outcomes;
use crate::source::{DropId, Source};
use jiff::Timestamp;
use serde::Serialize;

/// The `source` of every event.
pub const EVENT_SOURCE: &str = "moondrop";
/// The name and version of the format of `detail`.
pub const EVENT_SCHEMA: &str = "moondrop.event/2";

/// An event on Moondrop's bus. Its `detail` has `schema`, which is [`EVENT_SCHEMA`]: within a
/// version, fields are only added. An event may come twice: the two then have the same type, drop
/// and part.
#[derive(Debug, Clone, PartialEq)]
pub enum OutgoingEvent {
    /// A job's results can be collected. For collect; repeated until they are collected.
    JobCompleted {
        /// Its drop.
        drop: DropId,
        /// Its part.
        part: u32,
        /// The job; a part without a row to send has none.
        job: Option<String>,
        /// Whether all parts are collected, and nobody has published the drop.
        publish: bool,
    },
    /// A job failed, was cancelled or is lost: its rows end without results. Repeated until they
    /// are stored.
    JobFailed(Box<JobFailed>),
    /// A part waits for the user: its results are held, or its job does not start.
    DropNeedsAction(Box<NeedsAction>),
    /// A drop is requeued. For submit.
    DropStalled {
        /// The drop.
        drop: DropId,
    },
    /// A drop was checked and its parts planned.
    DropAccepted(Box<DropEvent>),
    /// A drop was refused.
    DropRejected(Box<DropEvent>),
    /// A drop is published, or given up.
    DropCompleted(Box<DropEvent>),
    /// A drop has not ended 72 hours after it was dropped.
    DropOverdue(Box<DropEvent>),
}

/// An event about a drop, for users. It has the fields of `status.json` that a rule can use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropEvent {
    /// The drop; with the event's type, it identifies an event that comes twice.
    pub drop: DropId,
    /// Its object: bucket, key, version, ETag, size in bytes.
    pub source: Source,
    /// When it was dropped, by S3's clock.
    pub dropped_at: Timestamp,
    /// When it reached its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The policy it is evaluated by; `null` if none was named.
    pub policy: Option<String>,
    /// Its state.
    pub state: DropState,
    /// What is wrong, why, and what happens next; absent while all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What should be known of its results, whatever `problem` says; absent while there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
    /// The versions of the policy by which its rows were judged, as far as the API reports them;
    /// absent until it is published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_versions: Vec<String>,
    /// Its rows.
    pub rows: EventRows,
    /// Its files.
    pub files: EventFiles,
}

/// A drop's rows, by outcome. Rows that have none yet are in `total` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRows {
    /// Rows in the file; `null` if it could not be read to its end.
    pub total: Option<u64>,
    /// By outcome.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

/// Where a drop's results are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventFiles {
    /// Their bucket.
    pub bucket: String,
    /// Their folder in it.
    pub folder: String,
    /// The keys of those that exist.
    #[serde(flatten)]
    pub keys: Files,
}

/// A part of a drop, as events name it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventPart {
    /// Its drop.
    pub drop: DropId,
    /// The drop's object; absent if the drop's record is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The drop's policy.
    pub policy: Option<String>,
    /// The part, counted from 1.
    pub part: u32,
    /// The line of its first row in the file.
    pub first_line: u64,
    /// Its rows for the job.
    pub rows: u64,
    /// The job; `null` if the API refused to create one.
    pub job: Option<String>,
}

/// An event about a job without results, for users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobFailed {
    /// The part, whose rows have no results.
    #[serde(flatten)]
    pub part: EventPart,
    /// The job's state as last reported by the API, such as `ERROR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_state: Option<String>,
    /// Whether the API no longer reports the job: its rows then end as missing, otherwise as
    /// failed.
    pub lost: bool,
    /// For people to read; it is in the `error` of every row.
    pub reason: String,
    /// Whether the user cancelled the drop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
}

/// An event about a part that waits for the user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeedsAction {
    /// The part, whose rows wait.
    #[serde(flatten)]
    pub part: EventPart,
    /// What is wrong, and what lets the drop continue.
    pub problem: Problem,
    /// The kept results; absent if the problem is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldFile>,
}

/// Results that are kept unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldFile {
    /// Their bucket.
    pub bucket: String,
    /// Their key.
    pub key: ObjectKey,
    /// The line of the results with the problem, if it is on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The setting that lets the drop continue.
    pub setting: String,
}

impl EventPart {
    fn of(part: &PartRecord, drop: Option<&DropRecord>) -> Self {
        EventPart {
            drop: part.drop.clone(),
            source: drop.map(|drop| drop.source.clone()),
            policy: drop.and_then(|drop| drop.policy.clone()),
            part: part.plan.number,
            first_line: part.plan.first_line,
            rows: part.plan.accepted,
            job: part.job_id.clone(),
        }
    }
}

impl NeedsAction {
    /// The event about a part; `None` if the part has no problem.
    #[must_use]
    pub fn of(part: &PartRecord, drop: Option<&DropRecord>, results_bucket: &str) -> Option<Self> {
        let held = part.held.as_ref().map(|held| HeldFile {
            bucket: results_bucket.to_owned(),
            key: held.key.clone(),
            line: held.line,
            setting: held.setting.clone(),
        });
        Some(NeedsAction { part: EventPart::of(part, drop), problem: part.problem()?, held })
    }
}

impl DropEvent {
    /// The event about a drop whose rows have these outcomes.
    #[must_use]
    pub fn of(drop: &DropRecord, outcomes: Outcomes, results_bucket: &str) -> Self {
        let warnings = warnings(drop, &[]);
        DropEvent {
            drop: drop.id.clone(),
            source: drop.source.clone(),
            dropped_at: drop.dropped_at,
            ended_at: drop.times.ended_at,
            policy: drop.policy.clone(),
            state: drop.state,
            problem: drop.problem.clone().or_else(|| warnings.first().cloned()),
            warnings,
            policy_versions: drop.policy_versions.clone(),
            rows: EventRows { total: drop.plan.as_ref().map(|plan| plan.rows), outcomes },
            files: EventFiles {
                bucket: results_bucket.to_owned(),
                folder: drop.folder.clone(),
                keys: Files::of(drop),
            },
        }
    }
}

impl JobFailed {
    /// The event about a part that failed.
    #[must_use]
    pub fn of(part: &PartRecord, failure: &PartFailure, drop: Option<&DropRecord>) -> Self {
        JobFailed {
            part: EventPart::of(part, drop),
            job_state: part.job_state.as_ref().map(|state| state.as_str().to_owned()),
            lost: failure.lost,
            reason: failure.reason.clone(),
            cancelled: failure.cancelled,
        }
    }
}

impl OutgoingEvent {
    /// The event's `detail-type`.
    #[must_use]
    pub fn detail_type(&self) -> &'static str {
        match self {
            OutgoingEvent::JobCompleted { .. } => "Job Completed",
            OutgoingEvent::JobFailed(_) => "Job Failed",
            OutgoingEvent::DropNeedsAction(_) => "Drop Needs Action",
            OutgoingEvent::DropStalled { .. } => "Drop Stalled",
            OutgoingEvent::DropAccepted(_) => "Drop Accepted",
            OutgoingEvent::DropRejected(_) => "Drop Rejected",
            OutgoingEvent::DropCompleted(_) => "Drop Completed",
            OutgoingEvent::DropOverdue(_) => "Drop Overdue",
        }
    }

    /// The event's `detail`.
    #[must_use]
    pub fn detail(&self) -> serde_json::Value {
        use serde_json::json;
        let mut detail = match self {
            OutgoingEvent::JobCompleted { drop, part, job, publish: false } => {
                json!({"drop": drop, "part": part, "job": job})
            }
            OutgoingEvent::JobCompleted { drop, part, job, publish: true } => {
                json!({"drop": drop, "part": part, "job": job, "publish": true})
            }
            OutgoingEvent::JobFailed(event) => json!(event),
            OutgoingEvent::DropNeedsAction(event) => json!(event),
            OutgoingEvent::DropStalled { drop } => json!({"drop": drop}),
            OutgoingEvent::DropAccepted(event)
            | OutgoingEvent::DropRejected(event)
            | OutgoingEvent::DropCompleted(event)
            | OutgoingEvent::DropOverdue(event) => {
                json!(event)
            }
        };
        detail["schema"] = json!(EVENT_SCHEMA);
        detail
    }
}
