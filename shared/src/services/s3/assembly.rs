//! An object that is put together from others on S3's side: a multipart upload whose pieces are
//! copies of objects, or bytes. It can be continued by whoever knows its id.
//!
//! The upload is created with SHA-256, so that S3 answers each piece with the digest of what it
//! stored (Amazon S3 API Reference, `UploadPartCopy`: `ChecksumSHA256`).

use super::results_bucket::{ResultsBucket, Written, is_taken};
use crate::object_key::ObjectKey;
use anyhow::{Context, anyhow};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// What S3 answers to pieces that make no object (Amazon S3 API Reference,
/// `CompleteMultipartUpload`).
const UNFIT: [&str; 4] = ["EntityTooSmall", "InvalidPartOrder", "InvalidRequest", "MalformedXML"];

/// How long S3 may take for what it does to many bytes: "several minutes" (Amazon S3 API Reference,
/// `CompleteMultipartUpload`).
const PATIENCE: Duration = Duration::from_secs(300);

fn patient() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(PATIENCE).build();
    aws_sdk_s3::Config::builder().timeout_config(timeouts)
}

/// Why a step of an assembly failed.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The upload is complete, or was aborted.
    #[error("the upload is over")]
    Over,
    /// A piece is not what was listed: another publisher sent it again.
    #[error("a piece of the upload was replaced")]
    Replaced,
    /// S3 stored other bytes than were to be copied.
    #[error("S3 stored other bytes than {0} has")]
    Differs(ObjectKey),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// An upload that is under way: its object, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembly {
    pub key: ObjectKey,
    pub upload: String,
}

/// A piece that S3 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub etag: String,
    /// Its SHA-256 in base64, as S3 writes it.
    pub checksum: String,
    /// In bytes.
    pub size: u64,
}

impl Piece {
    /// Whether it has this SHA-256, in hex.
    #[must_use]
    pub fn has(&self, digest: &str) -> bool {
        hex::decode(digest).is_ok_and(|digest| STANDARD.encode(digest) == self.checksum)
    }
}

/// An object to be copied as a whole.
#[derive(Debug, Clone, Copy)]
pub struct CopySource<'a> {
    pub key: &'a ObjectKey,
    /// The ETag that it must have, if it is known.
    pub etag: Option<&'a str>,
    /// Its SHA-256, in hex.
    pub digest: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
}

