//! Multipart uploads under way, as files: nothing that was answered is lost when the process is
//! killed, and an upload goes on after a restart.
//!
//! ```text
//! .uploads/<id>/upload.json   what is uploaded; an upload exists as long as this does
//!               <part>.json   a part; names the file that has its bytes
//!               <name>.bytes  the bytes of a part, or of one that is still to come
//!               staged.bytes  all parts of a completed upload, one after the other
//!               staged.json   once it is there, the upload is completed, if need be after a restart
//! ```

use super::keys::sidecar;
use crate::files::{Unfinished, write_whole};
use crate::uuid::uuid;
use s3s::dto::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The folder of the uploads, beside the buckets. No bucket can have this name.
const FOLDER: &str = ".uploads";
const UPLOAD: &str = "upload.json";
const STAGED: &str = "staged.json";
const STAGED_BYTES: &str = "staged.bytes";

/// What is uploaded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub bucket: String,
    pub key: String,
    /// Of the checksum that every part has.
    pub algorithm: Option<String>,
    pub checksum_type: Option<String>,
    /// What `s3s-fs` keeps of the object beside its bytes.
    pub attributes: Value,
}

/// A part that was uploaded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    /// The name of the file that has its bytes.
    pub file: String,
    pub size: u64,
    /// In hex: the ETag.
    pub md5: String,
    /// Of the upload's algorithm, in base64.
    pub checksum: Option<String>,
    pub modified: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Staged {
    e_tag: String,
}

/// The uploads below a folder. Callers hold the lock of an upload when they change it.
#[derive(Debug)]
pub(super) struct Uploads {
    root: PathBuf,
}

impl Uploads {
    /// Opens the uploads beside the buckets below `root`. Completes what was being completed when
    /// the process was killed, and removes what was being created or removed.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let uploads = Self { root: root.to_owned() };
        fs::create_dir_all(root.join(FOLDER))?;
        for entry in fs::read_dir(root.join(FOLDER))? {
            let folder = entry?.path();
            if !folder.is_dir() {
                continue;
            }
            let Some(id) = folder.file_name().and_then(|name| name.to_str()) else { continue };
            if !folder.join(UPLOAD).exists() {
                fs::remove_dir_all(&folder)?;
            } else if folder.join(STAGED).exists() {
                uploads.publish(id)?;
            }
        }
        Ok(uploads)
    }

    pub(super) fn create(&self, upload: &Upload) -> io::Result<String> {
        let id = uuid();
        fs::create_dir_all(self.folder(&id))?;
        write_json(&self.folder(&id).join(UPLOAD), upload)?;
        Ok(id)
    }

    /// An upload, if there is one of this id.
    pub(super) fn find(&self, id: &str) -> io::Result<Option<Upload>> {
        // It is what a client sends, and no path leads out of the folder.
        let valid = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !valid || id.is_empty() { Ok(None) } else { read_json(&self.folder(id).join(UPLOAD)) }
    }

    /// A file for bytes that are to become a part.
    pub(super) fn bytes(&self, id: &str) -> Unfinished {
        Unfinished::at(self.folder(id).join(format!("{}.bytes", uuid())))
    }

    /// Makes received bytes a part. It replaces an earlier one of the same number.
    pub(super) fn keep(
        &self,
        (id, number): (&str, i32),
        bytes: Unfinished,
        part: &Part,
    ) -> io::Result<()> {
        let folder = self.folder(id);
        let earlier: Option<Part> = read_json(&folder.join(part_name(number)))?;
        bytes.publish(&folder.join(&part.file))?;
        write_json(&folder.join(part_name(number)), part)?;
        match earlier {
            Some(earlier) => remove_if_there(&folder.join(earlier.file)),
            None => Ok(()),
        }
    }

    /// All parts by number.
    pub(super) fn parts(&self, id: &str) -> io::Result<BTreeMap<i32, Part>> {
        let mut parts = BTreeMap::new();
        for entry in fs::read_dir(self.folder(id))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(Ok(number)) = name.strip_suffix(".json").map(str::parse) else { continue };
            if let Some(part) = read_json(&path)? {
                parts.insert(number, part);
            }
        }
        Ok(parts)
    }

    /// Decides that the upload is completed, with these parts. What follows is `publish`, if need
    /// be after a restart.
    pub(super) fn stage(&self, id: &str, parts: &[Part], e_tag: &str) -> io::Result<()> {
        let folder = self.folder(id);
        let bytes = Unfinished::at(folder.join(STAGED_BYTES));
        let mut whole = File::create(bytes.path())?;
        for part in parts {
            io::copy(&mut File::open(folder.join(&part.file))?, &mut whole)?;
        }
        drop(whole);
        bytes.publish(&folder.join(STAGED_BYTES))?;
        write_json(&folder.join(STAGED), &Staged { e_tag: e_tag.to_owned() })
    }

    /// Puts a staged object where it belongs, with what `s3s-fs` keeps of it, and ends the upload.
    /// To do it again does no harm. The caller holds the object's lock.
    pub(super) fn publish(&self, id: &str) -> io::Result<()> {
        let folder = self.folder(id);
        let upload: Option<Upload> = read_json(&folder.join(UPLOAD))?;
        let staged: Option<Staged> = read_json(&folder.join(STAGED))?;
        let (Some(upload), Some(staged)) = (upload, staged) else {
            return Err(io::Error::new(ErrorKind::NotFound, "the upload is not staged"));
        };
        if let Err(error) = self.put_in_place(&folder, &upload, &staged) {
            // It is not to be tried again after a restart: by then the key may have another object.
            remove_if_there(&folder.join(STAGED))?;
            return Err(error);
        }
        self.remove(id)
    }

    fn put_in_place(&self, folder: &Path, upload: &Upload, staged: &Staged) -> io::Result<()> {
        let beside = |kind: &str| sidecar(&self.root, &upload.bucket, &upload.key, kind);
        let target = self.root.join(&upload.bucket).join(&upload.key);
        // Without it the ETag is computed from the bytes: never that of another object.
        remove_if_there(&beside("internal"))?;
        write_json(&beside("metadata"), &upload.attributes)?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        match fs::rename(folder.join(STAGED_BYTES), &target) {
            // The process was killed after it was moved.
            Err(e) if e.kind() == ErrorKind::NotFound && target.is_file() => {}
            moved => moved?,
        }
        write_json(&beside("internal"), &json!({"e_tag": staged.e_tag}))
    }

    /// Ends an upload, with all its parts.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        remove_if_there(&self.folder(id).join(UPLOAD))?;
        // A part that is being received may still add its file: such a folder is removed at the
        // next start.
        if let Err(error) = fs::remove_dir_all(self.folder(id)) {
            tracing::debug!(%error, id, "the folder of an upload stays until the next start");
        }
        Ok(())
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.root.join(FOLDER).join(id)
    }
}

