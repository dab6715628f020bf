//! Events: what comes in from S3, and what goes out on Moondrop's bus.

use crate::drop::{DropId, Source, unquoted};
use crate::record::{DropState, Meta, Part, PartFailure, Trouble};
use crate::status::Files;
use crate::tally::Outcomes;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The `source` of every event of ours.
pub const EVENT_SOURCE: &str = "moondrop";
/// The name and version of the form of the events' details.
pub const EVENT_SCHEMA: &str = "moondrop.event/1";

/// An object announced: S3's "Object Created" through EventBridge, or our own "Drop Stalled", which has the same detail. Only
/// the fields that are read are declared. Keys in these events are plain, unlike in S3's own notifications.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Announced {
    /// When the object was created, or the drop put back on the queue.
    pub time: Timestamp,
    /// What it is about.
    pub detail: AnnouncedDetail,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedDetail {
    /// Its bucket.
    pub bucket: Named,
    /// The object itself.
    pub object: AnnouncedObject,
}

impl AnnouncedDetail {
    /// The object, if the event says enough to know it by: S3 leaves ETag or size out of some events.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        let object = &self.object;
        Some(Source {
            bucket: self.bucket.name.clone(),
            key: object.key.clone(),
            version_id: object.version().map(str::to_owned),
            etag: unquoted(object.etag.as_deref()?).to_owned(),
            sequencer: object.sequencer.clone(),
            size: object.size?,
        })
    }
}

impl AnnouncedObject {
    /// The version; none where S3 says that there is none by the word `null`, as in a bucket whose versioning is suspended.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version_id.as_deref().filter(|version| !version.is_empty() && *version != "null")
    }
}

/// A bucket by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// The object of an announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnnouncedObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its ETag; S3 leaves it out of some events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Its version, in a versioned bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// S3's number for this upload among those of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
}

impl Announced {
    /// Reads the body of a queue's message.
    ///
    /// # Errors
    /// If it is no such event; the message shows where it stopped, not what stood there.
    pub fn read(body: &str) -> Result<Self> {
        serde_json::from_str(body)
            .map_err(|e| anyhow::anyhow!("line {}, column {}", e.line(), e.column()))
            .context("the message is no \"Object Created\" event")
    }
}

/// A job's end, as collect is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobEnded {
    /// Which job.
    pub detail: JobEndedDetail,
}

/// Which job ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobEndedDetail {
    /// Its drop.
    pub drop: DropId,
    /// Its part.
    pub part: u32,
}

/// What Moondrop tells on its bus. The `detail` of each event has `schema`, which is [`EVENT_SCHEMA`]: within a version, fields
/// are only ever added. Any of them may come twice; the drop, with the part, tells which is the same.
#[derive(Debug, Clone, PartialEq)]
pub enum Announcement {
    /// A job's results can be collected. Said again until they are. For collect: users are told of the drop's end.
    JobCompleted {
        /// Its drop.
        drop: DropId,
        /// Its part.
        part: u32,
        /// The job; a part without a row to send has none.
        job: Option<String>,
    },
    /// A job failed, was cancelled or is gone: its rows end without results. Said again until they are stored.
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

/// What users are told of a drop. Its fields are those of `status.json`, as far as a rule has use for them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropEvent {
    /// The drop; with the event's type, what tells an event said twice.
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
    pub trouble: Option<Trouble>,
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

/// What users are told of a job that gave no results.
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
    /// Why, for a person; it stands in the `error` of every row.
    pub reason: String,
}

/// What users are told of a part that needs an act of theirs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeedsAction {
    /// The part, whose rows wait.
    #[serde(flatten)]
    pub part: EventPart,
    /// What is wrong, and what lets the drop continue.
    pub trouble: Trouble,
    /// The kept results; absent if it is not about results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldResults>,
}

/// Results that are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldResults {
    /// Their bucket.
    pub bucket: String,
    /// Their key.
    pub key: String,
    /// The line of them where something is wrong, if it is at one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The setting that lets the drop continue.
    pub setting: String,
}

