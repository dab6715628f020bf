//! The events that the functions receive: an object was created, a drop is requeued, a job has ended.

use super::EVENT_SOURCE;
use crate::source::{DropId, Source, unquoted};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What a message for submit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// S3: an object was created.
    Created(Box<ObjectCreated>),
    /// Moondrop: a drop goes on. It names a drop, never an object: whoever can put events on
    /// Moondrop's bus cannot have an object evaluated.
    Requeued(DropId),
}

impl Announcement {
    /// Reads the body of a queue message.
    ///
    /// # Errors
    /// If it is no such event. The message has the place of the error, never the content.
    pub fn read(body: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Origin {
            source: String,
        }
        #[derive(Deserialize)]
        struct Requeued {
            detail: RequeuedDetail,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum RequeuedDetail {
            Drop { drop: DropId },
            // As earlier releases put it.
            Object(ObjectCreatedDetail),
        }
        let Origin { source } = read(body).context(NO_EVENT)?;
        match source.as_str() {
            // Nobody but AWS can put events of this source (Amazon EventBridge API Reference,
            // `PutEventsRequestEntry`).
            "aws.s3" => ObjectCreated::read(body).map(|event| Self::Created(Box::new(event))),
            EVENT_SOURCE => {
                let requeued: Requeued = read(body).context(NO_EVENT)?;
                match requeued.detail {
                    RequeuedDetail::Drop { drop } => Ok(Self::Requeued(drop)),
                    RequeuedDetail::Object(object) => {
                        let source = object.source().context(NO_EVENT)?;
                        Ok(Self::Requeued(source.id()))
                    }
                }
            }
            _ => bail!(NO_EVENT),
        }
    }
}

const NO_EVENT: &str =
    "the message is neither S3's \"Object Created\" nor Moondrop's \"Drop Stalled\"";

/// S3's "Object Created" through EventBridge. Only the fields that are read are declared. Keys in
/// these events are plain; those in S3's own notifications are form-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ObjectCreated {
    /// When the object was created.
    pub time: Timestamp,
    /// Which object.
    pub detail: ObjectCreatedDetail,
}

/// The object and its bucket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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

impl CreatedObject {
    /// The version. S3 writes `null` for none, as in a bucket whose versioning is suspended.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version_id.as_deref().filter(|version| !version.is_empty() && *version != "null")
    }
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
}

/// The created object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CreatedObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Its ETag; S3 leaves it out of some events.
    #[serde(default)]
    pub etag: Option<String>,
    /// Its version, in a versioned bucket.
    #[serde(default)]
    pub version_id: Option<String>,
    /// S3's number for this upload among those of its key.
    #[serde(default)]
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
    fn s3_names_an_object_and_moondrop_a_drop() {
        let created = Announcement::read(REAL).unwrap();
        assert_eq!(created, Announcement::Created(Box::new(ObjectCreated::read(REAL).unwrap())));
        let drop = DropId::from("0123456789abcdef0123456789abcdef");
        let detail = super::super::OutgoingEvent::DropStalled { drop: drop.clone() }.detail();
        let event = serde_json::json!({"source": "moondrop", "detail": detail}).to_string();
        assert_eq!(Announcement::read(&event).unwrap(), Announcement::Requeued(drop));
        // An object in Moondrop's name is no more than the drop that it may be.
        let source = ObjectCreated::read(REAL).unwrap().detail.source().unwrap();
        let forged = Announcement::read(&REAL.replace("aws.s3", "moondrop")).unwrap();
        assert_eq!(forged, Announcement::Requeued(source.id()));
        assert!(Announcement::read(&event.replace("\"moondrop\"", "\"aws.s3\"")).is_err());
        assert!(Announcement::read(&REAL.replace("aws.s3", "aws.ec2")).is_err());
    }

    #[test]
    fn another_event_is_refused_without_being_shown() {
        let error = format!("{:#}", ObjectCreated::read(r#"{"time":"secret"}"#).unwrap_err());
        assert!(error.contains("Object Created") && !error.contains("secret"), "{error}");
    }
}
