//! The Batch API: create a job, ask for jobs, cancel one. Paths, fields and codes are those of its
//! OpenAPI document.

use super::api_key::ApiKey;
use super::error::ApiError;
use super::http::HttpClients;
use crate::job::{Job, JobState, Reported, SignedUrl};
use crate::services::metrics::{Metric, Metrics};
use anyhow::anyhow;
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Client, Method, StatusCode, header};
use secrecy::ExposeSecret;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

use super::wire::{CreateRequest, RpcStatus, read_cancel, read_create, read_jobs};

/// How many jobs one GET asks for. The API documents no limit; this one keeps the URL under 8 KB.
pub const JOBS_PER_GET: usize = 100;
/// The longest `Retry-After` that is waited for; a longer one ends the attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The wait after the first attempt if the API asks for none; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Attempts per call, the first included.
const ATTEMPTS: usize = 5;

/// A job that was just created.
#[derive(Debug)]
pub struct NewJob {
    pub id: String,
    /// Where its rows are uploaded to; valid for [`UPLOAD_URL_LIFE`](crate::job::UPLOAD_URL_LIFE).
    pub upload_url: SignedUrl,
}

/// Which failures are retried within one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// Only those that certainly had no effect: 429, and a connection that was never made. For
    /// `create`, which has no idempotency key: a job created twice is paid for twice.
    IfUndone,
    /// Also those that may have had an effect, for calls that can be repeated.
    Always,
}

struct Call {
    method: Method,
    url: Url,
    body: Option<Bytes>,
}

impl Call {
    fn get(url: Url) -> Self {
        Call { method: Method::GET, url, body: None }
    }

    fn post(url: Url, body: Bytes) -> Self {
        Call { method: Method::POST, url, body: Some(body) }
    }
}

/// The Batch API.
#[derive(Debug, Clone)]
pub struct BatchApi {
    client: Client,
    timeout: Duration,
    base: Url,
    key: ApiKey,
    metrics: Metrics,
    gate: Gate,
    busy_answers: Arc<AtomicU64>,
}

impl BatchApi {
    /// Counts refusals of the key and answers with 429 as metrics.
    #[must_use]
    pub fn new(base: Url, key: ApiKey, web: &HttpClients, metrics: Metrics) -> Self {
        BatchApi {
            client: web.requests.clone(),
            timeout: web.api_timeout,
            base,
            key,
            metrics,
            gate: Gate::default(),
            busy_answers: Arc::default(),
        }
    }

    /// Creates a job. There is no idempotency key: after [`ApiError::Unknown`] or
    /// [`ApiError::Unclear`] a job may exist that no record has.
    ///
    /// # Errors
    /// See [`ApiError`]; also for a 200 with an error in it, or without an id or a URL.
    pub async fn create(&self, name: &str, policy: &str) -> Result<NewJob, ApiError> {
        let body = serde_json::to_vec(&CreateRequest { name, policy_id: policy })
            .map_err(|e| ApiError::Unknown(e.into()))?;
        let body = self
            .call(Call::post(self.url(&["v1", "batch-jobs"]), body.into()), Retry::IfUndone)
            .await;
        let body = body.inspect_err(|error| self.count_forbidden(error))?;
        let created = read_create(&body)?;
        if let Some((error, message)) =
            created.error.and_then(|e| e.message().map(|message| (e, message)))
        {
            return Err(match error {
                error if error.blames_request() => ApiError::Invalid(message),
                error if error.is_coded() => ApiError::Refused(message),
                // Without a code it is unknown what the API did.
                _ => ApiError::Unclear(anyhow!("{message}")),
            });
        }
        match created.input_file_upload_url {
            Some(upload_url) if !created.batch_job_id.is_empty() => {
                Ok(NewJob { id: created.batch_job_id, upload_url })
            }
            _ => {
                Err(ApiError::Unclear(anyhow!("the API's answer lacks the job's id or upload URL")))
            }
        }
    }

