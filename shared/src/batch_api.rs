//! The Batch API: create a job, ask after jobs, cancel one. Paths, fields and codes are those of its OpenAPI document.

use crate::api_key::ApiKey;
use crate::job::JobState;
use crate::metrics::{Metric, Metrics};
use crate::secret::SignedUrl;
use crate::web::WebClients;
use anyhow::anyhow;
use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use reqwest::{Client, Method, Response, StatusCode, header};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How many jobs one GET asks after. The API documents no page size; this keeps the address under 8 KB.
pub const JOBS_PER_GET: usize = 100;
/// How long a signed upload address is good for, from the job's creation (Batch API's documentation: 4 hours).
pub const UPLOAD_URL_LIFE: Duration = Duration::from_secs(4 * 3600);
/// The longest wait that a `Retry-After` is followed for within an invocation; a longer one ends the attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Attempts at a call, the first included.
const ATTEMPTS: usize = 5;

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It refuses this request, and would again: what it says, cleaned for people to read.
    #[error("the API refused the request: {0}")]
    Refused(String),
    /// It does not take our key, also after the key was looked up anew.
    #[error("the API does not take the API key")]
    Key,
    /// Our key cannot be had from its secret.
    #[error("there is no API key to call the API with")]
    NoKey(#[source] anyhow::Error),
    /// Too many requests, after several attempts.
    #[error("the API is busy (429)")]
    Busy {
        /// The wait it asked for.
        after: Option<Duration>,
    },
    /// It does not know what was asked after (404): its own words, if it was the API that answered.
    #[error("the API does not know the job")]
    NotFound(String),
    /// The request did not reach it.
    #[error("the API cannot be reached")]
    Unreachable(#[source] anyhow::Error),
    /// It may or may not have done it: no answer in time, or one that says nothing.
    #[error("the API's answer is not known")]
    Unknown(#[source] anyhow::Error),
}

/// A job as created.
#[derive(Debug)]
pub struct NewJob {
    /// Its id.
    pub id: String,
    /// Where its rows are to be put, for [`UPLOAD_URL_LIFE`].
    pub upload_url: SignedUrl,
}

/// A job as the API tells of it. Proto3 JSON may tell any field as `null`, an empty address as `""`, and an enum's value that
/// the gateway has no name for as a number: one odd job must not make an answer for a hundred unreadable.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id.
    #[serde(rename = "batchJobId", default, deserialize_with = "word")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "word")]
    pub name: String,
    /// Its state.
    #[serde(default = "unspecified", deserialize_with = "state")]
    pub state: JobState,
    /// When it was created; `None` too if that is no time.
    #[serde(default, deserialize_with = "time")]
    pub created_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<JobError>,
    /// Where its results are, once it is completed; fresh with each GET.
    #[serde(default, deserialize_with = "address")]
    pub output_file_url: Option<SignedUrl>,
}

/// An error in a job's record or in an answer. Proto3 JSON may carry one that says nothing: that is none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobError {
    #[serde(deserialize_with = "word")]
    error_code: String,
    #[serde(deserialize_with = "word")]
    error_message: String,
}

impl JobError {
    fn is_coded(&self) -> bool {
        !matches!(self.error_code.as_str(), "" | "BATCH_JOB_ERROR_UNSPECIFIED")
    }

    /// What it says, for a person; `None` if it says nothing.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let code = self.error_code.strip_prefix("BATCH_JOB_ERROR_").unwrap_or(&self.error_code);
        let code = if code == "UNSPECIFIED" { "" } else { code };
        let words = format!("{code} {}", self.error_message);
        Some(clean(&words)).filter(|w| !w.is_empty())
    }
}

fn unspecified() -> JobState {
    JobState::Unspecified
}

/// A text or an enum's value; `null` is empty, and a number its digits.
fn word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

