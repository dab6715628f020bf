//! Events: what comes in from S3, and what goes out on Moondrop's bus.

use super::ObjectCreatedDetail;
use crate::drop::status::Files;
use crate::drop::{DropRecord, DropState};
use crate::object_key::ObjectKey;
use crate::part::{PartFailure, PartRecord};
use crate::problem::Problem;
use crate::results::tally::Outcomes;
use crate::source::{DropId, Source};
use jiff::Timestamp;
use serde::Serialize;

/// The `source` of every event of ours.
pub const EVENT_SOURCE: &str = "moondrop";
/// The name and version of the form of the events' details.
pub const EVENT_SCHEMA: &str = "moondrop.event/2";

/// What Moondrop announces on its bus. The `detail` of each event has `schema`, which is [`EVENT_SCHEMA`]: within a version, fields
/// are only ever added. Any of them may come twice; the drop, with the part, identifies it.
#[derive(Debug, Clone, PartialEq)]
pub enum OutgoingEvent {
    /// A job's results can be collected. Announced again until they are. For collect: for users there is the drop's end.
    JobCompleted {
        /// Its drop.
        drop: DropId,
        /// Its part.
        part: u32,
        /// The job; a part without a row to send has none.
        job: Option<String>,
    },
    /// A job failed, was cancelled or is gone: its rows end without results. Announced again until they are stored.
    JobFailed(Box<JobFailed>),
    /// A part cannot go on without an act of the user's: its results are held, or its job does not start.
    DropNeedsAction(Box<NeedsAction>),
    /// A drop is put back on the queue. For submit.
    DropStalled {
        /// The object.
        source: Source,
    },
    /// A drop was checked and its parts planned.
    DropAccepted(Box<DropEvent>),
    /// A drop was refused.
    DropRejected(Box<DropEvent>),
    /// A drop reached its end and is published, or given up.
    DropCompleted(Box<DropEvent>),
}

/// What users learn of a drop. Its fields are those of `status.json`, as far as a rule has use for them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropEvent {
    /// The drop; with the event's type, what identifies an event that comes twice.
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
    /// Their keys, of those that are there.
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
    /// Its rows that are for the job.
    pub rows: u64,
    /// The job; `null` if the API refused to create one.
    pub job: Option<String>,
}

/// What users learn of a job that gave no results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobFailed {
    /// The part, whose rows have no results now.
    #[serde(flatten)]
    pub part: EventPart,
    /// What the API last said of the job, such as `ERROR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_state: Option<String>,
    /// Whether the API no longer knows the job: its rows end as missing, else as failed.
    pub lost: bool,
    /// Why, for people; it is in the `error` of every row.
    pub reason: String,
}

/// What users learn of a part that needs an act of theirs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeedsAction {
    /// The part, whose rows wait.
    #[serde(flatten)]
    pub part: EventPart,
    /// What is wrong, and what lets the drop continue.
    pub problem: Problem,
    /// The kept results; absent if it is not about results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldFile>,
}

/// Results that are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldFile {
    /// Their bucket.
    pub bucket: String,
    /// Their key.
    pub key: ObjectKey,
    /// The line of them where something is wrong, if it is at one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The setting that lets the drop continue.
    pub setting: String,
}

impl EventPart {
    fn of(part: &PartRecord, meta: Option<&DropRecord>) -> Self {
        EventPart {
            drop: part.drop.clone(),
            source: meta.map(|meta| meta.source.clone()),
            policy: meta.and_then(|meta| meta.policy.clone()),
            part: part.plan.number,
            first_line: part.plan.first_line,
            rows: part.plan.accepted,
            job: part.job_id.clone(),
        }
    }
}

impl NeedsAction {
    /// The event about a part; `None` if nothing keeps it from continuing.
    #[must_use]
    pub fn of(part: &PartRecord, meta: Option<&DropRecord>, results_bucket: &str) -> Option<Self> {
        let held = part.held.as_ref().map(|held| HeldFile {
            bucket: results_bucket.to_owned(),
            key: held.key.clone(),
            line: held.line,
            setting: held.setting.clone(),
        });
        Some(NeedsAction { part: EventPart::of(part, meta), problem: part.problem()?, held })
    }
}

impl DropEvent {
    /// The event about a drop, whose rows have come to this.
    #[must_use]
    pub fn of(meta: &DropRecord, outcomes: Outcomes, results_bucket: &str) -> Self {
        DropEvent {
            drop: meta.id.clone(),
            source: meta.source.clone(),
            dropped_at: meta.dropped_at,
            ended_at: meta.times.ended_at,
            policy: meta.policy.clone(),
            state: meta.state,
            problem: meta.problem.clone(),
            rows: EventRows { total: meta.plan.as_ref().map(|plan| plan.rows), outcomes },
            files: EventFiles { bucket: results_bucket.to_owned(), folder: meta.folder.clone(), keys: Files::of(meta) },
        }
    }
}

impl JobFailed {
    /// The event about a part that failed.
    #[must_use]
    pub fn of(part: &PartRecord, failure: &PartFailure, meta: Option<&DropRecord>) -> Self {
        JobFailed {
            part: EventPart::of(part, meta),
            job_state: part.job_state.as_ref().map(|state| state.as_str().to_owned()),
            lost: failure.lost,
            reason: failure.reason.clone(),
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
        }
    }

    /// The event's `detail`.
    #[must_use]
    pub fn detail(&self) -> serde_json::Value {
        use serde_json::json;
        let mut detail = match self {
            OutgoingEvent::JobCompleted { drop, part, job } => json!({"drop": drop, "part": part, "job": job}),
            OutgoingEvent::JobFailed(event) => json!(event),
            OutgoingEvent::DropNeedsAction(event) => json!(event),
            OutgoingEvent::DropStalled { source } => json!(ObjectCreatedDetail::from(source)),
            OutgoingEvent::DropAccepted(event) | OutgoingEvent::DropRejected(event) | OutgoingEvent::DropCompleted(event) => {
                json!(event)
            }
        };
        detail["schema"] = json!(EVENT_SCHEMA);
        detail
    }
}
