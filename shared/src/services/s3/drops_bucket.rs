//! The bucket for drops: reads source objects in pieces, in the version that was announced.

use crate::csv::mapping::MAX_MAPPING_BYTES;
use crate::drop::{DropMapping, MappingObject};
use crate::object_key::mapping_key;
use crate::services::s3::source_reader::{PinnedObject, SourceGone, SourceReader, is_missing};
use crate::source::{Source, unquoted};
use anyhow::{Context, Result, anyhow, ensure};
use aws_sdk_s3::Client;
use std::ops::Range;
use std::sync::Arc;

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

    /// Reads `range` of an object over one connection; nothing is fetched before the first
    /// [`SourceReader::next`].
    #[must_use]
    pub fn read(&self, source: &Source, range: Range<u64>) -> SourceReader {
        self.read_ahead(source, range, 1)
    }

    /// Reads `range` of an object over `at_once` connections, in order. Up to `at_once` pieces of
    /// [`READ_PIECE_BYTES`](crate::services::settings::READ_PIECE_BYTES) are kept in memory.
    #[must_use]
    pub fn read_ahead(&self, source: &Source, range: Range<u64>, at_once: usize) -> SourceReader {
        let object = PinnedObject { client: self.client.clone(), source: Arc::new(source.clone()) };
        SourceReader::new(object, range, at_once)
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
