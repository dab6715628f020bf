//! What the probe has done and learnt, kept in its folder so that the same command resumes.

use super::findings::Findings;
use crate::exit::UsageError;
use crate::files::write_private;
use anyhow::{Context, Result};
use jiff::Timestamp;
use moondrop_shared::job::SignedUrl;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The form of the file.
const FORM: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    form: u32,
    /// The API's origin, or "the sandbox".
    pub(super) api: String,
    pub(super) policy: String,
    pub(super) began_at: Timestamp,
    /// The sandbox's port, to which its URLs point.
    pub(super) sandbox_port: u16,
    /// The job that gets the rows.
    pub(super) job: Option<ProbedJob>,
    /// The job that gets none, to be cancelled.
    pub(super) empty_job: Option<String>,
    /// When its cancel was accepted.
    #[serde(default)]
    pub(super) cancelled_at: Option<Timestamp>,
    pub(super) findings: Findings,
    /// Nothing is left to look at.
    pub(super) done: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProbedJob {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_at: Timestamp,
    /// Until the rows are uploaded; then it is forgotten.
    pub(super) upload_url: Option<SignedUrl>,
    /// Recorded before the first byte is sent: from then on the job may have the rows.
    pub(super) upload_began_at: Option<Timestamp>,
    pub(super) uploaded_at: Option<Timestamp>,
    /// When it was last reported as INITIALIZED, after the upload.
    pub(super) initialized_at: Option<Timestamp>,
    /// When it was first reported in another state.
    pub(super) started_at: Option<Timestamp>,
    /// The states it was reported in.
    pub(super) states: Vec<String>,
}

impl State {
    pub(super) fn new(api: &str, policy: &str) -> Self {
        State {
            form: FORM,
            api: api.to_owned(),
            policy: policy.to_owned(),
            began_at: Timestamp::now(),
            sandbox_port: 0,
            job: None,
            empty_job: None,
            cancelled_at: None,
            findings: Findings::default(),
            done: false,
        }
    }
}

/// The file of the state. It has the upload URL until the rows are uploaded: whoever reads it could
/// upload in our place.
pub(super) struct StateFile(PathBuf);

impl StateFile {
    pub(super) fn of(folder: &Path) -> Self {
        StateFile(folder.join("probe.json"))
    }

    /// The state that an earlier run kept.
    pub(super) fn load(&self) -> Result<Option<State>> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(other).with_context(|| format!("read {}", self.0.display())),
        };
        let state: Option<State> = serde_json::from_slice(&bytes).ok();
        match state.filter(|state| state.form == FORM) {
            Some(state) => Ok(Some(state)),
            None => {
                let file = self.0.display();
                let problem = format!(
                    "{file} is not the state of a probe of this release: --again starts over"
                );
                Err(UsageError(problem).into())
            }
        }
    }

    pub(super) fn save(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(state).context("write the probe's state")?;
        write_private(&self.0, bytes).with_context(|| format!("write {}", self.0.display()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_its_owner_reads_the_file_which_may_have_the_upload_url() {
        let dir = tempfile::tempdir().unwrap();
        StateFile::of(dir.path()).save(&State::new("the sandbox", "p1")).unwrap();
        let mode = std::fs::metadata(dir.path().join("probe.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