impl EventPart {
    fn of(part: &Part, meta: Option<&Meta>) -> Self {
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
    /// What is to be told of a part; `None` if nothing keeps it from going on.
    #[must_use]
    pub fn of(part: &Part, meta: Option<&Meta>, results_bucket: &str) -> Option<Self> {
        let held = part.held.as_ref().map(|held| HeldResults {
            bucket: results_bucket.to_owned(),
            key: held.key.clone(),
            line: held.line,
            setting: held.setting.clone(),
        });
        Some(NeedsAction { part: EventPart::of(part, meta), trouble: part.trouble()?, held })
    }
}

impl DropEvent {
    /// What is to be told of a drop, whose rows have come to this.
    #[must_use]
    pub fn of(meta: &Meta, outcomes: Outcomes, results_bucket: &str) -> Self {
        DropEvent {
            drop: meta.id.clone(),
            source: meta.source.clone(),
            dropped_at: meta.dropped_at,
            ended_at: meta.times.ended_at,
            policy: meta.policy.clone(),
            state: meta.state,
            trouble: meta.trouble.clone(),
            rows: EventRows { total: meta.plan.as_ref().map(|plan| plan.rows), outcomes },
            files: EventFiles { bucket: results_bucket.to_owned(), folder: meta.folder.clone(), keys: Files::of(meta) },
        }
    }
}

impl JobFailed {
    /// What is to be told of a part that failed.
    #[must_use]
    pub fn of(part: &Part, failure: &PartFailure, meta: Option<&Meta>) -> Self {
        JobFailed {
            part: EventPart::of(part, meta),
            job_state: part.job_state.as_ref().map(|state| state.as_str().to_owned()),
            lost: failure.lost,
            reason: failure.reason.clone(),
        }
    }
}

impl Announcement {
    /// The event's `detail-type`.
    #[must_use]
    pub fn detail_type(&self) -> &'static str {
        match self {
            Announcement::JobCompleted { .. } => "Job Completed",
            Announcement::JobFailed(_) => "Job Failed",
            Announcement::DropNeedsAction(_) => "Drop Needs Action",
            Announcement::DropStalled { .. } => "Drop Stalled",
            Announcement::DropAccepted(_) => "Drop Accepted",
            Announcement::DropRejected(_) => "Drop Rejected",
            Announcement::DropCompleted(_) => "Drop Completed",
        }
    }

    /// The event's `detail`.
    #[must_use]
    pub fn detail(&self) -> serde_json::Value {
        use serde_json::json;
        let mut detail = match self {
            Announcement::JobCompleted { drop, part, job } => json!({"drop": drop, "part": part, "job": job}),
            Announcement::JobFailed(event) => json!(event),
            Announcement::DropNeedsAction(event) => json!(event),
            Announcement::DropStalled { source } => json!(AnnouncedDetail {
                bucket: Named { name: source.bucket.clone() },
                object: AnnouncedObject {
                    key: source.key.clone(),
                    size: Some(source.size),
                    etag: Some(source.etag.clone()),
                    version_id: source.version_id.clone(),
                    sequencer: source.sequencer.clone(),
                },
            }),
            Announcement::DropAccepted(event) | Announcement::DropRejected(event) | Announcement::DropCompleted(event) => {
                json!(event)
            }
        };
        detail["schema"] = json!(EVENT_SCHEMA);
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the EventBridge documentation of Amazon S3 shows it ("Amazon S3 event messages for EventBridge").
    const REAL: &str = r#"{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created",
        "source":"aws.s3","account":"111122223333","time":"2021-11-12T00:00:00Z","region":"ca-central-1",
        "resources":["arn:aws:s3:::amzn-s3-demo-bucket1"],"detail":{"version":"0","bucket":{"name":"amzn-s3-demo-bucket1"},
        "object":{"key":"incoming/a b+%2F.csv","size":5,"etag":"b1946ac92492d2347c6235b4d2611184",
        "version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R",
        "requester":"123456789012","source-ip-address":"1.2.3.4","reason":"PutObject"}}"#;

    #[test]
    fn a_real_event_is_read_and_its_key_is_taken_as_it_stands() {
        let event = Announced::read(REAL).unwrap();
        assert_eq!(event.detail.object.key, "incoming/a b+%2F.csv");
        assert_eq!(event.detail.object.version_id.as_deref(), Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"));
    }

    #[test]
    fn a_drop_put_back_on_the_queue_is_announced_as_the_same_drop() {
        let detail = Announced::read(REAL).unwrap().detail;
        let source = Source {
            bucket: detail.bucket.name.clone(),
            key: detail.object.key.clone(),
            version_id: detail.object.version_id.clone(),
            etag: detail.object.etag.clone().unwrap(),
            sequencer: detail.object.sequencer.clone(),
            size: detail.object.size.unwrap(),
        };
        let again = Announcement::DropStalled { source }.detail();
        assert_eq!(serde_json::from_value::<AnnouncedDetail>(again).unwrap(), detail);
    }

    #[test]
    fn what_is_no_such_event_is_refused_without_being_shown() {
        let error = format!("{:#}", Announced::read(r#"{"time":"secret"}"#).unwrap_err());
        assert!(error.contains("Object Created") && !error.contains("secret"), "{error}");
    }
}
