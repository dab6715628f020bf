//! The parts of multipart uploads, sent and copied.

use super::*;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder;
use aws_sdk_s3::operation::upload_part_copy::builders::UploadPartCopyFluentBuilder;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::ChecksumAlgorithm;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const MIB: usize = 1024 * 1024;

/// An upload to `KEY` in the results bucket.
pub(super) struct Begun {
    pub(super) s3: Client,
    pub(super) id: String,
}

pub(super) const KEY: &str = "results/large.csv";

impl Begun {
    pub(super) async fn new(s3: &Client, algorithm: Option<ChecksumAlgorithm>) -> Self {
        let upload = s3.create_multipart_upload().bucket(RESULTS).key(KEY);
        let upload = upload.content_type("text/csv").set_checksum_algorithm(algorithm);
        let id = upload.send().await.unwrap().upload_id.unwrap();
        Self { s3: s3.clone(), id }
    }

    pub(super) fn part(&self, number: i32, body: impl Into<Vec<u8>>) -> UploadPartFluentBuilder {
        let part = self.s3.upload_part().bucket(RESULTS).key(KEY).upload_id(&self.id);
        part.part_number(number).body(body.into().into())
    }

    pub(super) fn copy(&self, number: i32, source: &str) -> UploadPartCopyFluentBuilder {
        let part = self.s3.upload_part_copy().bucket(RESULTS).key(KEY).upload_id(&self.id);
        part.part_number(number).copy_source(source)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

async fn put_source(s3: &Client, bytes: Vec<u8>) -> String {
    let put = s3.put_object().bucket(RESULTS).key("work/a b").body(bytes.into());
    put.send().await.unwrap().e_tag.unwrap()
}

const SOURCE: &str = "results/work/a%20b";

#[tokio::test]
async fn part_numbers_are_1_to_10000() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    put_source(&upload.s3, b"x".to_vec()).await;
    for number in [1, 10_000] {
        upload.part(number, "x").send().await.unwrap();
        upload.copy(number, SOURCE).send().await.unwrap();
    }
    for number in [-1, 0, 10_001] {
        // As large as a part may be, so that a refusal has to be read while the client still sends.
        let sent = upload.part(number, vec![0; 6 * MIB]).send().await.unwrap_err();
        assert_eq!(sent.code(), Some("InvalidArgument"), "{number}: {sent:?}");
        let copied = upload.copy(number, SOURCE).send().await.unwrap_err();
        assert_eq!(copied.code(), Some("InvalidArgument"), "{number}: {copied:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_etag_of_a_part_is_its_md5() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let md5 = Some("\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(upload.part(1, "hello").send().await.unwrap().e_tag(), md5);
    put_source(&upload.s3, b"hello".to_vec()).await;
    let copied = upload.copy(2, SOURCE).send().await.unwrap().copy_part_result.unwrap();
    assert_eq!(copied.e_tag(), md5);
    assert!(copied.last_modified().is_some());
    stack.stop().await;
}

#[tokio::test]
async fn the_checksum_an_upload_was_created_for_is_verified_and_answered() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), Some(ChecksumAlgorithm::Sha256)).await;
    let hello = sha256(b"hello");
    let sent = upload.part(1, "hello").checksum_sha256(&hello).send().await.unwrap();
    assert_eq!(sent.checksum_sha256(), Some(hello.as_str()));
    // Computed by the SDK, and sent before the body or, of a file, after it.
    let file = dir.path().join("hello");
    fs::write(&file, "hello").unwrap();
    let file = aws_sdk_s3::primitives::ByteStream::from_path(&file).await.unwrap();
    for body in [b"hello".to_vec().into(), file] {
        let by_sdk = upload.part(2, "").body(body).checksum_algorithm(ChecksumAlgorithm::Sha256);
        assert_eq!(by_sdk.send().await.unwrap().checksum_sha256(), Some(hello.as_str()));
    }
    let wrong = upload.part(3, "other").checksum_sha256(&hello).send().await.unwrap_err();
    assert_eq!(wrong.code(), Some("BadDigest"), "{wrong:?}");
    let wrong = upload.part(3, "other").content_md5(STANDARD.encode([0; 16]));
    let wrong = wrong.checksum_sha256(sha256(b"other")).send().await.unwrap_err();
    assert_eq!(wrong.code(), Some("BadDigest"), "{wrong:?}");
    // What the SDK sends if it is not told otherwise.
    let other = upload.part(3, "hello").send().await.unwrap_err();
    assert_eq!(other.code(), Some("InvalidRequest"));
    let expected = "expected checksum Type: sha256, actual checksum Type: crc32";
    assert!(other.message().unwrap().contains(expected), "{other:?}");
    let parts = upload.s3.list_parts().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    assert_eq!(parts.send().await.unwrap().parts().len(), 2);
    stack.stop().await;
}

