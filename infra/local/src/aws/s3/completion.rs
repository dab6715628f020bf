//! The completion of a multipart upload: everything is checked before anything is written, and
//! nothing is deleted before the object is in its place.

use super::checksums::{self, checksums_of, composite_sha256};
use super::multipart::internal;
use super::objects::{Objects, request};
use super::uploads::{Part, Upload};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use std::collections::BTreeMap;

/// All parts but the last have at least so many bytes (Amazon S3 User Guide, "Multipart upload
/// limits").
const SMALLEST_PART: u64 = 5 * 1024 * 1024;

impl Objects {
    pub(crate) async fn complete_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let (bucket, key, id) = (&input.bucket, &input.key, &input.upload_id);
        self.check_key(bucket, key, true)?;
        let _writing = self.locks().write(bucket, key).await;
        let _completing = self.lock_upload(id).await;
        let upload = self.upload(id, bucket, key)?;
        self.check_conditions(&input).await?;
        let mut kept = self.uploads().parts(id).map_err(internal)?;
        let listed = input.multipart_upload.as_ref().and_then(|listed| listed.parts.as_deref());
        let parts = chosen(&upload, listed.unwrap_or_default(), &mut kept)?;
        check_whole(&input, &parts)?;
        let checksum = match upload.algorithm.as_deref() {
            Some(ChecksumAlgorithm::SHA256) => {
                composite_sha256(parts.iter().map(|part| part.checksum.as_deref()))
            }
            _ => None,
        };
        check_checksum(input.checksum_sha256.as_deref(), checksum.as_deref())?;
        let e_tag = e_tag(&parts)?;
        let (objects, staged, tag) = (self.clone(), id.clone(), e_tag.clone());
        // Gigabytes may have to be copied.
        tokio::task::spawn_blocking(move || {
            objects.uploads().stage(&staged, &parts, &tag)?;
            objects.uploads().publish(&staged)
        })
        .await
        .map_err(|error| s3_error!(error, InternalError))?
        .map_err(internal)?;
        self.stored(bucket, key, "CompleteMultipartUpload").await;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            e_tag: Some(ETag::Strong(e_tag)),
            checksum_sha256: checksum,
            checksum_type: upload.checksum_type.map(Into::into),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..Default::default()
        }))
    }

    /// `If-None-Match: *` and `If-Match`, against the object that is there.
    async fn check_conditions(&self, input: &CompleteMultipartUploadInput) -> S3Result<()> {
        if input.if_none_match.is_none() && input.if_match.is_none() {
            return Ok(());
        }
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let head = HeadObjectInput { bucket, key, ..Default::default() };
        let found = match self.files().head_object(request(head)).await {
            Ok(head) => head.output.e_tag,
            Err(error) if *error.code() == s3s::S3ErrorCode::NoSuchKey => None,
            Err(error) => return Err(error),
        };
        let taken = input.if_none_match.as_ref().is_some_and(ETagCondition::is_any);
        let matches = match (&input.if_match, &found) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(found)) => {
                wanted.as_etag().is_none_or(|wanted| found.strong_cmp(wanted))
            }
        };
        if (taken && found.is_some()) || !matches {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        Ok(())
    }
}

/// The parts that the object is to have, if they are those that were uploaded.
fn chosen(
    upload: &Upload,
    listed: &[CompletedPart],
    kept: &mut BTreeMap<i32, Part>,
) -> S3Result<Vec<Part>> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    if !listed.is_sorted_by(|one, next| one.part_number < next.part_number) {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        ));
    }
    let mut parts = Vec::with_capacity(listed.len());
    for completed in listed {
        let (Some(number), Some(e_tag)) = (completed.part_number, &completed.e_tag) else {
            return Err(s3_error!(MalformedXML, "A part has a PartNumber and an ETag"));
        };
        check_listed_checksum(upload, number, completed)?;
        let part = kept.remove(&number).filter(|part| part.md5 == e_tag.value());
        let part = part.filter(|part| has_listed_checksum(upload, part, completed));
        let Some(part) = part else {
            return Err(s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
            ));
        };
        parts.push(part);
    }
    if parts.iter().rev().skip(1).any(|part| part.size < SMALLEST_PART) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    Ok(parts)
}

/// Where the object's checksum is made of its parts', all of them have to be listed.
fn check_listed_checksum(upload: &Upload, number: i32, listed: &CompletedPart) -> S3Result<()> {
    let Some(algorithm) = upload.algorithm.as_deref() else { return Ok(()) };
    let listed = checksums_of!(listed);
    if checksums::is_composite(upload) && checksums::of(&listed, algorithm).is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request.",
            algorithm.to_lowercase()
        ));
    }
    Ok(())
}

/// Whether a part has the checksum that is listed for it, if it is one of the upload's algorithm:
/// there are no others to compare with.
fn has_listed_checksum(upload: &Upload, part: &Part, listed: &CompletedPart) -> bool {
    let Some(algorithm) = upload.algorithm.as_deref() else { return true };
    let listed = checksums_of!(listed);
    checksums::of(&listed, algorithm).is_none_or(|listed| part.checksum.as_deref() == Some(listed))
}

/// The size that the client expects of the object.
fn check_whole(input: &CompleteMultipartUploadInput, parts: &[Part]) -> S3Result<()> {
    let size: u64 = parts.iter().map(|part| part.size).sum();
    match input.mpu_object_size {
        Some(expected) if u64::try_from(expected) != Ok(size) => Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        )),
        _ => Ok(()),
    }
}

/// The checksum that the client expects of the object; S3 takes it with or without the number of
/// parts.
fn check_checksum(expected: Option<&str>, computed: Option<&str>) -> S3Result<()> {
    let (Some(expected), Some(computed)) = (expected, computed) else { return Ok(()) };
    if expected != computed && computed.split('-').next() != Some(expected) {
        return Err(s3_error!(
            BadDigest,
            "The sha256 you specified did not match the calculated checksum."
        ));
    }
    Ok(())
}

/// The MD5 of the parts' MD5s, and how many there are.
fn e_tag(parts: &[Part]) -> S3Result<String> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(&hex::decode(&part.md5).map_err(|error| s3_error!(error, InternalError))?);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}
