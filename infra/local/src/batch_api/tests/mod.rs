//! The sandbox from the outside, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api;
mod jobs;
mod transfer;

use super::{JobState, Sandbox, SandboxConfig};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const KEY: &str = "sandbox-key";
const INPUT: &str =
    "ref_id,type,content\n1,text,hello\n2,text,you idiot\n3,image_url,https://x.test/a.png\n";
const HOUR: Duration = Duration::from_secs(3_600);

/// A sandbox, and a client of it.
struct Bench {
    dir: TempDir,
    sandbox: Sandbox,
    http: Client,
}

impl Bench {
    /// Jobs are done at once.
    async fn new() -> Self {
        Self::with(|config| config.job_time = Duration::ZERO).await
    }

    async fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = SandboxConfig::new(dir.path(), KEY);
        change(&mut config);
        let sandbox = Sandbox::start(config).await.unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { dir, sandbox, http }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.sandbox.url())).bearer_auth(KEY)
    }

    fn get(&self, query: &str) -> RequestBuilder {
        self.http.get(format!("{}/v1/batch-jobs{query}", self.sandbox.url())).bearer_auth(KEY)
    }

    /// A new job's id and upload URL.
    async fn create(&self) -> (String, String) {
        let request = self.post("/v1/batch-jobs").json(&json!({"name": "n", "policyId": "p"}));
        let (status, body) = answer(request).await;
        assert_eq!(status, 200, "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("batchJobId"), text("inputFileUploadUrl"))
    }

    async fn put(&self, url: &str, body: impl Into<reqwest::Body>) -> Response {
        self.http.put(url).body(body).send().await.unwrap()
    }

    /// A new job with this input.
    async fn upload(&self, input: &str) -> String {
        let (id, url) = self.create().await;
        assert_eq!(self.put(&url, input.to_owned()).await.status(), 200);
        id
    }

    async fn record(&self, id: &str) -> Value {
        let (status, body) = answer(self.get(&format!("?batchJobIds={id}"))).await;
        assert_eq!(status, 200, "{body}");
        body["batchJobs"][0].clone()
    }

    /// The job's record once it is in this state.
    async fn reach(&self, id: &str, state: JobState) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let record = self.record(id).await;
            if record["state"] == state.name() {
                return record;
            }
            assert!(Instant::now() < deadline, "still {record}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn output(&self, id: &str) -> Vec<u8> {
        let record = self.reach(id, JobState::Completed).await;
        let url = record["outputFileUrl"].as_str().unwrap();
        let response = self.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let length = response.content_length();
        let body = response.bytes().await.unwrap();
        assert_eq!(length, Some(body.len() as u64));
        body.into()
    }
}

/// The status and the JSON of an answer.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The status and the S3 error code of a refusal.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let message = body.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    let (code, message) = (code.unwrap().0, message.unwrap().0);
    let code = if code == "AccessDenied" { message } else { code };
    (status, code.to_owned())
}
