//! The errors of API calls.

use std::time::Duration;

/// Why an API call failed. Messages of the API are cleaned: one line, without URLs.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API blames the request itself: 400 with gRPC's code 3, or an invalid policy or priority.
    /// Has its message.
    #[error("the API refused the request: {0}")]
    Invalid(String),
    /// The API refuses the request, and may accept it later: any other 4xx, or a 200 with an error
    /// in it. Has its message.
    #[error("the API refused the request: {0}")]
    Refused(String),
    /// The API does not accept the key (401), also after it was read again.
    #[error("the API does not take the API key")]
    Key,
    /// The key may not do this (403), at all or with one of the jobs in the request. Has the API's
    /// message.
    #[error("the API does not let the API key do this: {0}")]
    NotPermitted(String),
    /// The key cannot be read from its secret.
    #[error("there is no API key to call the API with")]
    NoKey(#[source] anyhow::Error),
    /// Too many requests (429), after several attempts.
    #[error("the API is busy (429)")]
    Busy {
        /// The wait that the API asks for.
        after: Option<Duration>,
    },
    /// The API does not know the job (404). Has its message.
    #[error("the API does not know the job: {0}")]
    NotFound(String),
    /// The request did not reach the API.
    #[error("the API cannot be reached")]
    Unreachable(#[source] anyhow::Error),
    /// The answer does not show what the API did: a server error, or an unexpected body.
    #[error("the API's answer is unclear")]
    Unclear(#[source] anyhow::Error),
    /// No answer came in time; the API may have acted on the request or not.
    #[error("the API did not answer")]
    Unknown(#[source] anyhow::Error),
}

impl ApiError {
    /// Whether it stops all calls, not only this one: the key, or too many requests.
    #[must_use]
    pub fn stops_all(&self) -> bool {
        matches!(self, ApiError::Key | ApiError::NoKey(_) | ApiError::Busy { .. })
    }
}
