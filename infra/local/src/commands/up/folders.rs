//! The folders that `moondrop up` keeps beside the stack's own.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Where files come from and go to, below the folder of everything.
pub(super) struct Folders {
    /// For files to moderate.
    pub(super) inbox: PathBuf,
    /// For files of the inbox that have been dropped.
    pub(super) taken: PathBuf,
    /// For results.
    pub(super) outbox: PathBuf,
}

impl Folders {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let [inbox, taken, outbox] = ["inbox", "taken", "outbox"].map(|name| dir.join(name));
        for folder in [&inbox, &taken, &outbox] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create the folder {}", folder.display()))?;
        }
        Ok(Folders { inbox, taken, outbox })
    }
}
