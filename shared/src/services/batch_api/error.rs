//! Why the API did not do what was asked.

use std::time::Duration;

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It blames the request itself (400 with gRPC's code 3, or an invalid policy or priority): what it says, cleaned for people
    /// to read.
    #[error("the API refused the request: {0}")]
    Invalid(String),
    /// It refuses the request, and does not say that it would again: any other answer 4xx, or a 200 that carries an error.
    #[error("the API refused the request: {0}")]
    Refused(String),
    /// It does not take our key (401), also after the key was looked up again.
    #[error("the API does not take the API key")]
    Key,
    /// The key may not do this (403): all of it, or for one of the jobs that were named.
    #[error("the API does not let the API key do this: {0}")]
    NotPermitted(String),
    /// Our key cannot be had from its secret.
    #[error("there is no API key to call the API with")]
    NoKey(#[source] anyhow::Error),
    /// Too many requests, after several attempts.
    #[error("the API is busy (429)")]
    Busy {
        /// The wait it asked for.
        after: Option<Duration>,
    },
    /// It does not know what was asked for (404), in its own words.
    #[error("the API does not know the job: {0}")]
    NotFound(String),
    /// The request did not reach it.
    #[error("the API cannot be reached")]
    Unreachable(#[source] anyhow::Error),
    /// It answered, and the answer says nothing: a server's error, or not what it should be.
    #[error("the API's answer says nothing")]
    Unclear(#[source] anyhow::Error),
    /// It may or may not have done it: no answer in time.
    #[error("the API did not answer")]
    Unknown(#[source] anyhow::Error),
}

impl ApiError {
    /// Whether no call can be made for now, for a reason that is not this call's: the key, or too many requests.
    #[must_use]
    pub fn stops_all(&self) -> bool {
        matches!(self, ApiError::Key | ApiError::NoKey(_) | ApiError::Busy { .. })
    }
}
