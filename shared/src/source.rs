//! A drop's identity and object: a drop is one version of one object.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A drop's identity: a hash of bucket, key and version, 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DropId(String);

impl DropId {
    #[must_use]
    pub fn of(bucket: &str, key: &str, version: &str) -> Self {
        let mut hash = Sha256::new();
        for text in [bucket, key, version] {
            // The length before each text keeps two different triples from giving the same bytes.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        DropId(hex::encode(&hash.finalize()[..16]))
    }

    /// All 32 digits, as in records, events and job names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people to tell drops apart.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for DropId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for DropId {
    /// Takes an identity from a job's name or an event. It is looked up, never trusted.
    fn from(text: &str) -> Self {
        DropId(text.to_owned())
    }
}

/// The object of a drop, in the version that its event announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub bucket: String,
    pub key: String,
    /// The version, in a versioned bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The ETag without quotes; every read requires it (`If-Match`).
    pub etag: String,
    /// S3's number for this upload among those of its key: it distinguishes the same bytes dropped
    /// twice into an unversioned bucket from one drop announced twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// In bytes.
    pub size: u64,
}

impl Source {
    #[must_use]
    pub fn id(&self) -> DropId {
        match &self.version_id {
            Some(version) => DropId::of(&self.bucket, &self.key, version),
            None => {
                let sequencer = self.sequencer.as_deref().unwrap_or_default();
                DropId::of(&self.bucket, &self.key, &format!("{} {sequencer}", self.etag))
            }
        }
    }
}

#[must_use]
pub fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}
