//! The checksums of parts: which ones a client sends, whether they are those the upload was created
//! for, and whether they are right.

use super::uploads::Upload;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm, ChecksumType};
use s3s::{S3Result, TrailingHeaders, s3_error};
use sha2::{Digest, Sha256};

pub(super) const ALGORITHMS: [&str; 5] = [
    ChecksumAlgorithm::CRC32,
    ChecksumAlgorithm::CRC32C,
    ChecksumAlgorithm::CRC64NVME,
    ChecksumAlgorithm::SHA1,
    ChecksumAlgorithm::SHA256,
];

/// The checksums of a request or a listed part, which have their fields in common.
macro_rules! checksums_of {
    ($of:expr) => {
        s3s::dto::Checksum {
            checksum_crc32: $of.checksum_crc32.clone(),
            checksum_crc32c: $of.checksum_crc32c.clone(),
            checksum_crc64nvme: $of.checksum_crc64nvme.clone(),
            checksum_sha1: $of.checksum_sha1.clone(),
            checksum_sha256: $of.checksum_sha256.clone(),
            ..Default::default()
        }
    };
}

/// An answer with the checksum of the upload's algorithm.
macro_rules! with_checksum {
    ($answer:expr, $upload:expr, $checksum:expr) => {{
        let mut answer = $answer;
        let checksum = $checksum.clone();
        match $upload.algorithm.as_deref() {
            Some("CRC32") => answer.checksum_crc32 = checksum,
            Some("CRC32C") => answer.checksum_crc32c = checksum,
            Some("CRC64NVME") => answer.checksum_crc64nvme = checksum,
            Some("SHA1") => answer.checksum_sha1 = checksum,
            Some("SHA256") => answer.checksum_sha256 = checksum,
            _ => {}
        }
        answer
    }};
}

pub(super) use {checksums_of, with_checksum};

/// One of several checksums.
pub(super) fn of<'a>(checksums: &'a Checksum, algorithm: &str) -> Option<&'a str> {
    match algorithm {
        ChecksumAlgorithm::CRC32 => checksums.checksum_crc32.as_deref(),
        ChecksumAlgorithm::CRC32C => checksums.checksum_crc32c.as_deref(),
        ChecksumAlgorithm::CRC64NVME => checksums.checksum_crc64nvme.as_deref(),
        ChecksumAlgorithm::SHA1 => checksums.checksum_sha1.as_deref(),
        ChecksumAlgorithm::SHA256 => checksums.checksum_sha256.as_deref(),
        _ => None,
    }
}

/// The algorithm and the type of an upload's checksums, as it is created.
pub(super) fn chosen(
    algorithm: Option<&str>,
    kind: Option<&str>,
) -> S3Result<(Option<String>, Option<String>)> {
    let Some(algorithm) = algorithm else { return Ok((None, None)) };
    let Some(algorithm) = ALGORITHMS.into_iter().find(|a| a.eq_ignore_ascii_case(algorithm)) else {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        ));
    };
    let full = algorithm == ChecksumAlgorithm::CRC64NVME;
    let default = if full { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    let kind = kind.unwrap_or(default);
    let sha = algorithm.starts_with("SHA");
    match kind {
        ChecksumType::COMPOSITE if !full => {}
        ChecksumType::FULL_OBJECT if !sha => {}
        _ => {
            return Err(s3_error!(
                InvalidRequest,
                "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                algorithm.to_lowercase()
            ));
        }
    }
    Ok((Some(algorithm.to_owned()), Some(kind.to_owned())))
}

/// Whether the object's checksum is made of its parts' checksums, so that all of them have to be
/// sent and listed.
pub(super) fn is_composite(upload: &Upload) -> bool {
    upload.checksum_type.as_deref() == Some(ChecksumType::COMPOSITE)
}

