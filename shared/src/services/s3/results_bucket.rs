//! The bucket for results: objects are written whole or not at all, and never overwrite another.

use crate::object_key::ObjectKey;
use anyhow::{Context, Result, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;

/// As many as S3 deletes in one request (Amazon S3 API Reference, `DeleteObjects`).
const DELETED_AT_ONCE: usize = 1000;
/// The metadata that identifies an object's content, to distinguish the same object written twice
/// from another under its key.
pub(super) const DIGEST: &str = "moondrop-digest";

#[derive(Debug, Clone)]
pub struct ResultsBucket {
    pub(super) client: Client,
    pub(super) bucket: String,
}

/// The outcome of a write to a key that may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The object was written.
    New,
    /// There was an object with the same digest already.
    Same,
    /// There is another object; it was not changed.
    Conflict,
}

impl ResultsBucket {
    #[must_use]
    pub fn new(client: Client, bucket: String) -> Self {
        ResultsBucket { client, bucket }
    }

    /// Reads an object, or a range of it as `(offset, bytes)`; `None` if it does not exist.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn read(
        &self,
        key: &ObjectKey,
        range: Option<(u64, u64)>,
    ) -> Result<Option<ByteStream>> {
        let range =
            range.map(|(offset, bytes)| format!("bytes={offset}-{}", offset + bytes.max(1) - 1));
        match self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .set_range(range)
            .send()
            .await
        {
            Ok(got) => Ok(Some(got.body)),
            Err(e) if e.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
            Err(e) => {
                Err(anyhow::Error::new(e).context(format!("get {key} from the results bucket")))
            }
        }
    }

    /// Reads a small object and its ETag; `None` if it does not exist.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn read_small(&self, key: &ObjectKey) -> Result<Option<(Bytes, String)>> {
        match self.client.get_object().bucket(&self.bucket).key(key.as_str()).send().await {
            Ok(got) => {
                let etag = got.e_tag().unwrap_or_default().to_owned();
                Ok(Some((
                    got.body.collect().await.with_context(|| format!("read {key}"))?.into_bytes(),
                    etag,
                )))
            }
            Err(e) if e.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
            Err(e) => {
                Err(anyhow::Error::new(e).context(format!("get {key} from the results bucket")))
            }
        }
    }

    /// Replaces the small object with this ETag, or writes it if there was none. `false` if another
    /// writer came first.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn replace_small(
        &self,
        key: &ObjectKey,
        body: Vec<u8>,
        etag: Option<&str>,
    ) -> Result<bool> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .content_type("application/json");
        let put = match etag {
            Some(etag) => put.if_match(etag),
            None => put.if_none_match("*"),
        };
        match put.body(body.into()).send().await {
            Ok(_) => Ok(true),
            Err(e) if is_taken(&e) => Ok(false),
            Err(e) => {
                Err(anyhow::Error::new(e).context(format!("put {key} into the results bucket")))
            }
        }
    }

    /// # Errors
    /// If S3 does not answer.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectKey>> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.context("list work files")?;
            keys.extend(
                page.contents().iter().filter_map(|object| object.key()).map(ObjectKey::listed),
            );
        }
        Ok(keys)
    }

    /// Deletes an object; it is no error if it does not exist.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.client
            .delete_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .send()
            .await
            .context("delete a work file")?;
        Ok(())
    }

    /// Deletes objects; it is no error if some do not exist.
    ///
    /// # Errors
    /// If S3 does not answer, or does not delete one.
    pub async fn delete_all(&self, keys: &[ObjectKey]) -> Result<()> {
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let objects: Result<Vec<_>, _> = keys
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key.as_str()).build())
                .collect();
            let delete = Delete::builder().set_objects(Some(objects?)).quiet(true).build()?;
            let deleted = self.client.delete_objects().bucket(&self.bucket).delete(delete).send();
            let failed = deleted.await.context("delete work files")?.errors.unwrap_or_default();
            if let Some(first) = failed.first() {
                let code = first.code().unwrap_or_default();
                bail!("{} work files were not deleted: {code}", failed.len());
            }
        }
        Ok(())
    }

    /// What is under a key, by its metadata: [`Written::Same`] if it has this digest, and otherwise
    /// [`Written::Conflict`]. `None` if there is nothing.
    ///
    /// # Errors
    /// If S3 does not answer.
    pub async fn find(&self, key: &ObjectKey, digest: &str) -> Result<Option<Written>> {
        let head = self.client.head_object().bucket(&self.bucket).key(key.as_str()).send().await;
        match head {
            Ok(head) => {
                let found = head.metadata().and_then(|metadata| metadata.get(DIGEST));
                let is_same = found.is_some_and(|found| found == digest);
                Ok(Some(if is_same { Written::Same } else { Written::Conflict }))
            }
            Err(e) if e.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(e) => {
                Err(anyhow::Error::new(e).context(format!("look up {key} in the results bucket")))
            }
        }
    }

    /// Compares the object under a key that turned out to be taken.
    pub(super) async fn resolve_conflict(&self, key: &ObjectKey, digest: &str) -> Result<Written> {
        let found = self.find(key, digest).await?;
        found.with_context(|| format!("{key} was there in the results bucket, and then it was not"))
    }
}

/// Whether a conditional write failed because there is an object (412), or one is being written at
/// this moment (409).
pub(super) fn is_taken<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(error.code(), Some("PreconditionFailed" | "ConditionalRequestConflict"))
        || matches!(error.raw_response().map(|r| r.status().as_u16()), Some(409 | 412))
}
