//! What S3 may answer where an object should be, and what counts as its absence.

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region, retry::RetryConfig};
use moondrop_shared::services::s3::drops_bucket::DropsBucket;
use moondrop_shared::services::s3::source_reader::is_gone;
use moondrop_shared::source::Source;
use moondrop_tests::raw_http::{Handler, Reply, Request, serve};
use std::sync::Arc;

/// An S3 that answers every GET so, and every HEAD with its status alone.
#[derive(Debug)]
struct Answers {
    status: u16,
    code: &'static str,
    marker: bool,
}

impl Handler for Answers {
    fn break_after(&self, _: &Request) -> Option<usize> {
        None
    }

    fn answer(&self, request: Request) -> Reply {
        let body = match request.method.as_str() {
            "HEAD" => Vec::new(),
            _ => format!(
                "<?xml version=\"1.0\"?><Error><Code>{}</Code><Message>x</Message></Error>",
                self.code
            )
            .into_bytes(),
        };
        let mut headers = vec![("content-type".to_owned(), "application/xml".to_owned())];
        if self.marker {
            headers.push(("x-amz-delete-marker".to_owned(), "true".to_owned()));
        }
        Reply { status: self.status, headers, body, ..Reply::json(200, &serde_json::Value::Null) }
    }
}

fn bucket(url: &str) -> DropsBucket {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .endpoint_url(url);
    DropsBucket::new(Client::from_conf(config.build()))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_missing_key_or_version_or_a_delete_marker_is_a_missing_source() {
    for (status, code, marker, gone) in [
        (404, "NoSuchKey", false, true),
        (404, "NoSuchVersion", false, true),
        (404, "NoSuchKey", true, true),
        (405, "MethodNotAllowed", true, true),
        (412, "PreconditionFailed", false, true),
        (404, "NoSuchBucket", false, false),
        (404, "NoSuchUpload", false, false),
        (404, "", false, false),
        (405, "MethodNotAllowed", false, false),
        (403, "AccessDenied", false, false),
        (403, "NoSuchKey", false, false),
        (400, "InvalidRequest", false, false),
        (503, "SlowDown", false, false),
    ] {
        let server = serve(|_| Arc::new(Answers { status, code, marker })).await;
        let bucket = bucket(&server.url);
        let source = Source {
            bucket: "drops".to_owned(),
            key: "incoming/posts.csv".to_owned(),
            version_id: None,
            etag: "abc".to_owned(),
            sequencer: None,
            size: 10,
        };
        let error = bucket.read(&source, 0..10).next().await.unwrap_err();
        assert_eq!(is_gone(&error), gone, "GET {status} {code} {marker}: {error:#}");
        if matches!(status, 404 | 403 | 503) {
            // A HEAD has no body: a GET of one byte says what its 404 is about.
            let error = bucket.head("drops", "incoming/posts.csv", None).await.unwrap_err();
            assert_eq!(is_gone(&error), gone, "HEAD {status} {code} {marker}: {error:#}");
        }
    }
}
