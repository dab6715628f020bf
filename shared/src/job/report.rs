//! A job as the API reports it, read without trust: what it says is taken, what it leaves out is never made up.

use super::{JobState, SignedUrl};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A job as the API reports it. Proto3 JSON may have any field as `null`, an empty URL as `""`, and an enum's value that the
/// gateway has no name for as a number: one strange job must not make an answer about a hundred unreadable.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id.
    #[serde(rename = "batchJobId", default, deserialize_with = "read_string")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "read_string")]
    pub name: String,
    /// Its state; [`JobState::Unknown`] too if the field holds no state at all.
    #[serde(default = "unspecified", deserialize_with = "read_state")]
    pub state: JobState,
    /// When it was created; `None` too if that is no time.
    #[serde(default, deserialize_with = "read_time")]
    pub created_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, deserialize_with = "optional_error")]
    pub error: Option<JobError>,
    /// Where its results are, once it is completed; fresh with each GET.
    #[serde(default, deserialize_with = "optional_url")]
    pub output_file_url: Option<SignedUrl>,
}

/// An error in a job's record or in an answer. Proto3 JSON may carry an empty one: that is none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobError {
    #[serde(deserialize_with = "read_string")]
    error_code: String,
    #[serde(deserialize_with = "read_string")]
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

    /// What it says, for people; `None` if it says nothing.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let code = self.error_code.strip_prefix("BATCH_JOB_ERROR_").unwrap_or(&self.error_code);
        let code = if code == "UNSPECIFIED" { "" } else { code };
        let message = format!("{code} {}", self.error_message);
        Some(clean(&message)).filter(|w| !w.is_empty())
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
pub(crate) fn read_string<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(string_or_number(&Value::deserialize(from)?))
}

pub(crate) fn string_or_number(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn read_state<'de, D: Deserializer<'de>>(from: D) -> Result<JobState, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Null => JobState::Unspecified,
        value @ (Value::String(_) | Value::Number(_)) => match string_or_number(&value) {
            word if word.is_empty() => JobState::Unspecified,
            // Fit for records and logs.
            word if word.len() <= 64 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => JobState::from(word),
            _ => JobState::Unknown("UNREADABLE".to_owned()),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => JobState::Unknown("UNREADABLE".to_owned()),
    })
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(read_string(from)?.parse().ok())
}

pub(crate) fn optional_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SignedUrl>, D::Error> {
    Ok(Some(read_string(from)?).filter(|url| !url.is_empty()).map(SignedUrl::new))
}

/// An error in any form: an object, or a text alone.
pub(crate) fn optional_error<'de, D: Deserializer<'de>>(from: D) -> Result<Option<JobError>, D::Error> {
    Ok(error_in(&Value::deserialize(from)?))
}

pub(crate) fn error_in(value: &Value) -> Option<JobError> {
    let error = match value {
        Value::Object(_) => JobError::deserialize(value).unwrap_or_default(),
        value => JobError { error_message: string_or_number(value), ..JobError::default() },
    };
    error.message().is_some().then_some(error)
}

/// The API's message made fit to be shown: one line, 200 characters at most, without anything that may be a URL.
pub(crate) fn clean(message: &str) -> String {
    let shown: Vec<&str> = message.split_whitespace().map(|w| if w.contains("://") { "(address)" } else { w }).collect();
    shown.join(" ").chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_error_says_nothing_and_urls_are_never_shown() {
        let error = |code: &str, message: &str| JobError { error_code: code.into(), error_message: message.into() };
        assert_eq!(error("BATCH_JOB_ERROR_UNSPECIFIED", "").message(), None);
        let words = error("BATCH_JOB_ERROR_INVALID_POLICY", "see\nhttps://x.org/?sig=secret now").message();
        assert_eq!(words.as_deref(), Some("INVALID_POLICY see (address) now"));
    }
}
