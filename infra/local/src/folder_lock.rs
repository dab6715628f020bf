//! One process at a time in a folder of data.

use anyhow::{Context, Result, bail};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

/// Held for as long as one of its clones is there; the kernel lets go of it however the process
/// ends.
#[derive(Clone, Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held, and never looked at")] Arc<File>);

impl FolderLock {
    /// Creates the folder if it is not there, and locks it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("create the folder {}", folder.display()))?;
        let file = File::create(folder.join("lock")).context("create the lock file")?;
        match file.try_lock() {
            Ok(()) => Ok(Self(Arc::new(file))),
            Err(TryLockError::WouldBlock) => {
                bail!("another moondrop is using {}", folder.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("lock the folder {}", folder.display()))
            }
        }
    }
}

impl FolderLock {
    /// Whether another process uses the folder. A folder that is not there is free.
    pub(crate) fn is_taken(folder: &Path) -> Result<bool> {
        let file = match File::open(folder.join("lock")) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).context("open the lock file"),
        };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("look at the lock of {}", folder.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_until_the_last_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::take(dir.path()).unwrap();
        let second = first.clone();
        drop(first);
        assert!(FolderLock::take(dir.path()).unwrap_err().to_string().contains("another moondrop"));
        assert!(FolderLock::is_taken(dir.path()).unwrap());
        drop(second);
        assert!(!FolderLock::is_taken(dir.path()).unwrap());
        assert!(!FolderLock::is_taken(&dir.path().join("none")).unwrap());
        FolderLock::take(dir.path()).unwrap();
    }
}