fn part_name(number: i32) -> String {
    format!("{number}.json")
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write_whole(path, serde_json::to_vec(value)?)
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// An upload of two parts to `drops/a/k`.
    fn begun(root: &Path) -> (Uploads, String, Vec<Part>) {
        let uploads = Uploads::open(root).unwrap();
        let upload = Upload {
            bucket: "drops".into(),
            key: "a/k".into(),
            algorithm: None,
            checksum_type: None,
            attributes: json!({"content_type": "text/csv"}),
        };
        let id = uploads.create(&upload).unwrap();
        for (number, text) in [(2, "two"), (1, "draft"), (1, "one,")] {
            let bytes = uploads.bytes(&id);
            fs::write(bytes.path(), text).unwrap();
            let part = Part {
                file: bytes.path().file_name().unwrap().to_str().unwrap().into(),
                size: text.len() as u64,
                md5: String::new(),
                checksum: None,
                modified: SystemTime::now().into(),
            };
            uploads.keep((&id, number), bytes, &part).unwrap();
        }
        let parts = uploads.parts(&id).unwrap().into_values().collect();
        (uploads, id, parts)
    }

    fn object(root: &Path) -> (String, String, String) {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let beside = |kind: &str| read(sidecar(root, "drops", "a/k", kind));
        (read(root.join("drops/a/k")), beside("metadata"), beside("internal"))
    }

    fn is_complete(root: &Path) -> bool {
        let e_tag = r#"{"e_tag":"x-2"}"#.to_owned();
        let left = fs::read_dir(root.join(FOLDER)).unwrap().count();
        object(root) == ("one,two".into(), r#"{"content_type":"text/csv"}"#.into(), e_tag)
            && left == 0
    }

    #[test]
    fn a_completion_cut_off_at_any_step_is_finished_at_the_next_start() {
        for steps in 0..3 {
            let root = tempfile::tempdir().unwrap();
            let root = root.path();
            let (uploads, id, parts) = begun(root);
            uploads.stage(&id, &parts, "x-2").unwrap();
            let folder = uploads.folder(&id);
            if steps > 0 {
                fs::create_dir_all(root.join("drops/a")).unwrap();
                fs::rename(folder.join(STAGED_BYTES), root.join("drops/a/k")).unwrap();
            }
            if steps > 1 {
                let internal = sidecar(root, "drops", "a/k", "internal");
                write_json(&internal, &json!({"e_tag": "x-2"})).unwrap();
            }
            Uploads::open(root).unwrap();
            assert!(is_complete(root), "{steps}: {:?}", object(root));
        }
    }

    #[test]
    fn an_upload_cut_off_before_it_was_decided_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let (uploads, id, parts) = begun(root.path());
        // What a killed process left of its files.
        fs::write(uploads.folder(&id).join(STAGED_BYTES), "one,t").unwrap();
        fs::write(uploads.folder(&id).join("0.bytes"), "cut o").unwrap();
        let created_only = root.path().join(FOLDER).join(uuid());
        fs::create_dir(&created_only).unwrap();
        let uploads = Uploads::open(root.path()).unwrap();
        assert!(!created_only.exists());
        assert_eq!(object(root.path()), Default::default());
        assert_eq!(uploads.parts(&id).unwrap().len(), 2);
        uploads.stage(&id, &parts, "x-2").unwrap();
        uploads.publish(&id).unwrap();
        assert!(is_complete(root.path()));
    }

    #[test]
    fn a_part_uploaded_again_leaves_no_file_of_the_earlier_one() {
        let root = tempfile::tempdir().unwrap();
        let (uploads, id, _) = begun(root.path());
        let files = fs::read_dir(uploads.folder(&id)).unwrap().count();
        // What is uploaded, and two parts of two files each.
        assert_eq!(files, 5);
    }

    #[test]
    fn an_id_is_no_path() {
        let root = tempfile::tempdir().unwrap();
        let (uploads, id, _) = begun(root.path());
        for wrong in ["", "..", ".", "a/../..", "0"] {
            assert!(uploads.find(wrong).unwrap().is_none(), "{wrong}");
        }
        assert!(uploads.find(&id).unwrap().is_some());
    }
}
