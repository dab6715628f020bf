//! The parts of multipart uploads, listed; and uploads that do not exist.

use super::parts::{Begun, KEY, sha256};
use super::*;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use futures_util::future::join_all;

fn numbers(listed: &ListPartsOutput) -> Vec<i32> {
    listed.parts().iter().filter_map(|part| part.part_number()).collect()
}

#[tokio::test]
async fn parts_are_listed_whole_and_sorted() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), Some(ChecksumAlgorithm::Sha256)).await;
    for (number, body) in [(10, "ten"), (2, "two"), (10_000, "last"), (1, "hello")] {
        let part = upload.part(number, body).checksum_sha256(sha256(body.as_bytes()));
        part.send().await.unwrap();
    }
    let list = upload.s3.list_parts().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    let listed = list.send().await.unwrap();
    assert_eq!(numbers(&listed), [1, 2, 10, 10_000]);
    assert_eq!((listed.is_truncated(), listed.max_parts()), (Some(false), Some(1000)));
    assert_eq!(listed.checksum_algorithm(), Some(&ChecksumAlgorithm::Sha256));
    assert_eq!(listed.checksum_type(), Some(&ChecksumType::Composite));
    let first = &listed.parts()[0];
    assert_eq!(first.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(first.checksum_sha256(), Some(sha256(b"hello").as_str()));
    assert_eq!(first.size(), Some(5));
    let age = jiff::Timestamp::now().as_second() - first.last_modified().unwrap().secs();
    assert!((0..60).contains(&age), "{age}");
    stack.stop().await;
}

#[tokio::test]
async fn parts_are_listed_in_pages_of_at_most_1000() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let upload = Begun::new(&stack.s3(), None).await;
    let all: Vec<i32> = (1..=1003).collect();
    for some in all.chunks(50) {
        let sent = join_all(some.iter().map(|number| upload.part(*number, "x").send())).await;
        assert!(sent.iter().all(Result::is_ok));
    }
    let list = || upload.s3.list_parts().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    for asked in [None, Some(2000)] {
        let page = list().set_max_parts(asked).send().await.unwrap();
        assert_eq!(numbers(&page), all[..1000]);
        assert_eq!((page.is_truncated(), page.max_parts()), (Some(true), Some(1000)));
        assert_eq!(page.next_part_number_marker(), Some("1000"));
    }
    let page = list().part_number_marker("1000").max_parts(3).send().await.unwrap();
    assert_eq!((numbers(&page).as_slice(), page.is_truncated()), (&all[1000..], Some(false)));
    let page = list().part_number_marker("7").max_parts(2).send().await.unwrap();
    assert_eq!((numbers(&page), page.next_part_number_marker()), (vec![8, 9], Some("9")));
    let pages = list().max_parts(400).into_paginator().send();
    let pages = pages.try_collect().await.unwrap();
    assert_eq!(pages.iter().flat_map(numbers).collect::<Vec<_>>(), all);
    let wrong = list().max_parts(-1).send().await.unwrap_err();
    assert_eq!(wrong.code(), Some("InvalidArgument"));
    stack.stop().await;
}

/// What each request answers that names this upload.
async fn answers(upload: &Begun, key: &str) -> Vec<Option<String>> {
    let (s3, id) = (&upload.s3, upload.id.as_str());
    let code = |error: &dyn ProvideErrorMetadata| error.code().map(str::to_owned);
    let part = CompletedPart::builder().part_number(1).e_tag("x").build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let send = upload.part(1, "x").key(key).send().await.err();
    let copy = upload.copy(1, "results/source").key(key).send().await.err();
    let list = s3.list_parts().bucket(RESULTS).key(key).upload_id(id).send().await.err();
    let complete = s3.complete_multipart_upload().bucket(RESULTS).key(key).upload_id(id);
    let complete = complete.multipart_upload(parts).send().await.err();
    let abort = s3.abort_multipart_upload().bucket(RESULTS).key(key).upload_id(id);
    let abort = abort.send().await.err();
    let statuses = [
        send.as_ref().and_then(|error| error.raw_response()),
        copy.as_ref().and_then(|error| error.raw_response()),
        list.as_ref().and_then(|error| error.raw_response()),
        complete.as_ref().and_then(|error| error.raw_response()),
        abort.as_ref().and_then(|error| error.raw_response()),
    ];
    assert_eq!(
        statuses.map(|answer| answer.map(|answer| answer.status().as_u16())),
        [Some(404); 5]
    );
    vec![
        send.and_then(|error| code(&error)),
        copy.and_then(|error| code(&error)),
        list.and_then(|error| code(&error)),
        complete.and_then(|error| code(&error)),
        abort.and_then(|error| code(&error)),
    ]
}

#[tokio::test]
async fn an_upload_that_does_not_exist_is_no_such_upload_for_every_request() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    s3.put_object().bucket(RESULTS).key("source").body(b"x".to_vec().into()).send().await.unwrap();
    let no_such_upload = vec![Some("NoSuchUpload".to_owned()); 5];
    for id in ["57e4f93aa2af50cab55824a35910699e", "any id", "../drops"] {
        let unknown = Begun { s3: s3.clone(), id: id.to_owned() };
        assert_eq!(answers(&unknown, KEY).await, no_such_upload, "{id}");
    }
    let upload = Begun::new(&s3, None).await;
    assert_eq!(answers(&upload, "another/key").await, no_such_upload);
    upload.part(1, "x").send().await.unwrap();
    let abort = s3.abort_multipart_upload().bucket(RESULTS).key(KEY).upload_id(&upload.id);
    abort.send().await.unwrap();
    assert_eq!(answers(&upload, KEY).await, no_such_upload);
    stack.stop().await;
}
