//! What is in the inbox.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How the names of files end that are still being written.
const UNFINISHED: [&str; 4] = [".part", ".crdownload", ".tmp", "~"];

/// Size and time of change: what shows that a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    changed: Option<SystemTime>,
}

impl Stamp {
    pub(super) fn of(file: &Metadata) -> Self {
        Stamp { bytes: file.len(), changed: file.modified().ok() }
    }
}

/// The files and the links of the inbox, also in its folders, which name policies.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    pub(super) links: Vec<PathBuf>,
}

impl Listing {
    /// Reads the inbox. What cannot be read is skipped, and so are hidden and unfinished files and
    /// folders.
    pub(super) fn of(inbox: &Path) -> Self {
        let mut listing = Listing::default();
        let mut folders = vec![inbox.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                // Not through links: they may lead round in circles, and out of the inbox.
                let Ok(found) = entry.metadata() else { continue };
                if is_unfinished(&entry.file_name()) {
                    continue;
                }
                if found.is_dir() {
                    folders.push(entry.path());
                } else if found.is_file() {
                    listing.files.insert(entry.path(), Stamp::of(&found));
                } else if found.is_symlink() {
                    listing.links.push(entry.path());
                }
            }
        }
        listing
    }
}

/// Whether a name is that of a hidden file, or of one that is still being written.
fn is_unfinished(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.starts_with('.') || UNFINISHED.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_unfinished_files_and_links_are_not_among_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = dir.path();
        let names = ["a.csv", "p/b.csv", "part.csv", "tmp", "a~b.csv", "a.part.csv"];
        let skipped =
            [".a.csv", ".p/b.csv", "a.csv.part", "A.PART", "a.crdownload", "a.tmp", "a.csv~"];
        for name in names.iter().chain(&skipped) {
            std::fs::create_dir_all(inbox.join(name).parent().unwrap()).unwrap();
            std::fs::write(inbox.join(name), "x").unwrap();
        }
        #[cfg(unix)]
        for link in ["link.csv", "link.part"] {
            std::os::unix::fs::symlink("a.csv", inbox.join(link)).unwrap();
        }
        let listing = Listing::of(inbox);
        let found: Vec<_> = listing.files.into_keys().collect();
        let mut expected = names.map(|name| inbox.join(name));
        expected.sort();
        assert_eq!(found, expected);
        #[cfg(unix)]
        assert_eq!(listing.links, [inbox.join("link.csv")]);
    }
}
