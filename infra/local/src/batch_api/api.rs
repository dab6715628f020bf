//! The Batch API proper: create, get and cancel, in proto3 JSON, with refusals as gRPC-status JSON.

use super::config::MissingIds;
use super::job::{Job, JobState, NewJob, Outcome};
use super::quirk::{LATE, Quirk};
use super::shared::Shared;
use crate::sync::locked;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::form_urlencoded;

/// A policy whose id starts so is one that the vendor does not find.
const INVALID_POLICY: &str = "invalid";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/batch-jobs", post(create).get(get_jobs))
        .route("/v1/batch-jobs/{id}/cancel", post(cancel))
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, 12, "Method Not Allowed")
        })
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, 5, "Not Found") })
}

/// A gRPC status, as its gateway answers it.
struct Refusal {
    status: StatusCode,
    code: u8,
    message: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, code: u8, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 3, message)
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, 5, "batch job not found")
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the sandbox could not keep a job");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 13, "internal error")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"code": self.code, "message": self.message, "details": []});
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[derive(Deserialize)]
struct CreateRequest {
    #[serde(default)]
    name: Option<String>,
    // Proto3 JSON is read in both spellings.
    #[serde(default, rename = "policyId", alias = "policy_id")]
    policy_id: Option<String>,
    #[serde(default, rename = "webhookUrl", alias = "webhook_url")]
    webhook_url: Option<String>,
}

async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    shared.authenticate(&headers)?;
    shared.admit_create()?;
    let request: CreateRequest = parse(&body)?;
    let name = request.name.unwrap_or_default();
    let policy_id = request.policy_id.unwrap_or_default();
    if policy_id.trim().is_empty() {
        return Err(Refusal::invalid_argument("policyId is required"));
    }
    // The documentation's 200 that is a refusal: no job comes of it.
    if policy_id.starts_with(INVALID_POLICY) {
        let error = json!({
            "errorCode": "BATCH_JOB_ERROR_INVALID_POLICY",
            "errorMessage": "the policy does not exist or has no active version",
        });
        return Ok(Json(json!({"name": name, "error": error})));
    }
    let now = shared.clock.now();
    let webhook_url = request.webhook_url.filter(|url| !url.is_empty());
    let job =
        shared.store.create(NewJob { name, policy_id, webhook_url, takes: shared.takes }, now)?;
    let upload = shared.signed(&Method::PUT, &format!("/upload/{}", job.id), now);
    let upload = Some(upload).filter(|_| !shared.has(Quirk::NoUploadUrl));
    Ok(Json(json!({"batchJobId": job.id, "name": job.name, "inputFileUploadUrl": upload})))
}

async fn get_jobs(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refusal> {
    shared.authenticate(&headers)?;
    let mut ids = Vec::new();
    let mut states = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "batchJobIds" | "batch_job_ids" => ids.push(value.into_owned()),
            "states" => {
                states.insert(JobState::named(&value).ok_or_else(|| {
                    Refusal::invalid_argument("states: not a value of BatchJobState")
                })?);
            }
            _ => {}
        }
    }

    let now = shared.clock.now();
    let jobs = if ids.is_empty() {
        let mut all = shared.store.all();
        all.retain(|job| !job.archived(now));
        all
    } else {
        let mut seen = HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        let found = ids.iter().map(|id| shared.store.get(id).filter(|job| !job.archived(now)));
        let found: Vec<Option<Job>> = found.collect();
        let unknown = found.iter().filter(|job| job.is_none()).count();
        if shared.quirk.is_some_and(|quirk| quirk.fails(unknown, found.len())) {
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 13, "internal error"));
        }
        match shared.missing_ids {
            MissingIds::LeftOut => found.into_iter().flatten().collect(),
            MissingIds::NotFound => {
                let all: Option<Vec<Job>> = found.into_iter().collect();
                all.ok_or_else(Refusal::not_found)?
            }
        }
    };
    let wanted = |job: &&Job| states.is_empty() || states.contains(&job.state(now).0);
    let records: Vec<Value> =
        jobs.iter().filter(wanted).map(|job| shared.record(job, now)).collect();
    Ok(Json(json!({"batchJobs": records})))
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    shared.authenticate(&headers)?;
    if !body.as_ref().is_ok_and(|body| body.is_empty()) {
        parse::<serde_json::Map<String, Value>>(&body)?;
    }
    let now = shared.clock.now();
    let cancelled = shared.store.change(&id, |job| {
        if job.archived(now) {
            return Err(Refusal::not_found());
        }
        let state = job.state(now).0;
        if state.is_final() {
            let message = format!("a job that is {} cannot be cancelled", state.name());
            return Err(Refusal::new(StatusCode::BAD_REQUEST, 9, message));
        }
        if !shared.has(Quirk::CancelIgnored) {
            job.cancelled_at = Some(now);
        }
        Ok(())
    })?;
    cancelled.ok_or_else(Refusal::not_found)??;
    Ok(Json(json!({"batchJobId": id, "state": JobState::Cancelled.name()})))
}