#[tokio::test]
async fn a_copy_answers_the_checksum_the_upload_was_created_for() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    put_source(&stack.s3(), b"hello".to_vec()).await;
    for (algorithm, expected) in
        [(Some(ChecksumAlgorithm::Sha256), Some(sha256(b"hello"))), (None, None)]
    {
        let upload = Begun::new(&stack.s3(), algorithm).await;
        let copied = upload.copy(1, SOURCE).send().await.unwrap().copy_part_result.unwrap();
        assert_eq!(copied.checksum_sha256, expected);
        assert_eq!(copied.checksum_crc32, None);
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_copy_is_of_the_version_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let first = put_source(&upload.s3, b"first".to_vec()).await;
    let second = put_source(&upload.s3, b"second".to_vec()).await;
    upload.copy(1, SOURCE).copy_source_if_match(&second).send().await.unwrap();
    upload.copy(1, SOURCE).copy_source_if_none_match(&first).send().await.unwrap();
    let refusals = [
        upload.copy(1, SOURCE).copy_source_if_match(&first),
        upload.copy(1, SOURCE).copy_source_if_none_match(&second),
    ];
    for refused in refusals {
        let refused = refused.send().await.unwrap_err();
        assert_eq!(refused.code(), Some("PreconditionFailed"), "{refused:?}");
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 412);
    }
    let versioned = upload.copy(1, &format!("{SOURCE}?versionId=v1")).send().await.unwrap_err();
    assert_eq!(versioned.code(), Some("NotImplemented"));
    stack.stop().await;
}

#[tokio::test]
async fn a_range_is_copied_if_it_is_within_a_source_of_more_than_5_mib() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), Some(ChecksumAlgorithm::Sha256)).await;
    let bytes: Vec<u8> = (0..6 * MIB).map(|n| (n % 251) as u8).collect();
    put_source(&upload.s3, bytes.clone()).await;
    let (first, last) = (MIB, 6 * MIB - 1);
    let copy = upload.copy(1, SOURCE).copy_source_range(format!("bytes={first}-{last}"));
    let copied = copy.send().await.unwrap().copy_part_result.unwrap();
    assert_eq!(copied.checksum_sha256, Some(sha256(&bytes[first..=last])));
    let beyond = format!("bytes=0-{}", 6 * MIB);
    for range in [&beyond, "bytes=2-1", "bytes=5-", "bytes=-5", "0-5", "bytes=0-1,3-4"] {
        let refused = upload.copy(1, SOURCE).copy_source_range(range).send().await.unwrap_err();
        assert_eq!(refused.code(), Some("InvalidArgument"), "{range}: {refused:?}");
    }
    put_source(&upload.s3, vec![0; 5 * MIB]).await;
    let small = upload.copy(1, SOURCE).copy_source_range("bytes=0-9").send().await.unwrap_err();
    assert_eq!(small.code(), Some("InvalidRequest"), "{small:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_source_that_is_gone_is_no_such_key() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    put_source(&upload.s3, b"x".to_vec()).await;
    upload.s3.delete_object().bucket(RESULTS).key("work/a b").send().await.unwrap();
    for (source, code) in [(SOURCE, "NoSuchKey"), ("nowhere/k", "NoSuchBucket")] {
        let gone = upload.copy(1, source).send().await.unwrap_err();
        assert_eq!(gone.code(), Some(code), "{gone:?}");
        assert_eq!(gone.raw_response().unwrap().status().as_u16(), 404);
    }
    stack.stop().await;
}

/// A pre-signed URL for the first part.
async fn presigned(upload: &Begun) -> url::Url {
    let expiry = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let part = upload.s3.upload_part().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    let signed = part.part_number(1).presigned(expiry).await.unwrap();
    url::Url::parse(signed.uri()).unwrap()
}

#[tokio::test]
async fn bytes_that_are_not_those_that_were_signed_are_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let put = reqwest::Client::new().put(presigned(&upload).await).body("other");
    let signed = hex::encode(Sha256::digest(b"hello"));
    let answer = put.header("x-amz-content-sha256", signed).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    let error = answer.text().await.unwrap();
    assert!(error.contains("<Code>XAmzContentSHA256Mismatch</Code>"), "{error}");
    let parts = upload.s3.list_parts().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    assert!(parts.send().await.unwrap().parts().is_empty());
    stack.stop().await;
}

#[tokio::test]
async fn a_part_that_is_still_sent_when_its_upload_is_aborted_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let url = presigned(&upload).await;
    let host_port = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut socket = tokio::net::TcpStream::connect(&host_port).await.unwrap();
    let target = &url[url::Position::BeforePath..];
    let head = format!("PUT {target} HTTP/1.1\r\nhost: {host_port}\r\ncontent-length: 5\r\n\r\n");
    socket.write_all(format!("{head}he").as_bytes()).await.unwrap();
    let folder = dir.path().join("s3/.uploads").join(&upload.id);
    let is_received = || fs::read_dir(&folder).ok()?.nth(1).map(drop);
    eventually("the first bytes of a part", is_received).await;
    let abort = upload.s3.abort_multipart_upload().bucket(RESULTS).key(KEY);
    abort.upload_id(&upload.id).send().await.unwrap();
    socket.write_all(b"llo").await.unwrap();
    let mut answer = vec![0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 404");
    stack.stop().await;
}
