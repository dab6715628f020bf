//! S3 through its SDK.

use super::*;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures_util::future::join_all;
use moondrop_shared::object_key::{ObjectKey, results_folder, second_folder};
use moondrop_shared::source::DropId;
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt;

async fn get(stack: &AwsEmulator, key: &str) -> Vec<u8> {
    let object = stack.s3().get_object().bucket(DROPS).key(key).send().await.unwrap();
    object.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_read_can_be_pinned_to_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    let put =
        s3.put_object().bucket(DROPS).key("k").body(b"one".to_vec().into()).send().await.unwrap();
    let e_tag = put.e_tag().unwrap();
    let pinned = s3
        .get_object()
        .bucket(DROPS)
        .key("k")
        .range("bytes=1-2")
        .if_match(e_tag)
        .send()
        .await
        .unwrap();
    assert_eq!(pinned.body.collect().await.unwrap().to_vec(), b"ne");
    s3.put_object().bucket(DROPS).key("k").body(b"two".to_vec().into()).send().await.unwrap();
    let late = s3.get_object().bucket(DROPS).key("k").if_match(e_tag).send().await.unwrap_err();
    assert_eq!(late.raw_response().unwrap().status().as_u16(), 412);
    assert_eq!(late.code(), Some("PreconditionFailed"));
    assert!(s3.head_object().bucket(DROPS).key("k").if_match(e_tag).send().await.is_err());
    stack.stop().await;
}

#[tokio::test]
async fn of_many_writers_who_want_to_be_first_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    let writers = (0..8_u8).map(|n| {
        let body = vec![b'a' + n; 100_000];
        s3.put_object().bucket(RESULTS).key("r").if_none_match("*").body(body.into()).send()
    });
    let outcomes = join_all(writers).await;
    let refused: Vec<_> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()?.code()).collect();
    assert_eq!(refused, ["PreconditionFailed"; 7]);
    let object = s3.get_object().bucket(RESULTS).key("r").send().await.unwrap();
    let winner = outcomes.iter().find_map(|outcome| outcome.as_ref().ok()).unwrap();
    assert_eq!(object.e_tag(), winner.e_tag());
    stack.stop().await;
}

#[tokio::test]
async fn a_reader_never_sees_one_version_under_the_etag_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    let write = |n: usize| {
        s3.put_object().bucket(DROPS).key("k").body(vec![b'0' + (n % 10) as u8; 1000].into()).send()
    };
    let known: BTreeMap<_, _> = {
        let mut known = BTreeMap::new();
        for n in 0..10 {
            known.insert(write(n).await.unwrap().e_tag().unwrap().to_owned(), b'0' + n as u8);
        }
        known
    };
    let writers = join_all((0..40).map(write));
    let readers = join_all((0..40).map(|_| async {
        let object = s3.get_object().bucket(DROPS).key("k").send().await.unwrap();
        let expected = known[object.e_tag().unwrap()];
        let body = object.body.collect().await.unwrap().to_vec();
        assert!(body.len() == 1000 && body.iter().all(|byte| *byte == expected));
    }));
    tokio::join!(writers, readers);
    stack.stop().await;
}

#[tokio::test]
async fn a_multipart_upload_replaces_an_object_and_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    let (s3, key) = (stack.s3(), "incoming/large é.csv");
    put(&stack, key, "small").await;
    event(&stack, "Job Completed", 0).await;
    let upload = s3.create_multipart_upload().bucket(DROPS).key(key).send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, body) in [(1, vec![b'a'; 5 * 1024 * 1024]), (2, b"end".to_vec())] {
        let part = s3
            .upload_part()
            .bucket(DROPS)
            .key(key)
            .upload_id(id)
            .part_number(number)
            .body(body.into());
        let part = part.send().await.unwrap();
        parts = parts.parts(
            CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap()).build(),
        );
    }
    let complete = s3.complete_multipart_upload().bucket(DROPS).key(key).upload_id(id);
    let complete = complete.multipart_upload(parts.build()).send().await.unwrap();
    assert_eq!(complete.key(), Some(key));
    let bytes = get(&stack, key).await;
    assert_eq!((bytes.len(), &bytes[bytes.len() - 3..]), (5 * 1024 * 1024 + 3, &b"end"[..]));
    // Too large for an event of the simulated function's: its failure shows that it was invoked,
    // and by which announcement.
    let letter = eventually("the second announcement", || stack.dead_letters().pop()).await;
    assert_eq!(letter["body"]["detail"]["reason"], "CompleteMultipartUpload");
    assert_eq!(
        letter["body"]["detail"]["object"]["etag"],
        complete.e_tag().unwrap().trim_matches('"')
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_file_sent_in_one_request_is_stored_as_it_is_and_not_as_it_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let (s3, file) = (stack.s3(), dir.path().join("large.csv"));
    let bytes: Vec<u8> = (0..9 * 1024 * 1024).map(|n| (n % 251) as u8).collect();
    fs::write(&file, &bytes).unwrap();
    let body = aws_sdk_s3::primitives::ByteStream::from_path(&file).await.unwrap();
    s3.put_object().bucket(DROPS).key("large").body(body).send().await.unwrap();
    let head = s3.head_object().bucket(DROPS).key("large").send().await.unwrap();
    assert_eq!((head.content_length(), head.content_encoding()), (Some(9 * 1024 * 1024), None));
    assert!(get(&stack, "large").await == bytes);
    let gzip = s3
        .put_object()
        .bucket(DROPS)
        .key("gzip")
        .content_encoding("gzip")
        .body(b"x".to_vec().into());
    gzip.send().await.unwrap();
    let head = s3.head_object().bucket(DROPS).key("gzip").send().await.unwrap();
    assert_eq!(head.content_encoding(), Some("gzip"));
    stack.stop().await;
}

