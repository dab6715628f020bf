//! The bucket for drops: reads source objects in pieces, in the version that was announced.

use crate::csv::mapping::MAX_MAPPING_BYTES;
use crate::drop::{DropMapping, MappingObject};
use crate::object_key::mapping_key;
use crate::source::{Source, unquoted};
use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use std::ops::Range;

/// The announced object no longer exists: it was overwritten in an unversioned bucket, or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file was overwritten or deleted after it was dropped")]
pub struct SourceGone;

/// Each source names its bucket.
#[derive(Debug, Clone)]
pub struct DropsBucket {
    client: Client,
}

impl DropsBucket {
    #[must_use]
    pub fn new(client: Client) -> Self {
        DropsBucket { client }
    }

    /// Reads `range` of an object; nothing is fetched before the first [`SourceReader::next`].
    #[must_use]
    pub fn read(&self, source: &Source, range: Range<u64>) -> SourceReader {
        SourceReader {
            client: self.client.clone(),
            source: source.clone(),
            range,
            body: None,
            resumes: 0,
        }
    }

    /// The mapping of a drop's folder, in one request; `None` if the folder has none.
    ///
    /// # Errors
    /// If S3 does not answer, also if it refuses to.
    pub async fn mapping(&self, source: &Source) -> Result<Option<DropMapping>> {
        let key = mapping_key(&source.key);
        let got = self.client.get_object().bucket(&source.bucket).key(&key).send().await;
        let got = match got {
            Ok(got) => got,
            Err(e) if is_missing(&e) => return Ok(None),
            Err(e) => return Err(anyhow::Error::new(e).context(format!("get {key} from S3"))),
        };
        let etag = got.e_tag().map(unquoted).context("S3 returned no ETag")?.to_owned();
        let version_id = got.version_id().filter(|id| *id != "null").map(str::to_owned);
        let length = got.content_length().and_then(|length| usize::try_from(length).ok());
        let length = length.with_context(|| format!("S3 returned no length of {key}"))?;
        // What is too long is not read: one byte too many refuses it as well.
        let body = if length > MAX_MAPPING_BYTES {
            vec![b' '; MAX_MAPPING_BYTES + 1].into()
        } else {
            got.body.collect().await.with_context(|| format!("read {key}"))?.into_bytes()
        };
        ensure!(body.len() >= length.min(MAX_MAPPING_BYTES), "{key} was cut short");
        Ok(Some(DropMapping::of(MappingObject { key, version_id, etag }, &body)))
    }

    /// An object's ETag and size, for an event that left them out.
    ///
    /// # Errors
    /// [`SourceGone`] if the object does not exist; others if S3 does not answer.
    pub async fn head(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<(String, u64)> {
        let head = self
            .client
            .head_object()
            .bucket(bucket)
            .key(key)
            .set_version_id(version_id.map(str::to_owned))
            .send()
            .await;
        match head {
            Ok(head) => {
                let etag = head.e_tag().map(unquoted).context("S3 returned no ETag")?.to_owned();
                Ok((etag, u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0)))
            }
            // The answer to a HEAD has no body, and so no error code: a GET of one byte shows what
            // was not found.
            Err(e) if e.as_service_error().is_some_and(|e| e.is_not_found()) => {
                let one = self
                    .client
                    .get_object()
                    .bucket(bucket)
                    .key(key)
                    .set_version_id(version_id.map(str::to_owned));
                match one.range("bytes=0-0").send().await {
                    Err(e) if is_missing(&e) => Err(SourceGone.into()),
                    Err(e) => Err(anyhow::Error::new(e).context("look up the file in S3")),
                    Ok(_) => Err(anyhow!(
                        "S3 answers that the file does not exist, and then that it does"
                    )),
                }
            }
            Err(e) => Err(anyhow::Error::new(e).context("look up the file in S3")),
        }
    }
}

/// How often an interrupted read is resumed.
const RESUMES: u32 = 5;

/// Reads a range of a source object from start to end, and resumes where a connection broke. It
/// ends only after every byte: a truncated body never passes for the whole.
#[derive(Debug)]
pub struct SourceReader {
    client: Client,
    source: Source,
    range: Range<u64>,
    body: Option<ByteStream>,
    resumes: u32,
}

impl SourceReader {
    /// The next bytes, or `None` after the last.
    ///
    /// # Errors
    /// [`SourceGone`] (see [`is_gone`]) if the object is not the announced one; others if S3 does
    /// not answer.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.range.is_empty() {
            let next = match &mut self.body {
                Some(body) => body.next().await,
                None => {
                    self.body = Some(self.open().await?);
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

    async fn open(&self) -> Result<ByteStream> {
        let got = self
            .client
            .get_object()
            .bucket(&self.source.bucket)
            .key(&self.source.key)
            .set_version_id(self.source.version_id.clone())
            .if_match(format!("\"{}\"", self.source.etag))
            .range(format!("bytes={}-{}", self.range.start, self.range.end - 1))
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
fn is_missing(error: &SdkError<GetObjectError>) -> bool {
    let Some(response) = error.raw_response() else { return false };
    let marker = response.headers().get("x-amz-delete-marker") == Some("true");
    let code = error.code();
    match response.status().as_u16() {
        404 => marker || matches!(code, Some("NoSuchKey" | "NoSuchVersion")),
        405 => marker,
        _ => false,
    }
}

/// Whether the error is, or is caused by, [`SourceGone`].
#[must_use]
pub fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.is::<SourceGone>())
}
