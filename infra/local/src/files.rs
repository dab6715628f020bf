//! Files that appear under their names whole or not at all, whenever the process is killed; and
//! files that are named on the command line.

use crate::exit::UsageError;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file in the making, which is removed when it is let go, unless it was moved to where it
/// belongs.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// One at this path, which nothing else uses.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// One beside `target`, named as it is but for its extension, `new`. All writers of one file
    /// take turns, so that one name is enough, and what a killed process left there is written
    /// over.
    pub(crate) fn beside(target: &Path) -> Self {
        Self(target.with_extension("new"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves the file, which has to be complete, to where it belongs.
    pub(crate) fn publish(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.0, target)?;
        // Nothing is left to remove, and what another process puts there is not ours.
        self.0 = PathBuf::new();
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What cannot be removed now is written over or cleared later.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Writes a small file.
pub(crate) fn write_whole(target: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let unfinished = Unfinished::beside(target);
    std::fs::write(unfinished.path(), bytes)?;
    unfinished.publish(target)
}

/// What the file system says of a file that the command line names.
pub(crate) fn named_file(path: &Path) -> Result<Metadata, UsageError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(found),
        Ok(_) => Err(UsageError(format!("{} is not a file", path.display()))),
        Err(error) => Err(UsageError(format!("{}: {error}", path.display()))),
    }
}

/// Writes a small file that only its owner may read, where files have such modes.
pub(crate) fn write_private(target: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let unfinished = Unfinished::beside(target);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(unfinished.path())?;
    // What a killed process left there keeps its mode when it is written over.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(bytes.as_ref())?;
    drop(file);
    unfinished.publish(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("port");
        std::fs::write(dir.path().join("port.new"), "left by a killed process, and longer")
            .unwrap();
        write_whole(&target, "1").unwrap();
        write_whole(&target, "2").unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "2");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_readable_by_its_owner_alone_whatever_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("probe.json");
        for left in [&target, &dir.path().join("probe.new")] {
            std::fs::write(left, "by another release").unwrap();
            std::fs::set_permissions(left, PermissionsExt::from_mode(0o644)).unwrap();
        }
        write_private(&target, "1").unwrap();
        let mode = std::fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "1");
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::at(dir.path().join("half"));
        std::fs::write(unfinished.path(), "half").unwrap();
        drop(unfinished);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
