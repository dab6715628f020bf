//! A job as the API reports it. Every field may be missing or malformed; nothing is assumed about
//! what is missing.

use super::{JobState, SignedUrl};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A job as the API reports it. Proto3 JSON may have `null` for any field, `""` for an absent URL,
/// and a number for an enum's value that the gateway has no name for: one malformed job must not
/// make an answer about a hundred unreadable.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Empty if the record has none.
    #[serde(rename = "batchJobId", default, deserialize_with = "read_string")]
    pub id: String,
    /// See [`super::JobName`].
    #[serde(default, deserialize_with = "read_string")]
    pub name: String,
    /// [`JobState::Unknown`] also for a value that is no state at all.
    #[serde(default = "unspecified", deserialize_with = "read_state")]
    pub state: JobState,
    /// `None` also for a value that is no time.
    #[serde(default, deserialize_with = "read_time")]
    pub created_at: Option<Timestamp>,
    /// See [`Provenance::policy_id`].
    #[serde(default, deserialize_with = "read_string")]
    pub policy_id: String,
    /// See [`Provenance::policy_version`].
    #[serde(default, deserialize_with = "read_string")]
    pub policy_version_id: String,
    /// `None` also for a value that is no time.
    #[serde(default, deserialize_with = "read_time")]
    pub updated_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, deserialize_with = "optional_error")]
    pub error: Option<JobError>,
    /// Where its results are, once it is completed; each GET gives a new URL.
    #[serde(default, deserialize_with = "optional_url")]
    pub output_file_url: Option<SignedUrl>,
}

/// By what a job was judged, as the API reports it. What the API leaves out is `None`: it is never
/// guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The policy's id.
    pub policy_id: Option<String>,
    /// The id of the version of the policy that was active when the job started.
    pub policy_version: Option<String>,
    /// When the API last changed the job's record.
    pub updated_at: Option<Timestamp>,
}

/// The longest id that is kept, in bytes.
const LONGEST_ID: usize = 128;

impl Job {
    /// By what it was judged; `None` if the API reports nothing of it.
    #[must_use]
    pub fn provenance(&self) -> Option<Provenance> {
        let id = |text: &str| {
            let is_id = (1..=LONGEST_ID).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic());
            (is_id && !text.contains("://")).then(|| text.to_owned())
        };
        let reported = Provenance {
            policy_id: id(&self.policy_id),
            policy_version: id(&self.policy_version_id),
            updated_at: self.updated_at,
        };
        (reported != Provenance::default()).then_some(reported)
    }
}

/// An error in a job's record or in an answer. Proto3 JSON may have an empty one, which is read as
/// none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobError {
    #[serde(deserialize_with = "read_string")]
    error_code: String,
    #[serde(deserialize_with = "read_string")]
    error_message: String,
}

impl JobError {
    /// Whether it has a code other than "unspecified".
    #[must_use]
    pub fn is_coded(&self) -> bool {
        !matches!(self.error_code.as_str(), "" | "BATCH_JOB_ERROR_UNSPECIFIED")
    }

    /// Whether its code blames the request, which is the same for every job of the drop: the policy
    /// or the priority.
    #[must_use]
    pub fn blames_request(&self) -> bool {
        let code = self.error_code.strip_prefix("BATCH_JOB_ERROR_").unwrap_or(&self.error_code);
        code.starts_with("INVALID_POLICY") || code.starts_with("INVALID_PRIORITY")
    }

    /// The code and the message, for people to read; `None` if it has neither.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let code = self.error_code.strip_prefix("BATCH_JOB_ERROR_").unwrap_or(&self.error_code);
        let code = if code == "UNSPECIFIED" { "" } else { code };
        let message = format!("{code} {}", self.error_message);
        Some(clean(&message)).filter(|message| !message.is_empty())
    }
}

/// What one GET reports.
#[derive(Debug, Default)]
pub struct Reported {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// How many records have no job id.
    pub nameless: usize,
}

fn unspecified() -> JobState {
    JobState::Unspecified
}

/// A text or an enum's value; `null` is read as empty, and a number as its digits.
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
            name if name.is_empty() => JobState::Unspecified,
            // It goes into records and logs.
            name if name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                JobState::from(name)
            }
            _ => JobState::Unknown("UNREADABLE".to_owned()),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            JobState::Unknown("UNREADABLE".to_owned())
        }
    })
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(read_string(from)?.parse().ok())
}

pub(crate) fn optional_url<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SignedUrl>, D::Error> {
    Ok(Some(read_string(from)?).filter(|url| !url.is_empty()).map(SignedUrl::new))
}

/// An error in any form: an object, or only a message.
pub(crate) fn optional_error<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<JobError>, D::Error> {
    Ok(error_in(&Value::deserialize(from)?))
}

pub(crate) fn error_in(value: &Value) -> Option<JobError> {
    let error = match value {
        Value::Object(_) => JobError::deserialize(value).unwrap_or_default(),
        value => JobError { error_message: string_or_number(value), ..JobError::default() },
    };
    error.message().is_some().then_some(error)
}

/// A message of the API's made safe to show: one line, at most 200 characters, without anything
/// that may be a URL.
pub(crate) fn clean(message: &str) -> String {
    let shown: Vec<&str> = message
        .split_whitespace()
        .map(|word| if word.contains("://") { "(URL)" } else { word })
        .collect();
    shown.join(" ").chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_error_has_no_message_and_urls_are_never_shown() {
        let error = |code: &str, message: &str| JobError {
            error_code: code.into(),
            error_message: message.into(),
        };
        assert_eq!(error("BATCH_JOB_ERROR_UNSPECIFIED", "").message(), None);
        let message =
            error("BATCH_JOB_ERROR_INVALID_POLICY", "see\nhttps://x.org/?sig=secret now").message();
        assert_eq!(message.as_deref(), Some("INVALID_POLICY see (URL) now"));
    }
}
