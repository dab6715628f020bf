//! What the API answers, read without trust: what an answer says is taken, what it leaves out is never made up.

use super::ApiError;
use crate::job::JobState;
use crate::secret::SignedUrl;
use anyhow::anyhow;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A job as the API reports it. Proto3 JSON may have any field as `null`, an empty URL as `""`, and an enum's value that the
/// gateway has no name for as a number: one odd job must not make an answer about a hundred unreadable.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id.
    #[serde(rename = "batchJobId", default, deserialize_with = "word")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "word")]
    pub name: String,
    /// Its state; [`JobState::Unknown`] too if what stands there is no state at all.
    #[serde(default = "unspecified", deserialize_with = "state")]
    pub state: JobState,
    /// When it was created; `None` too if that is no time.
    #[serde(default, deserialize_with = "time")]
    pub created_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, deserialize_with = "error")]
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
    /// Whether it has a code that says something.
    #[must_use]
    pub fn is_coded(&self) -> bool {
        !matches!(self.error_code.as_str(), "" | "BATCH_JOB_ERROR_UNSPECIFIED")
    }

    /// Whether its code blames what every job of the drop is made by: the policy or the priority.
    #[must_use]
    pub fn blames_request(&self) -> bool {
        let code = self.error_code.strip_prefix("BATCH_JOB_ERROR_").unwrap_or(&self.error_code);
        code.starts_with("INVALID_POLICY") || code.starts_with("INVALID_PRIORITY")
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

/// What a GET reports.
#[derive(Debug, Default)]
pub struct Reported {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// How many records say not even which job they are about.
    pub nameless: usize,
}

fn unspecified() -> JobState {
    JobState::Unspecified
}

/// A text or an enum's value; `null` is empty, and a number its digits.
fn word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(word_of(&Value::deserialize(from)?))
}

fn word_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn state<'de, D: Deserializer<'de>>(from: D) -> Result<JobState, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Null => JobState::Unspecified,
        value @ (Value::String(_) | Value::Number(_)) => match word_of(&value) {
            word if word.is_empty() => JobState::Unspecified,
            // A word that goes into records and logs.
            word if word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => JobState::from(word),
            _ => JobState::Unknown("UNREADABLE".to_owned()),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => JobState::Unknown("UNREADABLE".to_owned()),
    })
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(word(from)?.parse().ok())
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SignedUrl>, D::Error> {
    Ok(Some(word(from)?).filter(|url| !url.is_empty()).map(SignedUrl::new))
}

/// An error in any form: an object, or words alone.
fn error<'de, D: Deserializer<'de>>(from: D) -> Result<Option<JobError>, D::Error> {
    Ok(error_of(&Value::deserialize(from)?))
}

fn error_of(value: &Value) -> Option<JobError> {
    let error = match value {
        Value::Object(_) => JobError::deserialize(value).unwrap_or_default(),
        value => JobError { error_message: word_of(value), ..JobError::default() },
    };
    error.words().is_some().then_some(error)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateRequest<'a> {
    pub(super) name: &'a str,
    pub(super) policy_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateResponse {
    #[serde(default, deserialize_with = "word")]
    pub(super) batch_job_id: String,
    #[serde(default, deserialize_with = "error")]
    pub(super) error: Option<JobError>,
    #[serde(default, deserialize_with = "address")]
    pub(super) input_file_upload_url: Option<SignedUrl>,
}

/// What an answer with an error says (gRPC status as JSON).
#[derive(Debug, Default, Deserialize)]
pub(super) struct RpcStatus {
    #[serde(default)]
    code: Value,
    #[serde(default, deserialize_with = "word")]
    message: String,
}

impl RpcStatus {
    /// The API's own; `None` for what some other server says.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let status: RpcStatus = serde_json::from_slice(body).ok()?;
        (!status.code.is_null() || !status.message.is_empty()).then_some(status)
    }

    /// Whether it is gRPC's "invalid argument".
    pub(super) fn is_invalid_argument(&self) -> bool {
        matches!(word_of(&self.code).as_str(), "3" | "INVALID_ARGUMENT")
    }

    /// Its words, behind the HTTP status.
    pub(super) fn words(&self, status: u16) -> String {
        clean(&format!("{status} {}", self.message))
    }
}

/// Reads the answer to a GET: `{"batchJobs": […]}`, also with `[]` or `null`, or exactly `{}`. Each record is read on its own.
///
/// # Errors
/// [`ApiError::Unclear`] for anything else: an answer that also carries a `code` or an `error`, or that has no `batchJobs` but
/// something in its place, says nothing of our jobs.
pub(super) fn read_jobs(body: &[u8]) -> Result<Reported, ApiError> {
    let mut answer = object(body)?;
    answer.retain(|_, value| !value.is_null());
    let records = match answer.remove("batchJobs") {
        Some(Value::Array(records)) => records,
        None => Vec::new(),
        Some(_) => return Err(ApiError::Unclear(anyhow!("the API's answer has something other than a list of jobs"))),
    };
    let says_error = ["code", "error", "errors", "message", "details"].iter().any(|name| answer.contains_key(*name));
    if says_error || (records.is_empty() && !answer.is_empty()) {
        return Err(ApiError::Unclear(anyhow!("the API's answer says more, or other, than a list of jobs")));
    }
    let mut reported = Reported::default();
    for record in records {
        match serde_json::from_value::<Job>(record) {
            Ok(job) if !job.id.is_empty() => reported.jobs.push(job),
            _ => reported.nameless += 1,
        }
    }
    Ok(reported)
}

