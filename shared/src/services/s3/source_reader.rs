//! Reads a source object in the version that was announced, over one connection or several.
//!
//! S3 gives one connection some 90 MB per second (Amazon S3 User Guide, "Performance guidelines": use
//! concurrent byte-range requests). With several, the range is cut into pieces, each fetched by a
//! task of its own; their bytes come out in order.

use crate::services::settings::READ_PIECE_BYTES;
use crate::source::{Source, unquoted};
use anyhow::{Result, anyhow, bail, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

/// How often an interrupted read of a piece is resumed.
const RESUMES: u32 = 5;

/// The announced object no longer exists: it was overwritten in an unversioned bucket, or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file was overwritten or deleted after it was dropped")]
pub struct SourceGone;

/// Whether the error is, or is caused by, [`SourceGone`].
#[must_use]
pub fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.is::<SourceGone>())
}

/// Reads a range of a source object from start to end, and resumes where a connection broke. It
/// ends only after every byte: a truncated body never passes for the whole.
#[derive(Debug)]
pub struct SourceReader {
    object: PinnedObject,
    /// What no piece has yet.
    rest: Range<u64>,
    at_once: usize,
    /// In the order of their bytes.
    pieces: VecDeque<Piece>,
}

impl SourceReader {
    pub(super) fn new(object: PinnedObject, range: Range<u64>, at_once: usize) -> Self {
        SourceReader { object, rest: range, at_once, pieces: VecDeque::new() }
    }

    /// The next bytes, or `None` after the last.
    ///
    /// # Errors
    /// [`SourceGone`] (see [`is_gone`]) if the object is not the announced one; others if S3 does
    /// not answer.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            self.begin_pieces();
            let Some(piece) = self.pieces.front_mut() else { return Ok(None) };
            if let Some(bytes) = piece.next().await? {
                return Ok(Some(bytes));
            }
            self.pieces.pop_front();
        }
    }

    fn begin_pieces(&mut self) {
        while self.pieces.len() < self.at_once && !self.rest.is_empty() {
            let most = if self.at_once == 1 { u64::MAX } else { READ_PIECE_BYTES };
            let range = self.rest.start..self.rest.end.min(self.rest.start.saturating_add(most));
            self.rest.start = range.end;
            let reader = RangeReader::new(self.object.clone(), range);
            // What is whole in one piece gains nothing from a task.
            let is_only = self.pieces.is_empty() && self.rest.is_empty();
            self.pieces.push_back(if is_only {
                Piece::Here(Box::new(reader))
            } else {
                Piece::ahead(reader)
            });
        }
    }
}

#[derive(Debug)]
enum Piece {
    Here(Box<RangeReader>),
    /// Fetched by a task, which ends if it is no longer wanted. The channel holds a piece at most.
    Ahead {
        chunks: UnboundedReceiver<Result<Bytes>>,
        left: u64,
        _task: AbortOnDropHandle<()>,
    },
}

impl Piece {
    fn ahead(mut reader: RangeReader) -> Self {
        let (sender, chunks) = unbounded_channel();
        let left = reader.range.end - reader.range.start;
        let task = tokio::spawn(async move {
            while let Some(next) = reader.next().await.transpose() {
                let is_last = next.is_err();
                if sender.send(next).is_err() || is_last {
                    return;
                }
            }
        });
        Piece::Ahead { chunks, left, _task: AbortOnDropHandle::new(task) }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Piece::Here(reader) => reader.next().await,
            Piece::Ahead { chunks, left, .. } => {
                let next = chunks.recv().await.transpose()?;
                *left -= next.as_ref().map_or(0, |bytes| bytes.len() as u64);
                ensure!(
                    next.is_some() || *left == 0,
                    "a piece of the file was not read to its end"
                );
                Ok(next)
            }
        }
    }
}

/// An object in the version that was announced.
#[derive(Debug, Clone)]
pub(super) struct PinnedObject {
    pub(super) client: Client,
    pub(super) source: Arc<Source>,
}

/// Reads a range over one connection at a time.
#[derive(Debug)]
struct RangeReader {
    object: PinnedObject,
    range: Range<u64>,
    body: Option<ByteStream>,
    resumes: u32,
}

impl RangeReader {
    fn new(object: PinnedObject, range: Range<u64>) -> Self {
        RangeReader { object, range, body: None, resumes: 0 }
    }

    /// The next bytes, or `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.range.is_empty() {
            let next = match &mut self.body {
                Some(body) => body.next().await,
                None => {
                    self.body = Some(self.object.open(&self.range).await?);
                    continue;
                }
            };
            match next {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    let left = self.range.end - self.range.start;
                    if bytes.len() as u64 > left {
                        bail!("S3 sent more of the file than was asked for");
                    }
                    self.range.start += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                broken => {
                    self.body = None;
                    self.resumes += 1;
                    if self.resumes > RESUMES {
                        let cause = broken.map_or_else(
                            || anyhow!("the body ended early"),
                            |e| match e {
                                Ok(_) => anyhow!("the body ended early"),
                                Err(e) => e.into(),
                            },
                        );
                        return Err(
                            cause.context("the connection to read the file breaks again and again")
                        );
                    }
                }
            }
        }
        Ok(None)
    }
}

impl PinnedObject {
    async fn open(&self, range: &Range<u64>) -> Result<ByteStream> {
        let got = self
            .client
            .get_object()
            .bucket(&self.source.bucket)
            .key(&self.source.key)
            .set_version_id(self.source.version_id.clone())
            .if_match(format!("\"{}\"", self.source.etag))
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send()
            .await;
        let got = match got {
            Ok(got) => got,
            Err(e) => {
                let status = e.raw_response().map(|r| r.status().as_u16());
                // 412: another object has the key. 416: the object is shorter.
                if is_missing(&e) || matches!(status, Some(412 | 416)) {
                    return Err(SourceGone.into());
                }
                return Err(anyhow::Error::new(e).context("get the file from S3"));
            }
        };
        // For a store that ignores If-Match.
        if got.e_tag().map(unquoted) != Some(self.source.etag.as_str()) {
            return Err(SourceGone.into());
        }
        Ok(got.body)
    }
}

/// Whether S3 reports that the object does not exist: with the code `NoSuchKey` or `NoSuchVersion`,
/// or with a delete marker, which is a 405 with a header if it is read by its version (Amazon S3
/// User Guide, "Working with delete markers"). Not with any other 404, such as a bucket's, and not
/// with a 403.
pub(super) fn is_missing(error: &SdkError<GetObjectError>) -> bool {
    let Some(response) = error.raw_response() else { return false };
    let marker = response.headers().get("x-amz-delete-marker") == Some("true");
    let code = error.code();
    match response.status().as_u16() {
        404 => marker || matches!(code, Some("NoSuchKey" | "NoSuchVersion")),
        405 => marker,
        _ => false,
    }
}