    /// Asks for up to [`JOBS_PER_GET`] jobs. Without ids no call is made: the API would report the
    /// whole account.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::NotFound`] and [`ApiError::NotPermitted`] may be about any one
    /// of the jobs.
    pub async fn jobs(&self, ids: &[&str]) -> Result<Reported, ApiError> {
        self.get_jobs(ids, Retry::Always).await
    }

    /// As [`BatchApi::jobs`], without retries after an error or no answer, for a caller that asks
    /// again soon.
    ///
    /// # Errors
    /// As [`BatchApi::jobs`].
    pub async fn jobs_once(&self, ids: &[&str]) -> Result<Reported, ApiError> {
        self.get_jobs(ids, Retry::IfUndone).await
    }

    async fn get_jobs(&self, ids: &[&str], retry: Retry) -> Result<Reported, ApiError> {
        if ids.is_empty() {
            return Ok(Reported::default());
        }
        let mut url = self.url(&["v1", "batch-jobs"]);
        url.query_pairs_mut().extend_pairs(ids.iter().map(|id| ("batchJobIds", id)));
        read_jobs(&self.call(Call::get(url), retry).await?)
    }

    /// Every job of the account that waits for its input. The jobs that no record has are among
    /// them.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn waiting_jobs(&self) -> Result<Vec<Job>, ApiError> {
        let mut url = self.url(&["v1", "batch-jobs"]);
        url.query_pairs_mut().append_pair("states", &JobState::Initialized.api_name());
        let body = self.call(Call::get(url), Retry::Always).await;
        Ok(read_jobs(&body.inspect_err(|error| self.count_forbidden(error))?)?.jobs)
    }

    /// Cancels a job. Whether it took effect, the next GET reports.
    ///
    /// # Errors
    /// See [`ApiError`]; also for a 200 with an error in it.
    pub async fn cancel(&self, id: &str) -> Result<(), ApiError> {
        let url = self.url(&["v1", "batch-jobs", id, "cancel"]);
        let body = self.call(Call::post(url, Bytes::from_static(b"{}")), Retry::Always).await;
        read_cancel(&body.inspect_err(|error| self.count_forbidden(error))?)
    }

    /// How many answers have been 429, since this process began.
    #[must_use]
    pub fn busy_answers(&self) -> u64 {
        self.busy_answers.load(Ordering::Relaxed)
    }

    /// Counts a 403 to a call that names no job of another account: it is about the key or its
    /// rights.
    fn count_forbidden(&self, error: &ApiError) {
        if matches!(error, ApiError::NotPermitted(_)) {
            self.metrics.count(Metric::ApiKeyRefused, 1);
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // The settings accept only http and https URLs, which have path segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Makes a call, at most [`ATTEMPTS`] times, as `retry` allows.
    async fn call(&self, call: Call, retry: Retry) -> Result<Bytes, ApiError> {
        let backoff = ExponentialBuilder::default()
            .with_max_times(ATTEMPTS - 1)
            .with_jitter()
            .with_min_delay(FIRST_WAIT);
        (|| self.call_with_key(&call))
            .retry(backoff)
            .when(|error| match error {
                ApiError::Busy { after } => after.is_none_or(|wait| wait <= LONGEST_WAIT),
                ApiError::Unreachable(_) => true,
                ApiError::Unknown(_) | ApiError::Unclear(_) => retry == Retry::Always,
                _ => false,
            })
            .adjust(|error, wait| match error {
                ApiError::Busy { after: Some(after) } => wait.map(|wait| wait.max(*after)),
                _ => wait,
            })
            .await
    }

    /// Makes a call once; if the key is refused, again with a key that is read again.
    async fn call_with_key(&self, call: &Call) -> Result<Bytes, ApiError> {
        self.gate.pass().await;
        let no_key = |error| {
            self.metrics.count(Metric::ApiKeyRefused, 1);
            ApiError::NoKey(error)
        };
        let key = self.key.get().await.map_err(no_key)?;
        match self.call_once(call, key.expose_secret()).await {
            Err(ApiError::Key) => {
                let key = self.key.reload(&key).await.map_err(no_key)?;
                let answered = self.call_once(call, key.expose_secret()).await;
                if matches!(answered, Err(ApiError::Key)) {
                    self.metrics.count(Metric::ApiKeyRefused, 1);
                }
                answered
            }
            answered => answered,
        }
    }

    async fn call_once(&self, call: &Call, key: &str) -> Result<Bytes, ApiError> {
        let mut request = self
            .client
            .request(call.method.clone(), call.url.clone())
            .timeout(self.timeout)
            .bearer_auth(key);
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|e| {
            let not_connected = e.is_connect();
            let error = anyhow::Error::new(e.without_url());
            if not_connected { ApiError::Unreachable(error) } else { ApiError::Unknown(error) }
        })?;
        let (status, after) = (response.status(), retry_after(response.headers()));
        let body = response
            .bytes()
            .await
            .map_err(|e| ApiError::Unknown(anyhow::Error::new(e.without_url())));
        if status == StatusCode::OK {
            return body;
        }
        let status_body = body.ok().and_then(|body| RpcStatus::read(&body));
        let message = status_body
            .as_ref()
            .map_or_else(|| status.as_u16().to_string(), |body| body.message(status.as_u16()));
        Err(match status {
            StatusCode::UNAUTHORIZED => ApiError::Key,
            StatusCode::FORBIDDEN => ApiError::NotPermitted(message),
            // Only the API's own 404 means that a job is unknown: another server's, if it lasted
            // for a day, would lose the job.
            StatusCode::NOT_FOUND if status_body.is_some() => ApiError::NotFound(message),
            StatusCode::TOO_MANY_REQUESTS => {
                self.metrics.count(Metric::ApiThrottled, 1);
                self.busy_answers.fetch_add(1, Ordering::Relaxed);
                self.gate.shut(after);
                ApiError::Busy { after }
            }
            StatusCode::BAD_REQUEST
                if status_body.as_ref().is_some_and(RpcStatus::is_invalid_argument) =>
            {
                ApiError::Invalid(message)
            }
            StatusCode::NOT_FOUND | StatusCode::REQUEST_TIMEOUT => {
                ApiError::Unclear(anyhow!("the API answered {status}"))
            }
            status if status.is_client_error() => ApiError::Refused(message),
            status => ApiError::Unclear(anyhow!("the API answered {status}")),
        })
    }
}

