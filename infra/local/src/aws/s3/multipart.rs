//! Multipart uploads, as strict as S3: created, sent and copied into, listed and aborted.

use super::checksums::{self, checksums_of, with_checksum};
use super::objects::{Objects, request};
use super::uploads::{Part, Upload};
use crate::files::Unfinished;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{Part as ListedPart, Range, *};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, StdError, s3_error};
use serde_json::json;
use std::io::ErrorKind;
use std::time::SystemTime;
use tokio::io::AsyncWriteExt as _;

/// S3's limits (Amazon S3 User Guide, "Multipart upload limits"): part numbers are 1 to 10,000, and
/// so many parts at most are listed at once.
const PART_NUMBERS: std::ops::RangeInclusive<i32> = 1..=10_000;
const LISTED: i32 = 1000;
/// Of a source that is not larger no range can be copied (Amazon S3 API Reference,
/// `UploadPartCopy`).
const SMALLEST_IN_RANGES: u64 = 5 * 1024 * 1024;
/// The name of all uploads' locks, beside those of objects. No bucket can have this name.
const LOCKS: &str = ".uploads";

/// The bytes of a part that is still to be accepted.
struct Received {
    bytes: Unfinished,
    size: u64,
    md5: [u8; 16],
    checksums: Checksum,
}

impl Objects {
    pub(crate) async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        self.check_key(&input.bucket, &input.key, true)?;
        if input.key.ends_with('/') {
            return Err(s3_error!(
                InvalidArgument,
                "The local S3 keeps a key that ends in a slash as a folder, which has no bytes"
            ));
        }
        let algorithm = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let kind = input.checksum_type.as_ref().map(ChecksumType::as_str);
        let (algorithm, checksum_type) = checksums::chosen(algorithm, kind)?;
        // As `s3s-fs` reads them.
        let attributes = json!({
            "user_metadata": input.metadata,
            "content_encoding": input.content_encoding,
            "content_type": input.content_type,
            "content_disposition": input.content_disposition,
            "content_language": input.content_language,
            "cache_control": input.cache_control,
            "expires": input.expires,
            "website_redirect_location": input.website_redirect_location,
        });
        let (bucket, key) = (input.bucket, input.key);
        let upload = Upload { bucket, key, algorithm, checksum_type, attributes };
        let id = self.uploads().create(&upload).map_err(internal)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            checksum_algorithm: upload.algorithm.map(Into::into),
            checksum_type: upload.checksum_type.map(Into::into),
            bucket: Some(upload.bucket),
            key: Some(upload.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    pub(crate) async fn receive_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let Some(mut body) = request.input.body.take() else {
            return Err(s3_error!(IncompleteBody));
        };
        let input = request.input;
        let (id, number) = (input.upload_id.as_str(), input.part_number);
        let upload = match self.destination(id, number, (&input.bucket, &input.key)) {
            Ok(upload) => upload,
            Err(refusal) => {
                // A client that is still sending would see a broken connection, not the answer.
                while body.next().await.is_some_and(|received| received.is_ok()) {}
                return Err(refusal);
            }
        };
        let headers = &request.headers;
        let hasher = checksums::hasher(|algorithm| {
            upload.algorithm.as_deref() == Some(algorithm) || checksums::is_sent(headers, algorithm)
        });
        let received = self.receive(id, body, hasher).await?;
        checksums::verify_md5(input.content_md5.as_deref(), &received.md5)?;
        let sent = checksums::sent(checksums_of!(input), request.trailing_headers.as_ref());
        checksums::verify(&upload, &sent, &received.checksums)?;
        let part = self.keep(&upload, (id, number), received).await?;
        let answer = UploadPartOutput { e_tag: Some(e_tag(&part)), ..Default::default() };
        Ok(S3Response::new(with_checksum!(answer, upload, part.checksum)))
    }

