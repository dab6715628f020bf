//! Which object keys can be kept as files.

use crate::aws::names::{DROPS, RESULTS};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use moondrop_shared::object_key::{INCOMING, ObjectKey, is_drop, results_folder, second_folder};
use moondrop_shared::source::DropId;
use s3s::{S3Result, s3_error};
use std::path::Path;

/// The longest file name of the file systems in use.
const FILE_NAME_LIMIT: usize = 255;
/// `s3s-fs` keeps an object's attributes beside the buckets, in
/// `.bucket-<base64>.object-<base64>.metadata.json` (and in `….internal.json`, which is as long).
const SIDECAR: usize = ".bucket-".len() + ".object-".len() + ".metadata.json".len();
/// Room for an upload's id in that name, as `s3s-fs` wants it. Our own uploads need none, but a key
/// that is accepted now is accepted by other versions on the same folder.
const UPLOAD: usize = ".upload-".len() + 36;

/// Refuses a key that could not be kept, or not under its own name.
pub(crate) fn check(root: &Path, bucket: &str, key: &str, multipart: bool) -> S3Result<()> {
    let limit = longest(bucket, multipart);
    if key.len() > limit {
        return Err(s3_error!(
            KeyTooLongError,
            "The key has {} bytes; the local S3 keeps keys of up to {limit} bytes in this bucket",
            key.len()
        ));
    }
    // A key that ends in a slash is a folder marker, and is kept as a folder.
    let mut segments = key.strip_suffix('/').unwrap_or(key).split('/');
    if key.contains('\0') || segments.any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(s3_error!(
            InvalidArgument,
            "The local S3 keeps no keys with an empty, `.` or `..` segment, or a NUL"
        ));
    }
    let path = root.join(bucket).join(key);
    let within_an_object =
        path.ancestors().skip(1).take_while(|folder| *folder != root).any(Path::is_file);
    if within_an_object || (!key.ends_with('/') && path.is_dir()) {
        return Err(s3_error!(
            InvalidArgument,
            "The local S3 keeps objects as files: no key can be the folder of another"
        ));
    }
    Ok(())
}

/// Refuses a drop whose results could not be kept: it would be evaluated, and paid for, in vain.
pub(crate) fn check_drop(bucket: &str, key: &str) -> S3Result<()> {
    let limit = longest_drop(key);
    if bucket == DROPS && is_drop(key) && key.len() > limit {
        return Err(s3_error!(
            KeyTooLongError,
            "The key has {} bytes; the local S3 keeps the results of drops with keys of up to {limit} bytes",
            key.len()
        ));
    }
    Ok(())
}

/// The longest key of a drop that ends as this one does, in bytes: the keys of its results repeat
/// its path without `.csv`, and add a time, perhaps eight digits, and a name. They are written by
/// multipart uploads.
pub(crate) fn longest_drop(key: &str) -> usize {
    // What a key adds depends on its ending only. Where it is so long that it is cut in the keys of
    // its results, its ending stands for it.
    let ending = key.floor_char_boundary(key.len().saturating_sub(FILE_NAME_LIMIT));
    let key = if ending == 0 { key.to_owned() } else { format!("{INCOMING}{}", &key[ending..]) };
    let folder = results_folder(&key, Timestamp::UNIX_EPOCH);
    let folder = second_folder(&folder, &DropId::of(DROPS, &key, ""));
    let names = [ObjectKey::results(&folder), ObjectKey::rejected(&folder)];
    let longest_result = names.iter().map(|name| name.as_str().len()).max().unwrap_or_default();
    (key.len() + longest(RESULTS, true)).saturating_sub(longest_result)
}

/// Where `s3s-fs` keeps what belongs to an object: its `metadata` (attributes) or `internal` (ETag
/// and checksums).
pub(crate) fn sidecar(root: &Path, bucket: &str, key: &str, kind: &str) -> std::path::PathBuf {
    let [bucket, key] = [bucket, key].map(|name| URL_SAFE_NO_PAD.encode(name));
    root.join(format!(".bucket-{bucket}.object-{key}.{kind}.json"))
}

/// The longest key of a bucket, in bytes.
fn longest(bucket: &str, multipart: bool) -> usize {
    let upload = if multipart { UPLOAD } else { 0 };
    let left = FILE_NAME_LIMIT.saturating_sub(SIDECAR + upload + base64(bucket.len()));
    // Four characters hold three bytes, and a rest of two or three holds one or two.
    left / 4 * 3 + (left % 4).saturating_sub(1)
}

/// The length in base64, without padding, of `bytes` bytes.
fn base64(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(root: &Path, key: &str, multipart: bool) -> Option<String> {
        check(root, "drops", key, multipart).err().map(|e| e.code().as_str().to_owned())
    }

    #[test]
    fn the_longest_key_fits_its_sidecar_and_one_more_does_not() {
        for bucket in ["drops", "results", "abc"] {
            for multipart in [false, true] {
                let limit = longest(bucket, multipart);
                let name = |key: usize| {
                    SIDECAR
                        + if multipart { UPLOAD } else { 0 }
                        + base64(bucket.len())
                        + base64(key)
                };
                assert!(
                    name(limit) <= FILE_NAME_LIMIT && name(limit + 1) > FILE_NAME_LIMIT,
                    "{bucket} {limit}"
                );
            }
        }
    }

    #[test]
    fn a_drops_key_is_as_long_as_the_keys_of_its_results_allow() {
        let key = |bytes: usize, end: &str| {
            format!("{INCOMING}{}{end}", "k".repeat(bytes - INCOMING.len() - end.len()))
        };
        for (end, limit) in [(".csv", 90), (".CSV", 90), (".txt", 86), ("", 86)] {
            for bytes in [20, limit, limit + 1, 125, 300, 1024, 2000] {
                let key = key(bytes, end);
                assert_eq!(longest_drop(&key), limit, "{bytes} {end}");
                assert_eq!(check_drop(DROPS, &key).is_ok(), bytes <= limit, "{bytes} {end}");
            }
            let folder = results_folder(&key(limit, end), Timestamp::now());
            let rejected = ObjectKey::rejected(&second_folder(&folder, &DropId::from("01234567")));
            assert_eq!(rejected.as_str().len(), longest(RESULTS, true), "{end}");
        }
        let other = format!("control/{}", "k".repeat(130));
        assert!(check_drop(DROPS, &other).is_ok() && check_drop(RESULTS, &key(125, "")).is_ok());
    }

    #[test]
    fn a_key_that_would_be_kept_under_another_name_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for key in ["/a", "a//b", "a/../b", "..", "./a", "a/.", "a//", "/", "a\0b"] {
            assert_eq!(
                refusal(root.path(), key, false).as_deref(),
                Some("InvalidArgument"),
                "{key:?}"
            );
        }
        for key in ["a", "a/b c+d%2F.csv", "..a/b..", "…/é", "folder/"] {
            assert_eq!(refusal(root.path(), key, true), None, "{key:?}");
        }
        assert_eq!(
            refusal(root.path(), &"k".repeat(200), false).as_deref(),
            Some("KeyTooLongError")
        );
    }

    #[test]
    fn a_key_cannot_be_the_folder_of_another() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("drops/a")).unwrap();
        std::fs::write(root.path().join("drops/a/b"), "x").unwrap();
        assert_eq!(refusal(root.path(), "a", false).as_deref(), Some("InvalidArgument"));
        assert_eq!(refusal(root.path(), "a/b/c", false).as_deref(), Some("InvalidArgument"));
        assert_eq!(refusal(root.path(), "a/b", false), None);
    }
}
