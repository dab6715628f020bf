//! The JSON of the API's answers. Every field may be missing or malformed; nothing is assumed about
//! what is missing.

use super::error::ApiError;
use crate::job::report::{
    clean, error_in, optional_error, optional_url, read_string, string_or_number,
};
use crate::job::{Job, JobError, Reported, SignedUrl};
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateRequest<'a> {
    pub(super) name: &'a str,
    pub(super) policy_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateResponse {
    #[serde(default, deserialize_with = "read_string")]
    pub(super) batch_job_id: String,
    #[serde(default, deserialize_with = "optional_error")]
    pub(super) error: Option<JobError>,
    #[serde(default, deserialize_with = "optional_url")]
    pub(super) input_file_upload_url: Option<SignedUrl>,
}

/// The body of an answer with an error status: a gRPC status as JSON.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RpcStatus {
    #[serde(default)]
    code: Value,
    #[serde(default, deserialize_with = "read_string")]
    message: String,
}

impl RpcStatus {
    /// `None` for the answer of some other server.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let status: RpcStatus = serde_json::from_slice(body).ok()?;
        (!status.code.is_null() || !status.message.is_empty()).then_some(status)
    }

    /// Whether it has gRPC's code 3, "invalid argument".
    pub(super) fn is_invalid_argument(&self) -> bool {
        matches!(string_or_number(&self.code).as_str(), "3" | "INVALID_ARGUMENT")
    }

    /// The HTTP status and the message, for people to read.
    pub(super) fn message(&self, status: u16) -> String {
        clean(&format!("{status} {}", self.message))
    }
}

/// Reads the answer to a GET: `{"batchJobs": […]}`, also with `[]` or `null`, or exactly `{}`. Each
/// record is read on its own.
///
/// # Errors
/// [`ApiError::Unclear`] for anything else: an answer that also has a `code` or an `error`, or that
/// has other fields instead of `batchJobs`, does not report our jobs.
pub(super) fn read_jobs(body: &[u8]) -> Result<Reported, ApiError> {
    let mut answer = object(body)?;
    answer.retain(|_, value| !value.is_null());
    let records = match answer.remove("batchJobs") {
        Some(Value::Array(records)) => records,
        None => Vec::new(),
        Some(_) => {
            return Err(ApiError::Unclear(anyhow!("the API's answer has no list in `batchJobs`")));
        }
    };
    let has_error = ["code", "error", "errors", "message", "details"]
        .iter()
        .any(|name| answer.contains_key(*name));
    if has_error || (records.is_empty() && !answer.is_empty()) {
        return Err(ApiError::Unclear(anyhow!(
            "the API's answer is not a list of jobs, or has an error beside it"
        )));
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
/// [`ApiError::Refused`] if it has an error: then the job is not cancelled.
pub(super) fn read_cancel(body: &[u8]) -> Result<(), ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let answer = object(body)?;
    if let Some(message) = answer.get("error").and_then(error_in).and_then(|error| error.message())
    {
        return Err(ApiError::Refused(message));
    }
    if answer.get("code").is_some_and(|code| !matches!(code, Value::Null)) {
        let message = answer.get("message").map(string_or_number).unwrap_or_default();
        return Err(ApiError::Refused(clean(&format!("200 {message}"))));
    }
    Ok(())
}

pub(super) fn read_create(body: &[u8]) -> Result<CreateResponse, ApiError> {
    serde_json::from_value(Value::Object(object(body)?))
        .map_err(|_| ApiError::Unclear(anyhow!("the API's answer to a create cannot be read")))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    // serde_json's message may quote the answer, so only the place is reported.
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        ApiError::Unclear(anyhow!(
            "the API's answer is not valid JSON (line {line}, column {column})"
        ))
    })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ApiError::Unclear(anyhow!("the API's answer is not a JSON object"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_jobs_or_an_empty_object_is_an_answer() {
        for good in [
            "{}",
            r#"{"batchJobs":[]}"#,
            r#"{"batchJobs":null}"#,
            r#" {"batchJobs":[],"error":null} "#,
        ] {
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
        assert_eq!(more.jobs.len(), 1, "an unknown field beside jobs");
    }

    #[test]
    fn each_record_is_read_on_its_own() {
        let body = r#"{"batchJobs":[{"batchJobId":"a","error":"text","state":{"x":1}},null,"b",{"state":"BATCH_JOB_STATE_QUEUED"},
            {"batchJobId":7,"state":"BATCH_JOB_STATE_QUEUED","name":[1],"createdAt":{}}]}"#;
        let reported = read_jobs(body.as_bytes()).unwrap();
        let seen: Vec<_> =
            reported.jobs.iter().map(|job| (job.id.as_str(), job.state.as_str())).collect();
        assert_eq!((seen, reported.nameless), (vec![("a", "UNREADABLE"), ("7", "QUEUED")], 3));
        for malformed in [
            format!("\"{}\"", "x".repeat(65)),
            r#""a b""#.to_owned(),
            r#""https://x/?sig=1""#.to_owned(),
            "-1.5".to_owned(),
        ] {
            let body = format!(r#"{{"batchJobs":[{{"batchJobId":"a","state":{malformed}}}]}}"#);
            assert_eq!(
                read_jobs(body.as_bytes()).unwrap().jobs[0].state.as_str(),
                "UNREADABLE",
                "{malformed}"
            );
        }
        assert_eq!(reported.jobs[0].error.as_ref().unwrap().message().as_deref(), Some("text"));
    }

    #[test]
    fn a_cancel_answered_with_an_error_fails() {
        for done in
            ["", "{}", r#"{"batchJobId":"a","state":"BATCH_JOB_STATE_CANCELLED","error":null}"#]
        {
            assert!(read_cancel(done.as_bytes()).is_ok(), "{done}");
        }
        for refused in [
            r#"{"error":{"errorMessage":"it runs"}}"#,
            r#"{"code":9,"message":"no"}"#,
            "<html>",
            r#"{"error":"no"}"#,
        ] {
            assert!(read_cancel(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
