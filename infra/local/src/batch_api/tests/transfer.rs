use super::{Bench, HOUR, INPUT, KEY, refusal};
use crate::batch_api::JobState;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the sandbox answers to these bytes, sent as they are and followed by nothing.
async fn raw(bench: &Bench, request: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", bench.sandbox.port())).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A URL from its path on.
fn path_of(bench: &Bench, url: &str) -> String {
    url.strip_prefix(&bench.sandbox.url()).unwrap().to_owned()
}

#[tokio::test]
async fn an_upload_must_tell_its_length() {
    let bench = Bench::new().await;
    let (_, url) = bench.create().await;
    let chunks = stream::iter([Ok::<_, std::io::Error>(INPUT)]);
    let response = bench.put(&url, reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(refusal(response).await, (501, "NotImplemented".to_owned()));

    let path = path_of(&bench, &url);
    let answer =
        raw(&bench, &format!("PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(
        answer.starts_with("HTTP/1.1 411 ") && answer.contains("<Code>MissingContentLength<"),
        "{answer}"
    );
    assert_eq!(bench.sandbox.jobs()[0].uploads, 0);
}

#[tokio::test]
async fn an_upload_cut_short_leaves_nothing() {
    let bench = Bench::new().await;
    let (id, url) = bench.create().await;
    let path = path_of(&bench, &url);
    let request = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{INPUT}");
    let answer = raw(&bench, &request).await;
    assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(bench.record(&id).await["state"], JobState::Initialized.name());
    assert_eq!(bench.sandbox.jobs()[0].uploads, 0);
    let left = std::fs::read_dir(bench.dir.path().join("tmp")).unwrap().count();
    assert_eq!(left, 0);
    assert_eq!(bench.put(&url, INPUT).await.status(), 200);
}

#[tokio::test]
async fn a_signed_url_takes_no_key() {
    let bench = Bench::new().await;
    let (_, url) = bench.create().await;
    // Long enough that a refusal before its end would reset the connection.
    let put = bench.http.put(&url).body("x".repeat(8 << 20)).bearer_auth(KEY);
    assert_eq!(refusal(put.send().await.unwrap()).await, (400, "InvalidArgument".to_owned()));

    let id = bench.upload(INPUT).await;
    let record = bench.reach(&id, JobState::Completed).await;
    let get = bench.http.get(record["outputFileUrl"].as_str().unwrap()).bearer_auth(KEY);
    assert_eq!(refusal(get.send().await.unwrap()).await, (400, "InvalidArgument".to_owned()));
    assert!(bench.sandbox.jobs().iter().all(|job| job.fetches == 0));
}

#[tokio::test]
async fn a_tampered_url_is_refused() {
    let bench = Bench::new().await;
    let (id, url) = bench.create().await;
    let (other, _) = bench.create().await;
    let last = if url.ends_with('0') { '1' } else { '0' };
    let last_changed = format!("{}{last}", &url[..url.len() - 1]);
    for tampered in [
        url.replace(&id, &other),
        url.replace("X-Amz-Expires=14400", "X-Amz-Expires=86400"),
        last_changed,
    ] {
        let response = bench.put(&tampered, INPUT).await;
        assert_eq!(refusal(response).await, (403, "SignatureDoesNotMatch".to_owned()));
    }
    let got = bench.http.get(&url).send().await.unwrap();
    assert_eq!(refusal(got).await.1, "SignatureDoesNotMatch");
    let bare = bench.put(url.split('?').next().unwrap(), INPUT).await;
    assert_eq!(refusal(bare).await, (403, "Access Denied".to_owned()));
    assert!(bench.sandbox.jobs().iter().all(|job| job.uploads == 0));
}

#[tokio::test]
async fn urls_run_out_after_4_hours() {
    let bench = Bench::new().await;
    let (id, url) = bench.create().await;
    let done = bench.upload(INPUT).await;
    let record = bench.reach(&done, JobState::Completed).await;
    let output = record["outputFileUrl"].as_str().unwrap();

    bench.sandbox.advance_clock(4 * HOUR - HOUR / 60);
    assert_eq!(bench.http.get(output).send().await.unwrap().status(), 200);
    bench.sandbox.advance_clock(HOUR / 60);
    let expired = (403, "Request has expired".to_owned());
    assert_eq!(refusal(bench.put(&url, INPUT).await).await, expired);
    assert_eq!(refusal(bench.http.get(output).send().await.unwrap()).await, expired);
    assert_eq!(bench.record(&id).await["state"], JobState::Initialized.name());
    bench.output(&done).await;
}

#[tokio::test]
async fn each_get_gives_a_fresh_output_url() {
    let bench = Bench::new().await;
    let id = bench.upload(INPUT).await;
    let one = bench.reach(&id, JobState::Completed).await["outputFileUrl"].clone();
    let two = bench.record(&id).await["outputFileUrl"].clone();
    assert_ne!(one, two);
    for url in [one, two] {
        let response = bench.http.get(url.as_str().unwrap()).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(bench.sandbox.jobs()[0].fetches, 2);
}