    pub(crate) async fn receive_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = request.input;
        let (id, number) = (input.upload_id.as_str(), input.part_number);
        let upload = self.destination(id, number, (&input.bucket, &input.key))?;
        let source = self.source(&input).await?;
        let hasher = checksums::hasher(|algorithm| upload.algorithm.as_deref() == Some(algorithm));
        let received = self.receive(id, source, hasher).await?;
        let part = self.keep(&upload, (id, number), received).await?;
        let answer = CopyPartResult {
            e_tag: Some(e_tag(&part)),
            last_modified: Some(part.modified.clone()),
            ..Default::default()
        };
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(with_checksum!(answer, upload, part.checksum)),
            ..Default::default()
        }))
    }

    pub(crate) async fn parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let id = input.upload_id.as_str();
        let _reading = self.locks().read(LOCKS, id).await;
        let upload = self.upload(id, &input.bucket, &input.key)?;
        let asked = input.max_parts.unwrap_or(LISTED);
        let marker = input.part_number_marker.unwrap_or(0);
        if asked < 0 || marker < 0 {
            return Err(s3_error!(
                InvalidArgument,
                "Argument max-parts and part-number-marker must be an integer between 0 and 2147483647"
            ));
        }
        let max_parts = asked.min(LISTED);
        let all = self.uploads().parts(id).map_err(internal)?;
        let mut rest = all.into_iter().filter(|(number, _)| *number > marker).peekable();
        let page = rest.by_ref().take(usize::try_from(max_parts).unwrap_or_default());
        let page: Vec<_> = page
            .map(|(number, part)| {
                let listed = ListedPart {
                    e_tag: Some(e_tag(&part)),
                    last_modified: Some(part.modified),
                    part_number: Some(number),
                    size: i64::try_from(part.size).ok(),
                    ..Default::default()
                };
                with_checksum!(listed, upload, part.checksum)
            })
            .collect();
        // S3 says so of an empty page, too, when nothing was asked for.
        let next = page.last().and_then(|part| part.part_number);
        Ok(S3Response::new(ListPartsOutput {
            is_truncated: Some(next.is_some() && rest.peek().is_some()),
            next_part_number_marker: next,
            part_number_marker: Some(marker),
            max_parts: Some(max_parts),
            parts: Some(page),
            checksum_algorithm: upload.algorithm.map(Into::into),
            checksum_type: upload.checksum_type.map(Into::into),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            ..Default::default()
        }))
    }

    pub(crate) async fn abort_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        let _writing = self.locks().write(LOCKS, &upload_id).await;
        self.upload(&upload_id, &bucket, &key)?;
        self.uploads().remove(&upload_id).map_err(internal)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    /// An upload of this object, if it has neither been completed nor aborted.
    pub(super) fn upload(&self, id: &str, bucket: &str, key: &str) -> S3Result<Upload> {
        let upload = self.uploads().find(id).map_err(internal)?;
        upload
            .filter(|upload| upload.bucket == bucket && upload.key == key)
            .ok_or_else(no_such_upload)
    }

    /// Keeps everybody else from an upload.
    pub(super) async fn lock_upload(&self, id: &str) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        self.locks().write(LOCKS, id).await
    }

    /// The upload that a part is sent to.
    fn destination(&self, id: &str, number: i32, (bucket, key): (&str, &str)) -> S3Result<Upload> {
        if !PART_NUMBERS.contains(&number) {
            return Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            ));
        }
        self.upload(id, bucket, key)
    }

    /// Writes what is to become a part, while others may send the same one.
    async fn receive<S>(
        &self,
        id: &str,
        mut body: S,
        mut hasher: ChecksumHasher,
    ) -> S3Result<Received>
    where
        S: Stream<Item = Result<Bytes, StdError>> + Unpin,
    {
        let bytes = self.uploads().bytes(id);
        let mut file = match tokio::fs::File::create(bytes.path()).await {
            // The upload's folder: it has just been completed or aborted.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_such_upload()),
            file => file.map_err(internal)?,
        };
        let (mut size, mut md5) = (0, Md5::new());
        while let Some(received) = body.next().await {
            let received = received.map_err(|error| broken(&*error))?;
            md5.update(&received);
            hasher.update(&received);
            file.write_all(&received).await.map_err(internal)?;
            size += received.len() as u64;
        }
        file.flush().await.map_err(internal)?;
        Ok(Received { bytes, size, md5: md5.finalize(), checksums: hasher.finalize() })
    }

    /// Makes what was received a part, unless the upload has ended in the meantime.
    async fn keep(
        &self,
        upload: &Upload,
        (id, number): (&str, i32),
        received: Received,
    ) -> S3Result<Part> {
        let _writing = self.lock_upload(id).await;
        self.upload(id, &upload.bucket, &upload.key)?;
        let algorithm = upload.algorithm.as_deref().unwrap_or_default();
        let name = received.bytes.path().file_name().and_then(|name| name.to_str());
        let part = Part {
            file: name.unwrap_or_default().to_owned(),
            size: received.size,
            md5: hex::encode(received.md5),
            checksum: checksums::of(&received.checksums, algorithm).map(str::to_owned),
            modified: SystemTime::now().into(),
        };
        self.uploads().keep((id, number), received.bytes, &part).map_err(internal)?;
        Ok(part)
    }

    /// The bytes to copy: of one version of the source, which meets the conditions.
    async fn source(&self, input: &UploadPartCopyInput) -> S3Result<StreamingBlob> {
        let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "The local S3 has no versions"));
        };
        if input.copy_source_if_modified_since.is_some()
            || input.copy_source_if_unmodified_since.is_some()
        {
            return Err(s3_error!(NotImplemented, "The local S3 copies by ETag, not by time"));
        }
        let (bucket, key) = (bucket.to_string(), key.to_string());
        let _reading = self.locks().read(&bucket, &key).await;
        let (of_head, of_get) = (bucket.clone(), key.clone());
        let head = HeadObjectInput { bucket, key, ..Default::default() };
        let head = self.files().head_object(request(head)).await?.output;
        let is = |condition: &ETagCondition| match (condition.as_etag(), &head.e_tag) {
            (Some(wanted), Some(found)) => found.value() == wanted.value(),
            _ => true,
        };
        if input.copy_source_if_match.as_ref().is_some_and(|condition| !is(condition))
            || input.copy_source_if_none_match.as_ref().is_some_and(is)
        {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        let size = head.content_length.and_then(|size| u64::try_from(size).ok());
        let range = input.copy_source_range.as_deref();
        let range = range.map(|range| range_of(range, size.unwrap_or_default())).transpose()?;
        let get = GetObjectInput { bucket: of_head, key: of_get, range, ..Default::default() };
        // It holds the file open, so that the lock is not needed for what follows.
        let source = self.files().get_object(request(get)).await?.output;
        source.body.ok_or_else(|| s3_error!(InternalError))
    }
}

/// `bytes=first-last`, both within the source.
fn range_of(range: &str, size: u64) -> S3Result<Range> {
    let ends = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let ends = ends
        .and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    match ends {
        Some((first, last)) if first <= last && last >= size => Err(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object of size: {size}"
        )),
        Some((first, last)) if first <= last && size <= SMALLEST_IN_RANGES => Err(s3_error!(
            InvalidRequest,
            "The specified copy source is not supported as a byte-range copy source"
        )),
        Some((first, last)) if first <= last => Ok(Range::Int { first, last: Some(last) }),
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        )),
    }
}

/// A body that could not be received to its end, or is not what was signed.
fn broken(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    if error.to_string().contains("Sha256Mismatch") {
        let code = S3ErrorCode::from_bytes(b"XAmzContentSHA256Mismatch");
        let mut error = S3Error::new(code.unwrap_or(S3ErrorCode::BadDigest));
        error.set_message(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    }
    s3_error!(IncompleteBody, "The body could not be received: {error}")
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed."
    )
}

pub(super) fn e_tag(part: &Part) -> ETag {
    ETag::Strong(part.md5.clone())
}

pub(super) fn internal(error: std::io::Error) -> S3Error {
    s3_error!(error, InternalError)
}