/// Delays all calls while the API asks for a pause: a 429 to one call is for all of them.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<Mutex<Option<Instant>>>);

impl Gate {
    /// Waits until calls may be made.
    async fn pass(&self) {
        loop {
            let opens = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(wait) = opens
                .and_then(|opens| opens.checked_duration_since(Instant::now()))
                .filter(|w| !w.is_zero())
            else {
                return;
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Delays calls for as long as the API asks. A pause longer than [`LONGEST_WAIT`] delays none:
    /// it ends the attempts, and the next invocation tries again.
    fn shut(&self, after: Option<Duration>) {
        let wait = after.unwrap_or(FIRST_WAIT);
        if wait > LONGEST_WAIT {
            return;
        }
        let mut opens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + wait;
        *opens = Some(opens.map_or(until, |opens| opens.max(until)));
    }
}

/// The wait that the answer asks for: `retry-after-ms`, which gateways use for less than a second,
/// or `Retry-After` in either of its forms (RFC 9110, 10.2.3); `None` for any other value.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let milliseconds =
        headers.get("retry-after-ms").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    if let Some(milliseconds) = milliseconds {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> header::HeaderMap {
        [(header::RETRY_AFTER, header::HeaderValue::from_str(text).unwrap())].into_iter().collect()
    }

    #[test]
    fn a_retry_after_is_read_in_both_forms_and_other_values_are_ignored() {
        assert_eq!(retry_after(&header("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&header("Fri, 31 Dec 1999 23:59:59 GMT")), Some(Duration::ZERO));
        for other in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(&header(other)), None, "{other}");
        }
    }

    #[test]
    fn a_wait_of_less_than_a_second_is_read() {
        let mut headers = header("7");
        headers.insert("retry-after-ms", header::HeaderValue::from_static("300"));
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(300)));
    }
}
