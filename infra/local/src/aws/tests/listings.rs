//! Listings of S3 through its SDK, which decodes nothing by itself.

use super::*;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{CommonPrefix, EncodingType, Object};

/// Keys that are others when they are not encoded, or that XML cannot carry; in order.
const KEYS: [&str; 6] = [
    "incoming/a%2Fb.csv",
    "incoming/bell\u{7} and \u{1}.csv",
    "incoming/line\r\nend.csv",
    "incoming/p 1+/x.csv",
    "incoming/posts+v2 50%.csv",
    "incoming/é<&>.csv",
];

async fn with_keys(dir: &Path) -> AwsEmulator {
    let stack = servers(dir).await;
    for key in KEYS {
        put(&stack, key, "x").await;
    }
    stack
}

/// As the SDKs of AWS decode what is encoded.
fn decoded(name: &str) -> String {
    let pair = format!("k={}", name.replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
}

fn keys(objects: &[Object]) -> Vec<String> {
    objects.iter().map(|object| object.key().unwrap().to_owned()).collect()
}

fn prefixes(prefixes: &[CommonPrefix]) -> Vec<&str> {
    prefixes.iter().map(|prefix| prefix.prefix().unwrap()).collect()
}

#[tokio::test]
async fn a_listing_names_the_keys_as_they_were_put_encoded_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let stack = with_keys(dir.path()).await;
    let s3 = stack.s3();
    let v1 = s3.list_objects().bucket(DROPS).send().await.unwrap();
    let v2 = s3.list_objects_v2().bucket(DROPS).send().await.unwrap();
    assert_eq!(keys(v1.contents()), KEYS);
    assert_eq!(keys(v2.contents()), KEYS);
    assert_eq!((v1.encoding_type(), v2.encoding_type()), (None, None));

    let url = EncodingType::Url;
    let v1 = s3.list_objects().bucket(DROPS).encoding_type(url.clone()).send().await.unwrap();
    let v2 = s3.list_objects_v2().bucket(DROPS).encoding_type(url.clone()).send().await.unwrap();
    assert_eq!((v1.encoding_type(), v2.encoding_type()), (Some(&url), Some(&url)));
    let encoded = keys(v1.contents());
    assert_eq!(encoded, keys(v2.contents()));
    assert_eq!(encoded.iter().map(|key| decoded(key)).collect::<Vec<_>>(), KEYS);
    assert_eq!(encoded[0], "incoming/a%252Fb.csv");
    assert_eq!(encoded[1], "incoming/bell%07+and+%01.csv");
    assert_eq!(encoded[4], "incoming/posts%2Bv2+50%25.csv");
    stack.stop().await;
}

#[tokio::test]
async fn everything_that_is_part_of_a_key_is_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let stack = with_keys(dir.path()).await;
    let s3 = stack.s3();
    let v2 = s3.list_objects_v2().bucket(DROPS).encoding_type(EncodingType::Url);
    let v2 = v2.prefix("incoming/p 1").delimiter("+").start_after("incoming/\u{1}").send();
    let v2 = v2.await.unwrap();
    assert_eq!((v2.prefix(), v2.delimiter()), (Some("incoming/p+1"), Some("%2B")));
    assert_eq!(v2.start_after(), Some("incoming/%01"));
    assert_eq!(prefixes(v2.common_prefixes()), ["incoming/p+1%2B"]);
    let v1 = s3.list_objects().bucket(DROPS).encoding_type(EncodingType::Url).max_keys(1);
    let v1 = v1.prefix("incoming/p").delimiter("+").marker("incoming/\u{1}").send();
    let v1 = v1.await.unwrap();
    assert_eq!((v1.prefix(), v1.delimiter()), (Some("incoming/p"), Some("%2B")));
    assert_eq!((v1.marker(), v1.next_marker()), (Some("incoming/%01"), Some("incoming/p+1%2B")));
    assert_eq!(prefixes(v1.common_prefixes()), ["incoming/p+1%2B"]);
    stack.stop().await;
}

/// All keys, a page for each, by the older listing.
async fn by_markers(s3: &Client, encoding: Option<EncodingType>) -> Vec<String> {
    let (mut all, mut marker) = (Vec::new(), None);
    loop {
        let list = s3.list_objects().bucket(DROPS).max_keys(1).set_marker(marker);
        let page = list.set_encoding_type(encoding.clone()).send().await.unwrap();
        all.extend(keys(page.contents()));
        let Some(next) = page.next_marker() else { return all };
        marker = Some(if encoding.is_some() { decoded(next) } else { next.to_owned() });
    }
}

/// All keys, a page for each; tokens are passed on as they are.
async fn by_tokens(s3: &Client, encoding: Option<EncodingType>) -> Vec<String> {
    let list = s3.list_objects_v2().bucket(DROPS).max_keys(1).set_encoding_type(encoding);
    let mut pages = list.into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        all.extend(keys(page.unwrap().contents()));
    }
    all
}

#[tokio::test]
async fn pages_follow_one_another_whatever_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let stack = with_keys(dir.path()).await;
    let s3 = stack.s3();
    assert_eq!(by_markers(&s3, None).await, KEYS);
    assert_eq!(by_tokens(&s3, None).await, KEYS);
    for encoded in [
        by_markers(&s3, Some(EncodingType::Url)).await,
        by_tokens(&s3, Some(EncodingType::Url)).await,
    ] {
        assert_eq!(encoded.iter().map(|key| decoded(key)).collect::<Vec<_>>(), KEYS);
    }
    let wrong = s3.list_objects_v2().bucket(DROPS).continuation_token("no token!").send().await;
    assert_eq!(wrong.unwrap_err().code(), Some("InvalidArgument"));
    stack.stop().await;
}

#[tokio::test]
async fn an_encoding_that_s3_does_not_know_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stack = servers(dir.path()).await;
    let s3 = stack.s3();
    let unknown = EncodingType::from("base64");
    let v1 = s3.list_objects().bucket(DROPS).encoding_type(unknown.clone()).send().await;
    let v2 = s3.list_objects_v2().bucket(DROPS).encoding_type(unknown).send().await;
    assert_eq!(v1.unwrap_err().code(), Some("InvalidArgument"));
    assert_eq!(v2.unwrap_err().code(), Some("InvalidArgument"));
    stack.stop().await;
}
