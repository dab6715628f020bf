//! The beginning and the giving up of a multipart upload, for whoever sends its pieces.

use super::results_bucket::{DIGEST, ResultsBucket};
use crate::object_key::ObjectKey;
use anyhow::{Context, Result};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::ChecksumAlgorithm;

impl ResultsBucket {
    /// Begins a multipart upload, whose object will have this digest in its metadata; returns its id.
    pub(super) async fn begin_upload(
        &self,
        key: &ObjectKey,
        digest: Option<&str>,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<String> {
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key.as_str())
            .content_type("text/csv; charset=utf-8")
            .set_metadata(digest.map(|digest| [(DIGEST.to_owned(), digest.to_owned())].into()))
            .set_checksum_algorithm(checksum)
            .send()
            .await;
        let begun = begun.with_context(|| format!("begin {key} in the results bucket"))?;
        begun.upload_id.context("S3 returned no upload id")
    }

    /// Aborts a multipart upload. A failure is only logged: the bucket's lifecycle rule aborts it.
    pub(super) async fn abort_upload(&self, key: &ObjectKey, upload: &str) {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key.as_str())
            .upload_id(upload)
            .send()
            .await;
        if let Err(e) = aborted
            && e.code() != Some("NoSuchUpload")
        {
            tracing::warn!(
                error = %aws_sdk_s3::error::DisplayErrorContext(&e),
                "an unfinished multipart upload was not aborted; the bucket's lifecycle rule will abort it"
            );
        }
    }
}
