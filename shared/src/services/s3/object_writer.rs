//! An object of the results bucket, written piece by piece.

use super::results_bucket::{DIGEST, ResultsBucket, Written, is_taken};
use crate::object_key::ObjectKey;
use anyhow::{Context, Result, bail};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// S3 takes at most this many pieces of a multipart upload (Amazon S3 User Guide, "Multipart upload
/// limits").
pub const MAX_PIECES: usize = 10_000;
/// The smallest piece here. S3's minimum is 5 MiB, except for the last piece.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// How long an object that is given up waits for the piece that is being sent.
const LAST_PIECE: Duration = Duration::from_secs(5);

impl ResultsBucket {
    /// Begins an object that appears under `key` only when it is finished, and only if there is
    /// none. `expected` is its approximate size, which sets the size of the pieces.
    #[must_use]
    pub fn begin(&self, key: &ObjectKey, expected: u64) -> ObjectWriter {
        ObjectWriter {
            results: self.clone(),
            key: key.clone(),
            piece: PIECE_BYTES.max(expected / (MAX_PIECES as u64 - 1) + 1) as usize,
            buffer: Vec::new(),
            upload: None,
            pieces: Vec::new(),
            sending: None,
            hash: Sha256::new(),
            bytes: 0,
            etag: None,
        }
    }
}

/// An object being written. It is invisible until [`ObjectWriter::finish`]. Without that, call
/// [`ObjectWriter::abort`], so that no pieces remain, which cost money.
#[derive(Debug)]
pub struct ObjectWriter {
    results: ResultsBucket,
    key: ObjectKey,
    piece: usize,
    /// At most a piece, and no larger an allocation.
    buffer: Vec<u8>,
    upload: Option<String>,
    pieces: Vec<CompletedPart>,
    /// The last piece, while the next one is filled.
    sending: Option<AbortOnDropHandle<Result<CompletedPart>>>,
    hash: Sha256,
    bytes: u64,
    etag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenObject {
    pub written: Written,
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub digest: String,
    /// Its ETag, if S3 told it.
    pub etag: Option<String>,
}

impl ObjectWriter {
    /// Adds bytes. `digest` identifies the content of the finished object, if it is known
    /// beforehand.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn write(&mut self, bytes: &[u8], digest: Option<&str>) -> Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.piece - self.buffer.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.make_room(now.len());
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == self.piece {
                let piece = std::mem::take(&mut self.buffer);
                self.send_piece(piece.into(), digest).await?;
            }
        }
        Ok(())
    }

    /// Twice the memory at a time, up to a piece; after the first piece, a whole one.
    fn make_room(&mut self, more: usize) {
        let needed = self.buffer.len() + more;
        if needed > self.buffer.capacity() {
            let twice = if self.upload.is_some() { self.piece } else { 2 * self.buffer.capacity() };
            let capacity = twice.clamp(needed, self.piece);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }

    /// Makes the object visible. `digest` identifies its content; by default it is the SHA-256.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn finish(&mut self, digest: Option<&str>) -> Result<WrittenObject> {
        let hash = hex::encode(std::mem::take(&mut self.hash).finalize());
        let name = digest.unwrap_or(&hash);
        let written = match self.upload {
            None => self.put_whole(name).await?,
            Some(_) => {
                let rest = Bytes::from(std::mem::take(&mut self.buffer));
                if !rest.is_empty() {
                    self.send_piece(rest, digest).await?;
                }
                self.settle().await?;
                self.complete(name).await?
            }
        };
        let etag = self.etag.take();
        Ok(WrittenObject { written, bytes: self.bytes, digest: hash, etag })
    }

    /// Gives up an unfinished object.
    pub async fn abort(&mut self) {
        // A piece that arrives after the abort would remain. One that takes long is given up.
        let _ = tokio::time::timeout(LAST_PIECE, self.settle()).await;
        if let Some(upload) = self.upload.take() {
            self.results.abort_upload(&self.key, &upload).await;
        }
    }

    async fn put_whole(&mut self, digest: &str) -> Result<Written> {
        let put =
            self.results.client.put_object().bucket(&self.results.bucket).key(self.key.as_str());
        let put =
            put.content_type("text/csv; charset=utf-8").metadata(DIGEST, digest).if_none_match("*");
        match put.body(std::mem::take(&mut self.buffer).into()).send().await {
            Ok(put) => {
                self.etag = put.e_tag;
                Ok(Written::New)
            }
            Err(e) if is_taken(&e) => self.results.resolve_conflict(&self.key, digest).await,
            Err(e) => {
                Err(anyhow::Error::new(e)
                    .context(format!("put {} into the results bucket", self.key)))
            }
        }
    }

    async fn send_piece(&mut self, piece: Bytes, digest: Option<&str>) -> Result<()> {
        let s3 = self.results.client.clone();
        let (bucket, key) = (self.results.bucket.clone(), self.key.clone());
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = self.results.begin_upload(&self.key, digest, None).await?;
                self.upload.insert(upload).clone()
            }
        };
        self.settle().await?;
        let Ok(number) = i32::try_from(self.pieces.len() + 1) else {
            bail!("the object has too many pieces")
        };
        let piece = s3
            .upload_part()
            .bucket(bucket)
            .key(key.as_str())
            .upload_id(upload)
            .part_number(number)
            .body(piece.into());
        let failed = format!("send a piece of {key} to the results bucket");
        let sending = tokio::spawn(async move {
            let sent = piece.send().await.context(failed)?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
        });
        self.sending = Some(AbortOnDropHandle::new(sending));
        Ok(())
    }

    /// Waits for the piece that is being sent.
    async fn settle(&mut self) -> Result<()> {
        if let Some(sending) = self.sending.take() {
            self.pieces.push(sending.await??);
        }
        Ok(())
    }

    async fn complete(&mut self, digest: &str) -> Result<Written> {
        let pieces = CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.pieces)))
            .build();
        let s3 = &self.results.client;
        let done = s3
            .complete_multipart_upload()
            .bucket(&self.results.bucket)
            .key(self.key.as_str())
            .set_upload_id(self.upload.clone())
            .multipart_upload(pieces)
            .if_none_match("*")
            .send()
            .await;
        match done {
            Ok(done) => {
                self.upload = None;
                self.etag = done.e_tag;
                Ok(Written::New)
            }
            Err(e) if is_taken(&e) => {
                self.abort().await;
                self.results.resolve_conflict(&self.key, digest).await
            }
            Err(e) => {
                Err(anyhow::Error::new(e)
                    .context(format!("finish {} in the results bucket", self.key)))
            }
        }
    }
}
