//! The completion of multipart uploads.

use super::parts::{Begun, KEY, MIB, sha256};
use super::*;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use futures_util::future::join_all;
use std::collections::BTreeMap;

async fn send(upload: &Begun, number: i32, body: Vec<u8>) -> CompletedPart {
    let sent = upload.part(number, body).send().await.unwrap();
    CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build()
}

fn complete(upload: &Begun, parts: &[CompletedPart]) -> CompleteMultipartUploadFluentBuilder {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
    let complete = upload.s3.complete_multipart_upload().bucket(RESULTS).key(KEY);
    complete.upload_id(&upload.id).multipart_upload(parts)
}

async fn refusal(upload: &Begun, parts: &[CompletedPart]) -> String {
    let refused = complete(upload, parts).send().await.unwrap_err();
    refused.code().unwrap().to_owned()
}

async fn object(s3: &Client) -> Option<(String, Vec<u8>)> {
    let object = s3.get_object().bucket(RESULTS).key(KEY).send().await.ok()?;
    let e_tag = object.e_tag().unwrap().to_owned();
    Some((e_tag, object.body.collect().await.unwrap().to_vec()))
}

#[tokio::test]
async fn a_part_that_is_too_small_is_refused_and_nothing_is_deleted_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let (s3, upload) = (stack.s3(), Begun::new(&stack.s3(), None).await);
    s3.put_object().bucket(RESULTS).key(KEY).body(b"old".to_vec().into()).send().await.unwrap();
    let old = object(&s3).await;
    let mut parts = [
        send(&upload, 1, vec![b'a'; 5 * MIB]).await,
        send(&upload, 2, vec![b'b'; 5 * MIB - 1]).await,
        send(&upload, 3, b"end".to_vec()).await,
    ];
    assert_eq!(refusal(&upload, &parts).await, "EntityTooSmall");
    assert_eq!(object(&s3).await, old);
    let listed = s3.list_parts().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    assert_eq!(listed.send().await.unwrap().parts().len(), 3);
    // It can still be completed, once the part has its full size.
    parts[1] = send(&upload, 2, vec![b'b'; 5 * MIB]).await;
    complete(&upload, &parts).send().await.unwrap();
    assert_eq!(object(&s3).await.unwrap().1.len(), 10 * MIB + 3);
    stack.stop().await;
}

#[tokio::test]
async fn listed_parts_are_in_order_exist_and_have_the_etag_given() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let one = send(&upload, 1, vec![b'a'; 5 * MIB]).await;
    let two = send(&upload, 2, b"end".to_vec()).await;
    let order = [two.clone(), one.clone()];
    assert_eq!(refusal(&upload, &order).await, "InvalidPartOrder");
    assert_eq!(refusal(&upload, &[one.clone(), one.clone()]).await, "InvalidPartOrder");
    let listed = |number: i32, e_tag: &CompletedPart| {
        CompletedPart::builder().part_number(number).set_e_tag(e_tag.e_tag.clone()).build()
    };
    assert_eq!(refusal(&upload, &[one.clone(), listed(3, &two)]).await, "InvalidPart");
    assert_eq!(refusal(&upload, &[one.clone(), listed(2, &one)]).await, "InvalidPart");
    assert_eq!(refusal(&upload, &[]).await, "MalformedXML");
    assert_eq!(object(&upload.s3).await, None);
    let size = complete(&upload, &[one.clone(), two.clone()]).mpu_object_size(7).send().await;
    assert_eq!(size.unwrap_err().code(), Some("InvalidRequest"));
    complete(&upload, &[one, two]).send().await.unwrap();
    stack.stop().await;
}

#[tokio::test]
async fn numbers_may_have_gaps_and_the_etag_is_the_md5_of_the_md5s() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let parts = [
        send(&upload, 3, vec![b'a'; 5 * MIB]).await,
        send(&upload, 70, vec![b'b'; 5 * MIB]).await,
        send(&upload, 10_000, b"end".to_vec()).await,
    ];
    // One that is not listed is no part of the object.
    send(&upload, 50, b"left out".to_vec()).await;
    let completed = complete(&upload, &parts).send().await.unwrap();
    // md5(md5("a" × 5 MiB) ‖ md5("b" × 5 MiB) ‖ md5("end")), by Python's hashlib.
    let e_tag = "\"664acfbb935a00cf57c9f91ad983b354-3\"";
    assert_eq!(completed.e_tag(), Some(e_tag));
    let bytes = [vec![b'a'; 5 * MIB], vec![b'b'; 5 * MIB], b"end".to_vec()].concat();
    assert!(object(&upload.s3).await == Some((e_tag.to_owned(), bytes)));
    let head = upload.s3.head_object().bucket(RESULTS).key(KEY).send().await.unwrap();
    assert_eq!((head.content_type(), head.e_tag()), (Some("text/csv"), Some(e_tag)));
    stack.stop().await;
}