/// Reads the answer to a cancel, which may be empty.
///
/// # Errors
/// [`ApiError::Refused`] if it carries an error: it is no cancel then.
pub(super) fn read_cancel(body: &[u8]) -> Result<(), ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let answer = object(body)?;
    if let Some(words) = answer.get("error").and_then(error_of).and_then(|error| error.words()) {
        return Err(ApiError::Refused(words));
    }
    if answer.get("code").is_some_and(|code| !matches!(code, Value::Null)) {
        let words = answer.get("message").map(word_of).unwrap_or_default();
        return Err(ApiError::Refused(clean(&format!("200 {words}"))));
    }
    Ok(())
}

pub(super) fn read_create(body: &[u8]) -> Result<CreateResponse, ApiError> {
    serde_json::from_value(Value::Object(object(body)?))
        .map_err(|_| ApiError::Unclear(anyhow!("the API's answer is not what a create is answered with")))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    // serde_json's message may quote a string of the answer: only where it stopped is said.
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        ApiError::Unclear(anyhow!("the API's answer is not the JSON it should be (line {line}, column {column})"))
    })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ApiError::Unclear(anyhow!("the API's answer is not a JSON object"))),
    }
}

/// The API's words made fit to be shown: one line, 200 characters at most, without anything that may be a URL.
pub(super) fn clean(words: &str) -> String {
    let shown: Vec<&str> = words.split_whitespace().map(|w| if w.contains("://") { "(address)" } else { w }).collect();
    shown.join(" ").chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_error_says_nothing_and_urls_are_never_shown() {
        let error = |code: &str, message: &str| JobError { error_code: code.into(), error_message: message.into() };
        assert_eq!(error("BATCH_JOB_ERROR_UNSPECIFIED", "").words(), None);
        let words = error("BATCH_JOB_ERROR_INVALID_POLICY", "see\nhttps://x.org/?sig=secret now").words();
        assert_eq!(words.as_deref(), Some("INVALID_POLICY see (address) now"));
    }

    #[test]
    fn only_a_list_of_jobs_or_nothing_at_all_is_an_answer() {
        for good in ["{}", r#"{"batchJobs":[]}"#, r#"{"batchJobs":null}"#, r#" {"batchJobs":[],"error":null} "#] {
            assert!(read_jobs(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "[]",
            "null",
            r#"{"code":13,"message":"internal"}"#,
            r#"{"error":{"errorMessage":"x"}}"#,
            r#"{"batchJobs":[],"code":0}"#,
            r#"{"batchJobs":[{"batchJobId":"a"}],"error":"x"}"#,
            r#"{"batchJobs":{}}"#,
            r#"{"batchJobs":"none"}"#,
            r#"{"jobs":[]}"#,
            r#"{"batchJobs":[]"#,
        ] {
            assert!(matches!(read_jobs(bad.as_bytes()), Err(ApiError::Unclear(_))), "{bad}");
        }
        let more = read_jobs(br#"{"batchJobs":[{"batchJobId":"a"}],"nextPageToken":""}"#).unwrap();
        assert_eq!(more.jobs.len(), 1, "a field we do not know beside jobs");
    }

    #[test]
    fn each_record_is_read_on_its_own() {
        let body = r#"{"batchJobs":[{"batchJobId":"a","error":"text","state":{"x":1}},null,"b",{"state":"BATCH_JOB_STATE_QUEUED"},
            {"batchJobId":7,"state":"BATCH_JOB_STATE_QUEUED","name":[1],"createdAt":{}}]}"#;
        let reported = read_jobs(body.as_bytes()).unwrap();
        let seen: Vec<_> = reported.jobs.iter().map(|job| (job.id.as_str(), job.state.as_str())).collect();
        assert_eq!((seen, reported.nameless), (vec![("a", "UNREADABLE"), ("7", "QUEUED")], 3));
        for odd in
            [format!("\"{}\"", "x".repeat(65)), r#""a b""#.to_owned(), r#""https://x/?sig=1""#.to_owned(), "-1.5".to_owned()]
        {
            let body = format!(r#"{{"batchJobs":[{{"batchJobId":"a","state":{odd}}}]}}"#);
            assert_eq!(read_jobs(body.as_bytes()).unwrap().jobs[0].state.as_str(), "UNREADABLE", "{odd}");
        }
        assert_eq!(reported.jobs[0].error.as_ref().unwrap().words().as_deref(), Some("text"));
    }

    #[test]
    fn a_cancel_answered_with_an_error_is_no_cancel() {
        for done in ["", "{}", r#"{"batchJobId":"a","state":"BATCH_JOB_STATE_CANCELLED","error":null}"#] {
            assert!(read_cancel(done.as_bytes()).is_ok(), "{done}");
        }
        for not in [r#"{"error":{"errorMessage":"it runs"}}"#, r#"{"code":9,"message":"no"}"#, "<html>", r#"{"error":"no"}"#] {
            assert!(read_cancel(not.as_bytes()).is_err(), "{not}");
        }
    }
}