fn state<'de, D: Deserializer<'de>>(from: D) -> Result<JobState, D::Error> {
    let word = word(from)?;
    Ok(if word.is_empty() { JobState::Unspecified } else { JobState::from(word) })
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(word(from)?.parse().ok())
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SignedUrl>, D::Error> {
    Ok(Some(word(from)?).filter(|url| !url.is_empty()).map(SignedUrl::new))
}

fn or_default<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateRequest<'a> {
    name: &'a str,
    policy_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateResponse {
    #[serde(default, deserialize_with = "word")]
    batch_job_id: String,
    #[serde(default)]
    error: Option<JobError>,
    #[serde(default, deserialize_with = "address")]
    input_file_upload_url: Option<SignedUrl>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetResponse {
    #[serde(default, deserialize_with = "or_default")]
    batch_jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct RpcStatus {
    #[serde(default, deserialize_with = "word")]
    message: String,
}

/// Which failures are tried again at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Only what certainly had no effect: 429, and a connection that was never made. For `create`, which has no idempotency
    /// key: a job made twice is paid for twice.
    IfUndone,
    /// Also what may have had an effect, since doing it again changes nothing.
    Always,
}

/// The Batch API.
#[derive(Debug, Clone)]
pub struct BatchApi {
    client: Client,
    timeout: Duration,
    base: Url,
    key: ApiKey,
    metrics: Metrics,
}

impl BatchApi {
    /// The API at this address. Refusals of the key, and answers 429, count as metrics.
    #[must_use]
    pub fn new(base: Url, key: ApiKey, web: &WebClients, metrics: Metrics) -> Self {
        BatchApi { client: web.requests.clone(), timeout: web.api_timeout, base, key, metrics }
    }

    /// Creates a job. There is no idempotency key: after [`ApiError::Unknown`] a job may exist that no one knows.
    ///
    /// # Errors
    /// See [`ApiError`]; a 200 that carries an error, or no id or address, is one too.
    pub async fn create(&self, name: &str, policy: &str) -> Result<NewJob, ApiError> {
        let body = serde_json::to_vec(&CreateRequest { name, policy_id: policy }).map_err(|e| ApiError::Unknown(e.into()))?;
        let response = match self.call(Method::POST, self.url(&["v1", "batch-jobs"]), Some(body), Again::IfUndone).await {
            // The API does not know what the job was to be made by; a 404 of another server says nothing.
            Err(ApiError::NotFound(said)) if !said.is_empty() => return Err(ApiError::Refused(clean(&format!("404 {said}")))),
            answered => answered?,
        };
        let created: CreateResponse = read(response).await?;
        if let Some((error, words)) = created.error.and_then(|e| e.words().map(|words| (e, words))) {
            // Without a code it does not say that it would again.
            return Err(if error.is_coded() { ApiError::Refused(words) } else { ApiError::Unknown(anyhow!("{words}")) });
        }
        match created.input_file_upload_url {
            Some(upload_url) if !created.batch_job_id.is_empty() => Ok(NewJob { id: created.batch_job_id, upload_url }),
            _ => Err(ApiError::Unknown(anyhow!("the API's answer lacks the job's id or upload address"))),
        }
    }

    /// Asks after up to [`JOBS_PER_GET`] jobs. Without ids nothing is asked: the API would tell of the whole account.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::NotFound`] may mean any one of them.
    pub async fn jobs(&self, ids: &[&str]) -> Result<Vec<Job>, ApiError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut url = self.url(&["v1", "batch-jobs"]);
        url.query_pairs_mut().extend_pairs(ids.iter().map(|id| ("batchJobIds", id)));
        let response = self.call(Method::GET, url, None, Again::Always).await?;
        Ok(read::<GetResponse>(response).await?.batch_jobs)
    }

    /// Every job of the account that waits for its input: where the jobs are that no record knows.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn waiting_jobs(&self) -> Result<Vec<Job>, ApiError> {
        let mut url = self.url(&["v1", "batch-jobs"]);
        url.query_pairs_mut().append_pair("states", &JobState::Initialized.api_name());
        let response = self.call(Method::GET, url, None, Again::Always).await?;
        Ok(read::<GetResponse>(response).await?.batch_jobs)
    }

    /// Cancels a job. What became of it, the next GET tells.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn cancel(&self, id: &str) -> Result<(), ApiError> {
        let url = self.url(&["v1", "batch-jobs", id, "cancel"]);
        self.call(Method::POST, url, Some(b"{}".to_vec()), Again::Always).await.map(drop)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Settings take only http and https addresses, and those can be a base.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// One call, tried again as `again` allows, in all at most [`ATTEMPTS`] times.
    async fn call(&self, method: Method, url: Url, body: Option<Vec<u8>>, again: Again) -> Result<Response, ApiError> {
        let backoff =
            ExponentialBuilder::default().with_max_times(ATTEMPTS - 1).with_jitter().with_min_delay(Duration::from_millis(200));
        (|| self.call_with_key(&method, &url, body.as_deref()))
            .retry(backoff)
            .when(|error| match error {
                ApiError::Busy { after } => after.is_none_or(|wait| wait <= LONGEST_WAIT),
                ApiError::Unreachable(_) => true,
                ApiError::Unknown(_) => again == Again::Always,
                _ => false,
            })
            .adjust(|error, wait| match error {
                ApiError::Busy { after: Some(after) } => wait.map(|wait| wait.max(*after)),
                _ => wait,
            })
            .await
    }

    /// One call; if the key is refused it is looked up once more.
    async fn call_with_key(&self, method: &Method, url: &Url, body: Option<&[u8]>) -> Result<Response, ApiError> {
        let no_key = |error| {
            self.metrics.count(Metric::ApiKeyRefused, 1);
            ApiError::NoKey(error)
        };
        let key = self.key.get().await.map_err(no_key)?;
        match self.call_once(method, url, body, key.expose_secret()).await {
            Err(ApiError::Key) => {
                let key = self.key.reload(&key).await.map_err(no_key)?;
                let answered = self.call_once(method, url, body, key.expose_secret()).await;
                if matches!(answered, Err(ApiError::Key)) {
                    self.metrics.count(Metric::ApiKeyRefused, 1);
                }
                answered
            }
            answered => answered,
        }
    }

    async fn call_once(&self, method: &Method, url: &Url, body: Option<&[u8]>, key: &str) -> Result<Response, ApiError> {
        let mut request = self.client.request(method.clone(), url.clone()).timeout(self.timeout).bearer_auth(key);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        let response = request.send().await.map_err(|e| {
            let unmade = e.is_connect();
            let error = anyhow::Error::new(e.without_url());
            if unmade { ApiError::Unreachable(error) } else { ApiError::Unknown(error) }
        })?;
        let status = response.status();
        match status {
            StatusCode::OK => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ApiError::Key),
            StatusCode::NOT_FOUND => Err(ApiError::NotFound(said(response).await.unwrap_or_default())),
            StatusCode::TOO_MANY_REQUESTS => {
                self.metrics.count(Metric::ApiThrottled, 1);
                Err(ApiError::Busy { after: retry_after(response.headers()) })
            }
            StatusCode::REQUEST_TIMEOUT => Err(ApiError::Unknown(anyhow!("the API answered {status}"))),
            status if status.is_client_error() => {
                let said = said(response).await.unwrap_or_default();
                Err(ApiError::Refused(clean(&format!("{} {said}", status.as_u16()))))
            }
            status => Err(ApiError::Unknown(anyhow!("the API answered {status}"))),
        }
    }
}

