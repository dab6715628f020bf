//! Files below a folder, found by name.

use std::path::{Path, PathBuf};

/// The only file of this name below a folder; fails the test if there is none, or more than one.
#[must_use]
pub fn find_one(dir: &Path, name: &str) -> Vec<u8> {
    let found = find_all(dir, name);
    assert_eq!(found.len(), 1, "files named {name}: {found:?}");
    std::fs::read(&found[0]).unwrap()
}

/// Every file of this name below a folder, in order.
#[must_use]
pub fn find_all(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = find_all_ending(dir, name);
    found.retain(|path| path.file_name().is_some_and(|n| n == name));
    found
}

/// Every file below a folder whose name ends so, in order.
#[must_use]
pub fn find_all_ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