#[tokio::test]
async fn copies_in_both_directions_end_and_carry_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    put(&stack, "a", "a").await;
    put(&stack, "b", "b").await;
    let s3 = stack.s3();
    let copy = |from: &str, to: &str| {
        s3.copy_object().bucket(DROPS).copy_source(format!("{DROPS}/{from}")).key(to).send()
    };
    let copies = (0..20).map(|n| if n % 2 == 0 { copy("a", "b") } else { copy("b", "a") });
    assert!(join_all(copies).await.iter().all(Result::is_ok));
    assert_eq!(get(&stack, "a").await, get(&stack, "b").await);
    assert!(copy("a", "a").await.is_ok());
    stack.stop().await;
}

#[tokio::test]
async fn keys_are_kept_as_they_are_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    for key in ["space here", "a+b", "a%2Fb", "a%20b", "é…😀", "q?x=1&y#z", "%", "it's (a) key!*"]
    {
        s3.put_object()
            .bucket(DROPS)
            .key(key)
            .body(key.as_bytes().to_vec().into())
            .send()
            .await
            .unwrap();
        assert_eq!(get(&stack, key).await, key.as_bytes(), "{key}");
    }
    let long = s3.put_object().bucket(DROPS).key("k".repeat(200)).send().await.unwrap_err();
    assert_eq!(long.code(), Some("KeyTooLongError"));
    assert!(long.message().unwrap().contains("up to 163 bytes"), "{long:?}");
    let long =
        s3.create_multipart_upload().bucket(DROPS).key("k".repeat(131)).send().await.unwrap_err();
    assert_eq!(long.code(), Some("KeyTooLongError"));
    for key in ["a/../b", "a//b"] {
        let error = s3.put_object().bucket(DROPS).key(key).send().await.unwrap_err();
        assert_eq!(error.code(), Some("InvalidArgument"), "{key}");
    }
    let error = s3.put_object().bucket("nowhere").key("k").send().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"));
    stack.stop().await;
}

#[tokio::test]
async fn a_drop_whose_results_could_not_be_kept_is_refused_however_it_is_put() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    put(&stack, "source", "a").await;
    let named = |folder: &str, bytes: usize| format!("{folder}{}.csv", "n".repeat(bytes - 4));
    for name in [82, 125, 140, 154] {
        let key = named("incoming/", name);
        let refused = |code: Option<&str>, message: Option<&str>| {
            assert_eq!(code, Some("KeyTooLongError"), "{name}");
            assert!(message.unwrap().contains("up to 90 bytes"), "{name}: {message:?}");
        };
        let put = s3.put_object().bucket(DROPS).key(&key).send().await.unwrap_err();
        refused(put.code(), put.message());
        let copy = s3.copy_object().bucket(DROPS).key(&key).copy_source("drops/source");
        let copy = copy.send().await.unwrap_err();
        refused(copy.code(), copy.message());
        let upload = s3.create_multipart_upload().bucket(DROPS).key(&key).send().await.unwrap_err();
        refused(upload.code(), upload.message());
    }
    // What fits: a drop with the longest of names, and what is no drop.
    for key in [named("incoming/", 81), named("control/", 154), named("incoming-not/", 145)] {
        put(&stack, &key, "kept").await;
        assert_eq!(get(&stack, &key).await, b"kept");
    }
    // The longest of its results' keys, as it is written when there is much to write.
    let folder = results_folder(&named("incoming/", 81), jiff::Timestamp::now());
    let rejected = ObjectKey::rejected(&second_folder(&folder, &DropId::from("01234567")));
    let upload = s3.create_multipart_upload().bucket(RESULTS).key(rejected.as_str());
    upload.send().await.unwrap();
    stack.stop().await;
}

/// Sends so much of a body as a client that then goes away.
async fn leave_after(stack: &AwsEmulator, key: &str, body: &[u8], length: usize) {
    let expiry =
        aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let signed = stack.s3().put_object().bucket(DROPS).key(key).presigned(expiry).await.unwrap();
    let url = url::Url::parse(signed.uri()).unwrap();
    let host_port = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut socket = tokio::net::TcpStream::connect(&host_port).await.unwrap();
    let target = &url[url::Position::BeforePath..];
    let head =
        format!("PUT {target} HTTP/1.1\r\nhost: {host_port}\r\ncontent-length: {length}\r\n\r\n");
    socket.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_old_object_or_the_new_one_whole() {
    let dir = tempfile::tempdir().unwrap();
    let stack = AwsEmulator::start(config(dir.path())).await.unwrap();
    let key = "incoming/k";
    put(&stack, key, "old").await;
    event(&stack, "Job Completed", 0).await;
    leave_after(&stack, key, b"cut sh", 10).await;
    assert_eq!(get(&stack, key).await, b"old");
    // All was sent, so that it is stored and announced, although nobody hears of it.
    leave_after(&stack, key, b"whole body", 10).await;
    assert_eq!(event(&stack, "Job Completed", 1).await["detail"]["body"], "whole body");
    let head = stack.s3().head_object().bucket(DROPS).key(key).send().await.unwrap();
    assert_eq!(head.e_tag(), Some("\"e78e69349c89f916ddba2ddfc4393003\""));
    stack.stop().await;
}
