//! A file is read over several connections at once, in order and in one version, whatever happens to
//! each of them.

use crate::ALONE;
use aws_sdk_s3::config::SharedHttpClient;
use moondrop_local::aws::{DROPS, Endpoints};
use moondrop_shared::services::s3::drops_bucket::DropsBucket;
use moondrop_shared::services::s3::source_reader::{SourceReader, is_gone};
use moondrop_shared::services::settings::READ_PIECE_BYTES as PIECE_BYTES;
use moondrop_tests::env::{Env, clients};
use moondrop_tests::slow_proxy::{SlowProxy, Slowness};
use std::time::{Duration, Instant};

const KEY: &str = "incoming/posts.csv";
const SLOW: Slowness =
    Slowness { rate: 20_000_000, first_byte: Duration::from_millis(25), breaks_after: None };

/// A bucket far away, whose connections are its own.
async fn far_away(env: &Env, slowness: Slowness) -> (DropsBucket, SlowProxy) {
    let proxy = SlowProxy::start(&env.aws().endpoints().s3, slowness).await;
    let http: SharedHttpClient = aws_smithy_http_client::Builder::new().build_http();
    let endpoints = Endpoints { s3: proxy.url.clone(), ..env.aws().endpoints().clone() };
    (DropsBucket::new(clients(&endpoints, &http).s3), proxy)
}

/// Bytes of which no piece is like another.
fn bytes(length: u64) -> Vec<u8> {
    (0..length / 8).flat_map(|number| number.to_le_bytes()).collect()
}

async fn rest(reader: &mut SourceReader) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn several_connections_bring_the_file_sooner_and_in_order() {
    let _alone = ALONE.lock().await;
    let env = Env::without_functions().await;
    let file = bytes(4 * PIECE_BYTES + 4096);
    env.put_object(DROPS, KEY, file.clone()).await;
    let source = env.source(KEY).await;
    let (bucket, proxy) = far_away(&env, SLOW).await;
    let began = Instant::now();
    // From within the first piece to before the end.
    let range = 1000..source.size - 1000;
    let read = rest(&mut bucket.read_ahead(&source, range.clone(), 5)).await;
    let took = began.elapsed();
    assert!(
        read == file[range.start as usize..range.end as usize],
        "other bytes, or another order"
    );
    assert_eq!(proxy.connections(), 5);
    let over_one = Duration::from_secs_f64(read.len() as f64 / SLOW.rate as f64);
    assert!(took < over_one * 2 / 3, "{took:?}, and {over_one:?} over one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_for_a_part() {
    let env = Env::without_functions().await;
    let file = bytes(PIECE_BYTES + 4096);
    env.put_object(DROPS, KEY, file.clone()).await;
    let source = env.source(KEY).await;
    let (bucket, proxy) = far_away(&env, Slowness { rate: 1_000_000_000, ..SLOW }).await;
    assert!(rest(&mut bucket.read(&source, 0..source.size)).await == file);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_resumed_where_they_broke() {
    let env = Env::without_functions().await;
    let file = bytes(3 * PIECE_BYTES);
    env.put_object(DROPS, KEY, file.clone()).await;
    let source = env.source(KEY).await;
    let breaking = Slowness { rate: 1_000_000_000, breaks_after: Some(PIECE_BYTES / 3), ..SLOW };
    let (bucket, proxy) = far_away(&env, breaking).await;
    assert!(rest(&mut bucket.read_ahead(&source, 0..source.size, 3)).await == file);
    assert!(proxy.connections() >= 9, "each broke twice or more: {}", proxy.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_again_and_again_is_an_error_and_no_end() {
    let env = Env::without_functions().await;
    env.put_object(DROPS, KEY, bytes(3 * PIECE_BYTES)).await;
    let source = env.source(KEY).await;
    let breaking = Slowness { rate: 1_000_000_000, breaks_after: Some(PIECE_BYTES / 20), ..SLOW };
    let (bucket, _proxy) = far_away(&env, breaking).await;
    let mut reader = bucket.read_ahead(&source, 0..source.size, 3);
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the file was cut short"),
            Err(error) => break error,
        }
    };
    assert!(!is_gone(&error), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_overwritten_while_it_is_read_is_gone() {
    let env = Env::without_functions().await;
    env.put_object(DROPS, KEY, bytes(4 * PIECE_BYTES)).await;
    let source = env.source(KEY).await;
    let (bucket, _proxy) = far_away(&env, Slowness { rate: 1_000_000_000, ..SLOW }).await;
    let mut reader = bucket.read_ahead(&source, 0..source.size, 2);
    let mut read = reader.next().await.unwrap().unwrap().len() as u64;
    env.put_object(DROPS, KEY, bytes(5 * PIECE_BYTES)).await;
    let error = loop {
        match reader.next().await {
            Ok(Some(bytes)) => read += bytes.len() as u64,
            Ok(None) => panic!("the end of another file"),
            Err(error) => break error,
        }
    };
    assert!(is_gone(&error), "{error:#}");
    assert!(read <= 2 * PIECE_BYTES, "only what was begun before comes: {read}");
}
