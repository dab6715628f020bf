//! The states of a batch job.

use serde::{Deserialize, Serialize};

/// A job's state (Batch API, `BatchJobState`). An unknown one is kept by its name and counts as
/// still pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[allow(missing_docs)] // The variants are the API's own names.
pub enum JobState {
    Unspecified,
    Initialized,
    Queued,
    Preprocessing,
    Preprocessed,
    Submitted,
    Postprocessing,
    Postprocessed,
    Completed,
    Error,
    Cancelled,
    Unknown(String),
}

const PREFIX: &str = "BATCH_JOB_STATE_";

/// The documented states in the order a job goes through them, with their ranks; the last three are
/// final.
const STATES: [(JobState, &str, u32); 11] = [
    (JobState::Unspecified, "UNSPECIFIED", 0),
    (JobState::Initialized, "INITIALIZED", 1),
    (JobState::Queued, "QUEUED", 10),
    (JobState::Preprocessing, "PREPROCESSING", 20),
    (JobState::Preprocessed, "PREPROCESSED", 30),
    (JobState::Submitted, "SUBMITTED", 40),
    (JobState::Postprocessing, "POSTPROCESSING", 50),
    (JobState::Postprocessed, "POSTPROCESSED", 60),
    (JobState::Completed, "COMPLETED", 100),
    (JobState::Error, "ERROR", 100),
    (JobState::Cancelled, "CANCELLED", 100),
];

impl JobState {
    /// How far along the job is: a job only moves to a higher rank. An unknown state has rank 0 and
    /// moves nothing.
    #[must_use]
    pub fn rank(&self) -> u32 {
        STATES.iter().find(|(s, ..)| s == self).map_or(0, |(.., rank)| *rank)
    }

    /// Whether the job has its input: it is past INITIALIZED.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.rank() >= JobState::Queued.rank()
    }

    /// The state's name without the API's prefix, such as `QUEUED`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            JobState::Unknown(name) => name,
            known => {
                STATES.iter().find(|(s, ..)| s == known).map_or("UNSPECIFIED", |(_, name, _)| name)
            }
        }
    }

    /// The state's name in the API, with its prefix.
    #[must_use]
    pub fn api_name(&self) -> String {
        format!("{PREFIX}{}", self.as_str())
    }
}

impl From<String> for JobState {
    fn from(name: String) -> Self {
        let short = name.strip_prefix(PREFIX).unwrap_or(&name);
        match STATES.iter().find(|(_, known, _)| *known == short) {
            Some((state, ..)) => state.clone(),
            None => JobState::Unknown(short.to_owned()),
        }
    }
}

impl From<JobState> for String {
    fn from(state: JobState) -> Self {
        state.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_with_and_without_prefix_and_unknown_ones_are_kept() {
        for (state, name, _) in STATES {
            assert_eq!(JobState::from(format!("BATCH_JOB_STATE_{name}")), state);
            assert_eq!(JobState::from(String::from(state.clone())), state);
        }
        let unknown = JobState::from("BATCH_JOB_STATE_DREAMING".to_owned());
        assert_eq!(
            (unknown.as_str(), unknown.rank(), unknown.is_started()),
            ("DREAMING", 0, false)
        );
    }
}