/// What an answer with an error says, if it is of the API's form and not some server's page.
async fn said(response: Response) -> Option<String> {
    let text = response.bytes().await.ok()?;
    serde_json::from_slice::<RpcStatus>(&text).ok().map(|status| status.message)
}

async fn read<T: for<'de> Deserialize<'de>>(response: Response) -> Result<T, ApiError> {
    let body = response.bytes().await.map_err(|e| ApiError::Unknown(anyhow::Error::new(e.without_url())))?;
    if !body.trim_ascii_start().starts_with(b"{") {
        // serde would take a list for an object whose fields are all left out, and so for an API that knows no job.
        return Err(ApiError::Unknown(anyhow!("the API's answer is not a JSON object")));
    }
    // serde_json's message may quote a string of the answer: only where it stopped is told.
    serde_json::from_slice(&body).map_err(|e| {
        ApiError::Unknown(anyhow!("the API's answer is not the JSON it should be (line {}, column {})", e.line(), e.column()))
    })
}

/// The wait a `Retry-After` header asks for, in either of its forms (RFC 9110, 10.2.3); `None` if it is neither.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

/// The API's words made fit to be shown: one line, 200 characters at most, without anything that may be an address.
fn clean(words: &str) -> String {
    let shown: Vec<&str> = words.split_whitespace().map(|w| if w.contains("://") { "(address)" } else { w }).collect();
    shown.join(" ").chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> header::HeaderMap {
        [(header::RETRY_AFTER, header::HeaderValue::from_str(text).unwrap())].into_iter().collect()
    }

    #[test]
    fn a_retry_after_is_read_in_both_forms_and_garbage_is_passed_over() {
        assert_eq!(retry_after(&header("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&header("Fri, 31 Dec 1999 23:59:59 GMT")), Some(Duration::ZERO));
        for garbage in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(&header(garbage)), None, "{garbage}");
        }
    }

    #[test]
    fn a_default_error_says_nothing_and_addresses_are_never_shown() {
        let error = |code: &str, message: &str| JobError { error_code: code.into(), error_message: message.into() };
        assert_eq!(error("BATCH_JOB_ERROR_UNSPECIFIED", "").words(), None);
        let words = error("BATCH_JOB_ERROR_INVALID_POLICY", "see\nhttps://x.org/?sig=secret now").words();
        assert_eq!(words.as_deref(), Some("INVALID_POLICY see (address) now"));
    }
}
