//! Every object key, and how a drop's key is read. No key is put together anywhere else.

use crate::source::DropId;
use std::fmt;

/// Where drops are put: `incoming/[<policy>/]<name>.csv`.
pub const INCOMING: &str = "incoming/";

/// The longest path of a drop that is repeated in the keys of its results, in bytes; S3 takes keys of up to 1,024 bytes
/// (Amazon S3 User Guide, "Naming Amazon S3 objects"), and the results' are longer by a time and a name.
const MAX_PATH_BYTES: usize = 900;

/// An object in the results bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectKey<'a> {
    /// All rows of a drop with their results.
    Results {
        /// The drop's folder.
        folder: &'a str,
    },
    /// The rows that were not sent, and why.
    Rejected {
        /// The drop's folder.
        folder: &'a str,
    },
    /// How the drop stands.
    Status {
        /// The drop's folder.
        folder: &'a str,
    },
    /// A part's joined rows, until the drop is published. Each attempt writes its own; the ledger says whose counts.
    Work {
        /// The drop.
        drop: &'a DropId,
        /// The part.
        part: u32,
        /// A word of this attempt's own.
        attempt: &'a str,
    },
    /// A job's results as they came, which cannot be used as they are.
    Held {
        /// The drop.
        drop: &'a DropId,
        /// The part.
        part: u32,
        /// The SHA-256 of their bytes, in hex.
        digest: &'a str,
    },
    /// What the keys of all of a drop's work files begin with.
    WorkFolder {
        /// The drop.
        drop: &'a DropId,
    },
}

impl fmt::Display for ObjectKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectKey::Results { folder } => write!(f, "{folder}/results.csv"),
            ObjectKey::Rejected { folder } => write!(f, "{folder}/rejected.csv"),
            ObjectKey::Status { folder } => write!(f, "{folder}/status.json"),
            ObjectKey::Held { drop, part, digest } => {
                write!(f, "work/{drop}/held/{part:05}-{}.csv", digest.get(..16).unwrap_or(digest))
            }
            ObjectKey::WorkFolder { drop } => write!(f, "work/{drop}/"),
            ObjectKey::Work { drop, part, attempt } => write!(f, "work/{drop}/{part:05}-{attempt}.csv"),
        }
    }
}

/// Whether an object under this key is a drop: under `incoming/`, and not a folder's marker.
#[must_use]
pub fn is_drop(key: &str) -> bool {
    key.strip_prefix(INCOMING).is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/'))
}

/// The policy a drop's key names: its first folder under `incoming/`, if it has one.
#[must_use]
pub fn policy_folder(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(INCOMING)?;
    rest.split_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

/// The folder of a drop's results: `results/<path>/<time>`, where the path is the drop's key without `incoming/` and `.csv`,
/// and the time is UTC as `2026-11-23T18-12-00Z`. `apart` tells it from another drop of the same key in the same second.
#[must_use]
pub fn results_folder(key: &str, dropped_at: jiff::Timestamp, apart: Option<&DropId>) -> String {
    let path = key.strip_prefix(INCOMING).unwrap_or(key);
    let path = match path.len().checked_sub(4) {
        Some(cut) if path.is_char_boundary(cut) && path[cut..].eq_ignore_ascii_case(".csv") && cut > 0 => &path[..cut],
        _ => path,
    };
    let mut end = path.len().min(MAX_PATH_BYTES);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    let time = dropped_at.strftime("%Y-%m-%dT%H-%M-%SZ");
    let apart = apart.map(|id| format!("-{}", id.short())).unwrap_or_default();
    format!("results/{}/{time}{apart}", &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> jiff::Timestamp {
        "2026-11-23T18:12:00.7Z".parse().unwrap()
    }

    #[test]
    fn results_stand_under_the_drops_path_and_time() {
        let folder = |key| results_folder(key, at(), None);
        assert_eq!(folder("incoming/posts.csv"), "results/posts/2026-11-23T18-12-00Z");
        assert_eq!(folder("incoming/hate/a b/ü+%2F.CSV"), "results/hate/a b/ü+%2F/2026-11-23T18-12-00Z");
        assert_eq!(folder("incoming/posts"), "results/posts/2026-11-23T18-12-00Z");
        assert_eq!(folder("incoming/.csv"), "results/.csv/2026-11-23T18-12-00Z");
    }

    #[test]
    fn a_long_key_still_makes_a_key_that_s3_takes() {
        let key = format!("incoming/{}.csv", "ü".repeat(500));
        let folder = results_folder(&key, at(), Some(&DropId::of("b", &key, "v")));
        assert!(ObjectKey::Results { folder: &folder }.to_string().len() <= 1024);
    }

    #[test]
    fn folders_and_other_places_are_not_drops() {
        assert!(is_drop("incoming/posts.csv") && is_drop("incoming/p/x.xlsx"));
        assert!(!is_drop("incoming/") && !is_drop("incoming/p/") && !is_drop("other/posts.csv"));
        assert_eq!(policy_folder("incoming/p/a/b.csv"), Some("p"));
        assert_eq!(policy_folder("incoming/b.csv"), None);
    }
}
