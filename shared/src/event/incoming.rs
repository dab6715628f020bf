//! The events that the functions receive: an object was created, a job has ended.

use crate::source::{DropId, Source, unquoted};
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// S3's "Object Created" through EventBridge, or our own "Drop Stalled", which has the same detail.
/// Only the fields that are read are declared. Keys in these events are plain; those in S3's own
/// notifications are form-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ObjectCreated {
    /// When the object was created, or the drop requeued.
    pub time: Timestamp,
    /// Which object.
    pub detail: ObjectCreatedDetail,
}

/// The object and its bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCreatedDetail {
    /// Its bucket.
    pub bucket: Bucket,
    /// The object itself.
    pub object: CreatedObject,
}

impl ObjectCreatedDetail {
    /// The object, if the event identifies it: S3 leaves the ETag or the size out of some events.
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

impl From<&Source> for ObjectCreatedDetail {
    /// The inverse of [`ObjectCreatedDetail::source`].
    fn from(source: &Source) -> Self {
        ObjectCreatedDetail {
            bucket: Bucket { name: source.bucket.clone() },
            object: CreatedObject {
                key: source.key.clone(),
                size: Some(source.size),
                etag: Some(source.etag.clone()),
                version_id: source.version_id.clone(),
                sequencer: source.sequencer.clone(),
            },
        }
    }
}

impl CreatedObject {
    /// The version. S3 writes `null` for none, as in a bucket whose versioning is suspended.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version_id.as_deref().filter(|version| !version.is_empty() && *version != "null")
    }
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
}

/// The created object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CreatedObject {
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

impl ObjectCreated {
    /// Reads the body of a queue message.
    ///
    /// # Errors
    /// If it is no such event. The message has the place of the error, never the content.
    pub fn read(body: &str) -> Result<Self> {
        read(body).context("the message is no \"Object Created\" event")
    }
}

/// Reads JSON. The error has its place, never the content.
fn read<T: DeserializeOwned>(body: &str) -> Result<T> {
    serde_json::from_str(body)
        .map_err(|e| anyhow::anyhow!("line {}, column {}", e.line(), e.column()))
}

/// The end of a job, for collect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobEnded {
    /// Which job.
    pub detail: JobEndedDetail,
}

impl JobEnded {
    /// Reads the body of a queue message.
    ///
    /// # Errors
    /// As [`ObjectCreated::read`].
    pub fn read(body: &str) -> Result<Self> {
        read(body).context("the message is no \"Job Completed\" or \"Job Failed\" event")
    }
}

/// Which job ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobEndedDetail {
    /// Its drop.
    pub drop: DropId,
    /// Its part.
    pub part: u32,
    /// Whether all parts are collected, and the drop is only to be published.
    #[serde(default)]
    pub publish: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the EventBridge documentation of Amazon S3 shows it ("Amazon S3 event messages for
    /// EventBridge").
    const REAL: &str = r#"{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"Object Created",
        "source":"aws.s3","account":"111122223333","time":"2021-11-12T00:00:00Z","region":"ca-central-1",
        "resources":["arn:aws:s3:::amzn-s3-demo-bucket1"],"detail":{"version":"0","bucket":{"name":"amzn-s3-demo-bucket1"},
        "object":{"key":"incoming/a b+%2F.csv","size":5,"etag":"b1946ac92492d2347c6235b4d2611184",
        "version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R",
        "requester":"123456789012","source-ip-address":"1.2.3.4","reason":"PutObject"}}"#;

    #[test]
    fn a_real_event_is_read_and_its_key_is_taken_as_it_is() {
        let event = ObjectCreated::read(REAL).unwrap();
        assert_eq!(event.detail.object.key, "incoming/a b+%2F.csv");
        assert_eq!(
            event.detail.object.version_id.as_deref(),
            Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e")
        );
    }

    #[test]
    fn a_requeued_drop_is_announced_as_the_same_drop() {
        let detail = ObjectCreated::read(REAL).unwrap().detail;
        let source = detail.source().unwrap();
        let again = super::super::OutgoingEvent::DropStalled { source }.detail();
        assert_eq!(serde_json::from_value::<ObjectCreatedDetail>(again).unwrap(), detail);
    }

    #[test]
    fn another_event_is_refused_without_being_shown() {
        let error = format!("{:#}", ObjectCreated::read(r#"{"time":"secret"}"#).unwrap_err());
        assert!(error.contains("Object Created") && !error.contains("secret"), "{error}");
    }
}
