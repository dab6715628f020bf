//! Which files a process still has open for writing. Linux says so, of the processes that we may
//! look into; elsewhere no file is known to be open.

use std::collections::HashSet;
use std::path::PathBuf;

/// What `up` says of this, on a system where it is so.
pub(super) const ALSO: &str =
    if cfg!(target_os = "linux") { ", and no process has it open for writing" } else { "" };

/// Those of the files that a process has open for writing. What cannot be read, such as another
/// user's processes, is skipped.
#[cfg(target_os = "linux")]
pub(super) fn open_for_writing(files: &[PathBuf]) -> HashSet<PathBuf> {
    use procfs::process::{FDPermissions, FDTarget, all_processes};
    use std::collections::HashMap;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let names: HashSet<_> = files.iter().filter_map(|path| path.file_name()).collect();
    let identities: HashMap<_, _> =
        files.iter().filter_map(|path| Some((identity(path)?, path))).collect();
    let mut open = HashSet::new();
    for process in all_processes().into_iter().flatten().flatten() {
        for descriptor in process.fd().into_iter().flatten().flatten() {
            let FDTarget::Path(target) = &descriptor.target else { continue };
            if !descriptor.mode().contains(FDPermissions::WRITE) {
                continue;
            }
            // In another container the file has another path. By its name alone we know which files
            // are worth a look: one on a file system that does not answer would keep us waiting.
            if !target.file_name().is_some_and(|name| names.contains(name)) {
                continue;
            }
            let link = PathBuf::from(format!("/proc/{}/fd/{}", process.pid, descriptor.fd));
            if let Some(path) = identity(&link).and_then(|file| identities.get(&file)) {
                open.insert(path.to_path_buf());
            }
        }
    }
    open
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_for_writing(_: &[PathBuf]) -> HashSet<PathBuf> {
    HashSet::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::process::{Command, Stdio};

    #[test]
    fn a_file_is_open_for_as_long_as_any_process_may_write_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["written", "appended", "read", "shut", "by another"].map(|name| {
            let path = dir.path().join(name);
            std::fs::write(&path, "x").unwrap();
            path
        });
        let open = || {
            let mut open: Vec<_> = open_for_writing(&files).into_iter().collect();
            open.sort();
            open
        };
        assert!(open().is_empty());
        let written = OpenOptions::new().read(true).write(true).open(&files[0]).unwrap();
        let appended = OpenOptions::new().append(true).open(&files[1]).unwrap();
        let _read = File::open(&files[2]).unwrap();
        // Holds the file until its input ends, and says when it does.
        let mut other = Command::new("sh");
        let other = other.args(["-c", "exec 3>>\"$0\"; echo holds; read _"]).arg(&files[4]);
        let mut other = other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut out = std::io::BufReader::new(other.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut said).unwrap();
        let mut held = vec![files[0].clone(), files[1].clone(), files[4].clone()];
        held.sort();
        assert_eq!(open(), held);
        drop((written, appended, other.stdin.take()));
        other.wait().unwrap();
        assert!(open().is_empty());
    }

    #[test]
    fn a_renamed_file_is_known_under_its_new_name() {
        let dir = tempfile::tempdir().unwrap();
        let [part, whole] = ["a.csv.part", "a.csv"].map(|name| dir.path().join(name));
        let _writer = File::create(&part).unwrap();
        std::fs::rename(&part, &whole).unwrap();
        assert_eq!(open_for_writing(std::slice::from_ref(&whole)), HashSet::from([whole]));
    }
}