impl ResultsBucket {
    /// Begins an object that will have this digest in its metadata.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn begin_assembly(&self, key: &ObjectKey, digest: &str) -> anyhow::Result<Assembly> {
        let upload = self.begin_upload(key, Some(digest), Some(ChecksumAlgorithm::Sha256)).await?;
        Ok(Assembly { key: key.clone(), upload })
    }

    /// The pieces that S3 has, by their numbers.
    ///
    /// # Errors
    /// [`AssemblyError::Over`] if the upload is.
    pub async fn pieces(&self, assembly: &Assembly) -> Result<BTreeMap<i32, Piece>, AssemblyError> {
        let mut parts = self
            .client
            .list_parts()
            .bucket(&self.bucket)
            .key(assembly.key.as_str())
            .upload_id(&assembly.upload)
            .into_paginator()
            .items()
            .send();
        let mut pieces = BTreeMap::new();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|e| failed(e, "list the pieces of an object"))?;
            let size = part.size.unwrap_or(0).unsigned_abs();
            if let (Some(number), Some(etag), Some(checksum)) =
                (part.part_number, part.e_tag, part.checksum_sha256)
            {
                pieces.insert(number, Piece { etag, checksum, size });
            }
        }
        Ok(pieces)
    }

    /// Has S3 copy an object as a piece.
    ///
    /// # Errors
    /// [`AssemblyError::Over`] if the upload is, [`AssemblyError::Differs`] if S3 stored other bytes.
    pub async fn copy_piece(
        &self,
        assembly: &Assembly,
        number: i32,
        from: CopySource<'_>,
    ) -> Result<Piece, AssemblyError> {
        let copied = self
            .client
            .upload_part_copy()
            .bucket(&self.bucket)
            .key(assembly.key.as_str())
            .upload_id(&assembly.upload)
            .part_number(number)
            .copy_source(copy_source(&self.bucket, from.key))
            .set_copy_source_if_match(from.etag.map(str::to_owned))
            .customize()
            .config_override(patient())
            .send()
            .await;
        let copied = copied.map_err(|e| failed(e, "copy a work file"))?;
        let result = copied.copy_part_result.context("S3 returned no result of a copy")?;
        let piece = piece(result.e_tag, result.checksum_sha256, from.bytes)?;
        if !piece.has(from.digest) {
            return Err(AssemblyError::Differs(from.key.clone()));
        }
        Ok(piece)
    }

    /// Sends bytes as a piece.
    ///
    /// # Errors
    /// [`AssemblyError::Over`] if the upload is.
    pub async fn send_piece(
        &self,
        assembly: &Assembly,
        number: i32,
        bytes: Bytes,
    ) -> Result<Piece, AssemblyError> {
        let (checksum, size) = (STANDARD.encode(Sha256::digest(&bytes)), bytes.len() as u64);
        let sent = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(assembly.key.as_str())
            .upload_id(&assembly.upload)
            .part_number(number)
            .checksum_sha256(&checksum)
            .body(bytes.into())
            .send()
            .await;
        let sent = sent.map_err(|e| failed(e, "send a piece of an object"))?;
        piece(sent.e_tag, Some(checksum), size)
    }

    /// Makes the object visible, if there is none under its key.
    ///
    /// # Errors
    /// [`AssemblyError::Over`] if the upload is, or another one is completed at this moment;
    /// [`AssemblyError::Replaced`] if the pieces are not these.
    pub async fn complete_assembly(
        &self,
        assembly: &Assembly,
        pieces: &BTreeMap<i32, Piece>,
        digest: &str,
    ) -> Result<Written, AssemblyError> {
        let parts = pieces.iter().map(|(number, piece)| {
            CompletedPart::builder()
                .part_number(*number)
                .e_tag(&piece.etag)
                .checksum_sha256(&piece.checksum)
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let size: u64 = pieces.values().map(|piece| piece.size).sum();
        let done = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(assembly.key.as_str())
            .upload_id(&assembly.upload)
            .multipart_upload(parts)
            .mpu_object_size(size as i64)
            .if_none_match("*")
            .customize()
            .config_override(patient())
            .send()
            .await;
        match done {
            Ok(_) => Ok(Written::New),
            // Another one is being completed at this moment, whatever S3 calls it.
            Err(e) if e.raw_response().is_some_and(|r| r.status().as_u16() == 409) => {
                Err(AssemblyError::Over)
            }
            Err(e) if is_taken(&e) => match self.find(&assembly.key, digest).await? {
                Some(written) => {
                    self.abort_assembly(assembly).await;
                    Ok(written)
                }
                // It was deleted since.
                None => Err(AssemblyError::Over),
            },
            Err(e) if e.code() == Some("InvalidPart") => Err(AssemblyError::Replaced),
            // It can never be completed as it is.
            Err(e) if UNFIT.iter().any(|code| e.code() == Some(code)) => {
                tracing::error!(
                    error = %aws_sdk_s3::error::DisplayErrorContext(&e),
                    "the pieces of an object do not fit together; a new upload replaces them"
                );
                Err(AssemblyError::Over)
            }
            Err(e) => Err(failed(e, "finish an object")),
        }
    }

    /// Gives an assembly up. A failure is only logged: the bucket's lifecycle rule aborts it.
    pub async fn abort_assembly(&self, assembly: &Assembly) {
        self.abort_upload(&assembly.key, &assembly.upload).await;
    }
}

fn failed<E>(error: SdkError<E>, what: &'static str) -> AssemblyError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if error.code() == Some("NoSuchUpload") {
        return AssemblyError::Over;
    }
    AssemblyError::Other(anyhow::Error::new(error).context(what))
}

fn piece(
    etag: Option<String>,
    checksum: Option<String>,
    size: u64,
) -> Result<Piece, AssemblyError> {
    let (Some(etag), Some(checksum)) = (etag, checksum) else {
        return Err(anyhow!("S3 returned no ETag or no checksum of a piece").into());
    };
    Ok(Piece { etag, checksum, size })
}

/// The header of a copy: bucket and key, percent-encoded but for the slashes.
fn copy_source(bucket: &str, key: &ObjectKey) -> String {
    use std::fmt::Write as _;
    let mut encoded = format!("{bucket}/");
    for byte in key.as_str().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            // Writing into a string never fails.
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}
