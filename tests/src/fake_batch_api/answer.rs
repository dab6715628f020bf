//! Answers that a test sets.

use crate::raw_http::{Gate, Reply};
use serde_json::json;
use std::time::Duration;

/// What can be asked of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `POST /v1/batch-jobs`
    Create,
    /// `GET /v1/batch-jobs`
    Get,
    /// `POST /v1/batch-jobs/{id}/cancel`
    Cancel,
    /// `PUT` to the pre-signed URL.
    Upload,
    /// `GET` of the pre-signed URL.
    Download,
}

/// An answer that a test sets. By default the one that the contract says, with its effect.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    pub(super) no_effect: bool,
    pub(super) lost: bool,
    unsized_body: bool,
    cut: Option<usize>,
    pub(super) break_after: Option<usize>,
    delay: Duration,
    gate: Option<Gate>,
}

impl Answer {
    /// The contract's own answer.
    #[must_use]
    pub fn faithful() -> Self {
        Answer::default()
    }

    /// A refusal by this status: nothing is done.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let body = json!({"code": 2, "message": "scripted"}).to_string().into_bytes();
        Answer { status: Some(status), body: Some(body), no_effect: true, ..Answer::default() }
    }

    /// A refusal in the API's own words: nothing is done.
    #[must_use]
    pub fn refusal(status: u16, code: u32, message: &str) -> Self {
        let body = json!({"code": code, "message": message}).to_string().into_bytes();
        Answer { status: Some(status), body: Some(body), no_effect: true, ..Answer::default() }
    }

    /// A job that is created, and whose rows are to be sent to a host that is not allowed: none is.
    #[must_use]
    pub fn job_elsewhere(id: &str) -> Self {
        let url = "https://uploads.example.net/in?X-Amz-Signature=s";
        Answer::body(json!({"batchJobId": id, "inputFileUploadUrl": url}).to_string()).with_effect()
    }

    /// A 200 of these bytes: nothing is done.
    #[must_use]
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Answer { status: Some(200), body: Some(body.into()), no_effect: true, ..Answer::default() }
    }

    /// What was asked for is done; the answer never comes.
    #[must_use]
    pub fn lost() -> Self {
        Answer { lost: true, ..Answer::default() }
    }

    /// Only so many bytes of the request's body are read before the connection breaks; nothing is
    /// done.
    #[must_use]
    pub fn break_after(bytes: usize) -> Self {
        Answer { break_after: Some(bytes), ..Answer::default() }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// What was asked for is done, whatever the answer says.
    #[must_use]
    pub fn with_effect(mut self) -> Self {
        self.no_effect = false;
        self
    }

    /// Without a length: its end is the connection's.
    #[must_use]
    pub fn without_length(mut self) -> Self {
        self.unsized_body = true;
        self
    }

    /// Broken off after so many bytes of its body.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// Held back until a gate opens.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Sent only after this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(super) fn over(self, faithful: Reply) -> Reply {
        Reply {
            status: self.status.unwrap_or(faithful.status),
            headers: faithful.headers.into_iter().chain(self.headers).collect(),
            body: self.body.unwrap_or(faithful.body),
            delay: self.delay,
            gate: self.gate,
            sized: !self.unsized_body,
            cut: self.cut,
            lost: self.lost,
        }
    }
}