/// Reads a body. An error names line and column only, and no content.
fn parse<T: for<'de> Deserialize<'de>>(body: &Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body =
        body.as_ref().map_err(|_| Refusal::invalid_argument("the body could not be read"))?;
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::invalid_argument(format!(
            "the body is not the JSON expected: line {line} column {column}"
        ))
    })
}

impl Shared {
    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = given
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, key)| key.trim());
        if key == Some(self.api_key.expose_secret()) {
            Ok(())
        } else {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, 16, "the API key is missing or not valid"))
        }
    }

    /// Counts in real time, whatever the clock's speed: it is a client's pace that is limited.
    fn admit_create(&self) -> Result<(), Refusal> {
        const WINDOW: Duration = Duration::from_secs(1);
        let Some(limit) = self.max_create_per_second else {
            return Ok(());
        };
        let now = Instant::now();
        let mut created = locked(&self.created);
        while created.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            created.pop_front();
        }
        if created.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            created.push_back(now);
            return Ok(());
        }
        let mut refusal = Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            8,
            "too many batch jobs created: slow down",
        );
        refusal.retry_after = Some(WINDOW.as_secs());
        Err(refusal)
    }

    fn record(&self, job: &Job, now: Timestamp) -> Value {
        let (state, since) = self.state(job, now);
        let mut record = json!({
            "batchJobId": job.id,
            "name": job.name,
            "state": state.name(),
            "createdAt": job.created_at.to_string(),
            "updatedAt": since.to_string(),
            "policyId": job.policy_id,
        });
        if job.started_at.is_some() {
            record["policyVersionId"] = format!("{}-v1", job.policy_id).into();
        }
        match (&job.outcome, state) {
            (_, JobState::Completed) => {
                record["outputFileUrl"] = self.results_url(job, now).into();
            }
            (Some(Outcome::Refused { message, .. }), JobState::Error) => {
                record["error"] = json!({
                    "errorCode": "BATCH_JOB_ERROR_INVALID_INPUT_FILE",
                    "errorMessage": message,
                });
            }
            _ => {}
        }
        if let Some(quirk) = self.quirk {
            quirk.change_record(&mut record);
        }
        record
    }

    /// The state that is reported.
    fn state(&self, job: &Job, now: Timestamp) -> (JobState, Timestamp) {
        let late = |started| now.duration_since(started) < SignedDuration::from_secs(LATE);
        if self.has(Quirk::StartsLate) && job.started_at.is_some_and(late) {
            return (JobState::Initialized, job.created_at);
        }
        job.state(now)
    }

    fn results_url(&self, job: &Job, now: Timestamp) -> String {
        let new = || self.signed(&Method::GET, &format!("/download/{}", job.id), now);
        if !self.has(Quirk::SameResultsUrl) {
            return new();
        }
        locked(&self.kept_urls).entry(job.id.clone()).or_insert_with(new).clone()
    }

    fn signed(&self, method: &Method, path: &str, now: Timestamp) -> String {
        let host = match self.quirk {
            Some(Quirk::UploadElsewhere) if method == Method::PUT => "https://uploads.invalid",
            Some(Quirk::ResultsElsewhere) if method == Method::GET => "https://results.invalid",
            _ => &self.url,
        };
        format!("{host}{}", self.signer.sign(method, path, now))
    }
}
