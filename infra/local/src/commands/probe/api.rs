//! The calls of the probe, with their raw answers. Moondrop's own client hides what the probe looks
//! for: the fields it does not read, and the status of an answer that it takes for "unknown".

use anyhow::{Context, Result, anyhow};
use moondrop_shared::job::{Job, JobError};
use reqwest::{Client, Method, StatusCode, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Attempts of a call that may be repeated, the first included; the wait between them doubles.
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Trying again does not help.
    #[error("the API does not take the API key (401)")]
    Key,
    /// Trying again may help.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// `null` if the body is no JSON.
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        self.status == 200
    }

    /// The record of this job.
    pub(super) fn job(&self, id: &str) -> Option<&Value> {
        let records = self.body.get("batchJobs").filter(|_| self.is_ok())?.as_array()?;
        records.iter().find(|record| record["batchJobId"] == id)
    }

    /// Whether it is a 404 with a gRPC status, as the API itself gives one. Another server in its
    /// place gives another.
    pub(super) fn is_own_404(&self) -> bool {
        self.status == 404 && (self.body["code"].is_number() || self.body["message"].is_string())
    }

    /// The error in it, for people to read; without URLs.
    pub(super) fn error(&self) -> Option<String> {
        if let Some(error) = self.body.get("error").filter(|error| !error.is_null()) {
            let error = serde_json::from_value::<JobError>(error.clone()).unwrap_or_default();
            return Some(error.message().unwrap_or_else(|| "an error without words".to_owned()));
        }
        if self.is_ok() {
            return None;
        }
        let words = json!({"errorMessage": self.body["message"].as_str().unwrap_or_default()});
        let words = serde_json::from_value::<JobError>(words).unwrap_or_default().message();
        Some(
            words.map_or_else(
                || self.status.to_string(),
                |words| format!("{} {words}", self.status),
            ),
        )
    }
}

/// A job's record, as Moondrop reads it.
pub(super) fn read_job(record: &Value) -> Result<Job> {
    // The error of serde may quote the record.
    serde_json::from_value(record.clone()).map_err(|_| anyhow!("a job's record cannot be read"))
}

/// Whether trying again may help after this status, or after none: the connection broke.
pub(super) fn is_transient(status: Option<u16>) -> bool {
    status.is_none_or(|status| matches!(status, 408 | 429 | 500..))
}

/// The Batch API.
pub(super) struct Api {
    client: Client,
    base: Url,
    key: SecretString,
}

impl Api {
    pub(super) fn new(base: Url, key: SecretString) -> Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30));
        Ok(Api { client: client.build().context("set up TLS")?, base, key })
    }

    /// Creates a job. It is repeated only after a 429: a job that is created twice stays behind.
    pub(super) async fn create(&self, name: &str, policy: &str) -> Result<Answer, CallError> {
        let url = self.url(&["v1", "batch-jobs"]);
        let body = json!({"name": name, "policyId": policy});
        self.call((Method::POST, url, Some(body)), |status| status == Some(429)).await
    }

    pub(super) async fn jobs(&self, ids: &[&str]) -> Result<Answer, CallError> {
        let mut url = self.url(&["v1", "batch-jobs"]);
        url.query_pairs_mut().extend_pairs(ids.iter().map(|id| ("batchJobIds", id)));
        self.call((Method::GET, url, None), is_transient).await
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<Answer, CallError> {
        let url = self.url(&["v1", "batch-jobs", id, "cancel"]);
        let call = (Method::POST, url, Some(json!({})));
        self.call(call, is_transient).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // The option accepts only http and https URLs, which have path segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn call(
        &self,
        call: (Method, Url, Option<Value>),
        again: impl Fn(Option<u16>) -> bool,
    ) -> Result<Answer, CallError> {
        let (mut attempts, mut wait) = (1, FIRST_WAIT);
        loop {
            let last = attempts == ATTEMPTS;
            let after = match self.call_once(&call).await {
                Ok((answer, after)) if !last && again(Some(answer.status)) => after,
                Ok((answer, _)) if answer.status == 429 => {
                    return Err(anyhow!("the API is busy (429)").into());
                }
                Ok((answer, _)) => return Ok(answer),
                Err(CallError::Other(_)) if !last && again(None) => None,
                Err(error) => return Err(error),
            };
            tokio::time::sleep(after.unwrap_or(wait).min(LONGEST_WAIT)).await;
            (attempts, wait) = (attempts + 1, wait * 2);
        }
    }

    async fn call_once(
        &self,
        (method, url, body): &(Method, Url, Option<Value>),
    ) -> Result<(Answer, Option<Duration>), CallError> {
        let request = self.client.request(method.clone(), url.clone());
        let mut request = request.bearer_auth(self.key.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        // An error of reqwest's has the URL, with the jobs' ids; it is left out.
        let response = request.send().await.map_err(|e| e.without_url());
        let response = response.context("the API cannot be reached")?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(CallError::Key);
        }
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|e| e.without_url());
        let bytes = bytes.context("read the API's answer")?;
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok((Answer { status, body }, after.map(Duration::from_secs)))
    }
}