#[tokio::test]
async fn listed_checksums_are_compared_and_none_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), Some(ChecksumAlgorithm::Sha256)).await;
    let right = sha256(b"hello");
    let sent = upload.part(1, "hello").checksum_sha256(&right).send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).set_e_tag(sent.e_tag);
    let missing = complete(&upload, &[part.clone().build()]).send().await.unwrap_err();
    assert_eq!(missing.code(), Some("InvalidRequest"));
    assert!(missing.message().unwrap().contains("missing for part 1"), "{missing:?}");
    let wrong = part.clone().checksum_sha256(sha256(b"other")).build();
    assert_eq!(refusal(&upload, &[wrong]).await, "InvalidPart");
    let part = part.checksum_sha256(&right).build();
    let whole = complete(&upload, std::slice::from_ref(&part)).checksum_sha256(&right).send().await;
    assert_eq!(whole.unwrap_err().code(), Some("BadDigest"));
    assert_eq!(object(&upload.s3).await, None);
    let completed = complete(&upload, &[part]).send().await.unwrap();
    // sha256(sha256("hello")), by Python's hashlib.
    assert_eq!(completed.checksum_sha256(), Some("lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA=-1"));
    assert_eq!(completed.checksum_type(), Some(&ChecksumType::Composite));
    stack.stop().await;
}

#[tokio::test]
async fn a_completion_may_want_to_be_first() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let (s3, first) = (stack.s3(), Begun::new(&stack.s3(), None).await);
    let second = Begun::new(&s3, None).await;
    let (one, two) = (send(&first, 1, b"1".to_vec()).await, send(&second, 1, b"2".to_vec()).await);
    complete(&first, &[one]).if_none_match("*").send().await.unwrap();
    let late = complete(&second, std::slice::from_ref(&two));
    let late = late.if_none_match("*").send().await.unwrap_err();
    assert_eq!(late.code(), Some("PreconditionFailed"));
    assert_eq!(late.raw_response().unwrap().status().as_u16(), 412);
    assert_eq!(object(&s3).await.unwrap().1, b"1");
    complete(&second, &[two]).send().await.unwrap();
    assert_eq!(object(&s3).await.unwrap().1, b"2");
    stack.stop().await;
}

#[tokio::test]
async fn a_completed_upload_is_gone_and_its_object_stays() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let parts = [send(&upload, 1, b"x".to_vec()).await];
    complete(&upload, &parts).send().await.unwrap();
    assert_eq!(refusal(&upload, &parts).await, "NoSuchUpload");
    assert_eq!(object(&upload.s3).await.unwrap().1, b"x");
    stack.stop().await;
}

#[tokio::test]
async fn a_part_uploaded_again_replaces_the_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let earlier = send(&upload, 1, b"earlier".to_vec()).await;
    let later = send(&upload, 1, b"later".to_vec()).await;
    assert_eq!(refusal(&upload, &[earlier]).await, "InvalidPart");
    complete(&upload, &[later]).send().await.unwrap();
    assert_eq!(object(&upload.s3).await.unwrap().1, b"later");
    stack.stop().await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let before = Begun::new(&stack.s3(), None).await;
    let one = send(&before, 1, vec![b'a'; 5 * MIB]).await;
    stack.stop().await;
    let stack = servers(dir.path()).await;
    let after = Begun { s3: stack.s3(), id: before.id };
    let two = send(&after, 2, b"end".to_vec()).await;
    complete(&after, &[one, two]).send().await.unwrap();
    assert_eq!(object(&after.s3).await.unwrap().1.len(), 5 * MIB + 3);
    stack.stop().await;
}

#[tokio::test]
async fn one_version_is_visible_at_a_time_while_uploads_complete() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    let mut uploads = vec![];
    for n in 0..8_u8 {
        let upload = Begun::new(&s3, None).await;
        let parts = [send(&upload, 1, vec![b'a' + n; MIB]).await];
        uploads.push((upload, parts));
    }
    let (first, parts) = uploads.remove(0);
    complete(&first, &parts).send().await.unwrap();
    let mut known = BTreeMap::from([(object(&s3).await.unwrap().0, b'a')]);
    let writers = uploads.iter().map(|(upload, parts)| complete(upload, parts).send());
    let readers = join_all((0..40).map(|_| object(&s3)));
    let (completed, read) = tokio::join!(join_all(writers), readers);
    for (completed, byte) in completed.into_iter().zip(b'b'..) {
        known.insert(completed.unwrap().e_tag.unwrap(), byte);
    }
    for (e_tag, bytes) in read.into_iter().map(Option::unwrap) {
        assert!(bytes.len() == MIB && bytes.iter().all(|byte| *byte == known[&e_tag]));
    }
    stack.stop().await;
}