/// Computes the checksums of these algorithms.
pub(super) fn hasher(wanted: impl Fn(&str) -> bool) -> ChecksumHasher {
    ChecksumHasher {
        crc32: wanted(ChecksumAlgorithm::CRC32).then(Default::default),
        crc32c: wanted(ChecksumAlgorithm::CRC32C).then(Default::default),
        sha1: wanted(ChecksumAlgorithm::SHA1).then(Default::default),
        sha256: wanted(ChecksumAlgorithm::SHA256).then(Default::default),
        crc64nvme: wanted(ChecksumAlgorithm::CRC64NVME).then(Default::default),
    }
}

/// Whether a client sends the checksum of an algorithm, before its body or after it.
pub(super) fn is_sent(headers: &http::HeaderMap, algorithm: &str) -> bool {
    let name = format!("x-amz-checksum-{}", algorithm.to_lowercase());
    let trailers = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(&name)
        || trailers.flat_map(|list| list.split(',')).any(|one| one.trim() == name)
}

/// What a client sent, in headers and after the body.
pub(super) fn sent(headers: Checksum, trailers: Option<&TrailingHeaders>) -> Checksum {
    let mut sent = headers;
    let Some(trailers) = trailers.and_then(TrailingHeaders::take) else { return sent };
    let trailing = |name: &str| {
        trailers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.to_owned())
    };
    sent.checksum_crc32 = sent.checksum_crc32.or_else(|| trailing("x-amz-checksum-crc32"));
    sent.checksum_crc32c = sent.checksum_crc32c.or_else(|| trailing("x-amz-checksum-crc32c"));
    sent.checksum_crc64nvme =
        sent.checksum_crc64nvme.or_else(|| trailing("x-amz-checksum-crc64nvme"));
    sent.checksum_sha1 = sent.checksum_sha1.or_else(|| trailing("x-amz-checksum-sha1"));
    sent.checksum_sha256 = sent.checksum_sha256.or_else(|| trailing("x-amz-checksum-sha256"));
    sent
}

/// Refuses a part with another checksum than the upload was created for, or without one, and a part
/// whose bytes do not have the checksum that was sent.
pub(super) fn verify(upload: &Upload, sent: &Checksum, computed: &Checksum) -> S3Result<()> {
    let kinds = ALGORITHMS.into_iter().filter_map(|kind| Some((kind, of(sent, kind)?)));
    let kinds: Vec<_> = kinds.collect();
    if let Some(expected) = upload.algorithm.as_deref() {
        let other = kinds.iter().map(|(kind, _)| *kind).find(|kind| *kind != expected);
        if other.is_some() || (kinds.is_empty() && is_composite(upload)) {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                expected.to_lowercase(),
                other.unwrap_or("null").to_lowercase()
            ));
        }
    }
    match kinds.iter().find(|(kind, sent)| of(computed, kind) != Some(sent)) {
        Some((kind, _)) => Err(s3_error!(
            BadDigest,
            "The {kind} you specified did not match the calculated checksum."
        )),
        None => Ok(()),
    }
}

/// `Content-MD5`, against the MD5 of what was received.
pub(super) fn verify_md5(sent: Option<&str>, computed: &[u8]) -> S3Result<()> {
    let Some(sent) = sent else { return Ok(()) };
    match STANDARD.decode(sent) {
        Ok(md5) if md5 == computed => Ok(()),
        Ok(md5) if md5.len() == computed.len() => Err(s3_error!(
            BadDigest,
            "The Content-MD5 you specified did not match what we received."
        )),
        _ => Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
    }
}

/// The object's checksum, made of its parts' SHA-256 checksums, as S3 does: `<base64>-<parts>`.
pub(super) fn composite_sha256<'a>(parts: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let (mut hash, mut count) = (Sha256::new(), 0);
    for part in parts {
        hash.update(STANDARD.decode(part?).ok()?);
        count += 1;
    }
    Some(format!("{}-{count}", STANDARD.encode(hash.finalize())))
}
