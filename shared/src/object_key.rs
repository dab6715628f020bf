//! Every object key, and how a drop's key is read. No other module builds a key.

use crate::source::DropId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The folder of the drops: `incoming/[<policy>/]<name>.csv`.
pub const INCOMING: &str = "incoming/";

/// The folder of the objects that tell Moondrop what to do: `control/<drop>.cancel`.
pub const CONTROL: &str = "control/";

/// The longest path of a drop that the keys of its results repeat, in bytes. S3 takes keys of at
/// most 1,024 bytes (Amazon S3 User Guide, "Naming Amazon S3 objects"); a result's key adds a time
/// and a name.
const MAX_PATH_BYTES: usize = 900;

/// The key of an object in the results bucket.
///
/// ```
/// use moondrop_shared::object_key::{ObjectKey, results_folder};
///
/// let dropped_at = "2026-11-23T18:12:00Z".parse()?;
/// let folder = results_folder("incoming/hate/posts.csv", dropped_at);
/// assert_eq!(ObjectKey::results(&folder).as_str(), "results/hate/posts/2026-11-23T18-12-00Z/results.csv");
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// `results.csv`: all rows of a drop with their results.
    #[must_use]
    pub fn results(folder: &str) -> Self {
        ObjectKey(format!("{folder}/results.csv"))
    }

    /// `results.safe.csv`: `results.csv` for spreadsheets, see [`crate::csv::safe`].
    #[must_use]
    pub fn safe_results(folder: &str) -> Self {
        ObjectKey(format!("{folder}/results.safe.csv"))
    }

    /// `rejected.csv`: the rows that were not sent, and why.
    #[must_use]
    pub fn rejected(folder: &str) -> Self {
        ObjectKey(format!("{folder}/rejected.csv"))
    }

    /// `status.json`: the state of the drop.
    #[must_use]
    pub fn status(folder: &str) -> Self {
        ObjectKey(format!("{folder}/status.json"))
    }

    /// `parts.json`: every part of a drop that has more of them than `status.json` lists.
    #[must_use]
    pub fn parts(folder: &str) -> Self {
        ObjectKey(format!("{folder}/parts.json"))
    }

    /// A part's joined rows, until the drop is published. Each attempt writes an object of its own,
    /// whose key has the attempt's time; the ledger says which one counts.
    #[must_use]
    pub fn work(drop_id: &DropId, part: u32, attempt: Timestamp) -> Self {
        ObjectKey(format!("{}{part:05}-{:x}.csv", work_folder(drop_id), attempt.as_nanosecond()))
    }

    /// `rejected.csv` as it was decided, by which rows are sent and joined: the one in the results'
    /// folder is its copy, for the user.
    #[must_use]
    pub fn decided_rejections(drop_id: &DropId) -> Self {
        ObjectKey(format!("{}rejected.csv", work_folder(drop_id)))
    }

    /// A segment of a check's saved state, or the object that lists them. `name` has the rules, what
    /// it spans, and its digest: two attempts that save the same write the same object.
    #[must_use]
    pub fn saved_check(drop_id: &DropId, name: &str) -> Self {
        ObjectKey(format!("{}check/{name}", work_folder(drop_id)))
    }

    /// An unchanged copy of a job's results that cannot be used; `digest` is the SHA-256 of their
    /// bytes, in hex.
    #[must_use]
    pub fn held(drop_id: &DropId, part: u32, digest: &str) -> Self {
        ObjectKey(format!(
            "{}held/{part:05}-{}.csv",
            work_folder(drop_id),
            digest.get(..16).unwrap_or(digest)
        ))
    }

    /// A key that S3 listed.
    #[must_use]
    pub fn listed(key: &str) -> Self {
        ObjectKey(key.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The prefix of the keys of all work files of a drop.
#[must_use]
pub fn work_folder(drop_id: &DropId) -> String {
    format!("work/{drop_id}/")
}

/// The name of the object that says how the columns of a folder's files are read.
pub const MAPPING: &str = "_moondrop.json";

/// What an object is to Moondrop, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file to evaluate.
    Drop,
    /// The mapping of a folder's files.
    Mapping,
    /// Below `incoming/`, and no drop: its name or a folder's begins with `_` or `.`, as those do
    /// that programs write while they work, such as `_temporary/` and `_SUCCESS`.
    Ignored,
    /// A folder marker, or an object in another place.
    Other,
}

/// What the object with this key is.
#[must_use]
pub fn kind(key: &str) -> Kind {
    let Some(path) = key.strip_prefix(INCOMING).filter(|path| !path.is_empty()) else {
        return Kind::Other;
    };
    if path.ends_with('/') {
        Kind::Other
    } else if !path.split('/').any(|name| name.starts_with(['_', '.'])) {
        Kind::Drop
    } else if key == mapping_key(key)
        && !policy_folder(key).is_some_and(|folder| folder.starts_with(['_', '.']))
    {
        Kind::Mapping
    } else {
        Kind::Ignored
    }
}

/// Whether an object with this key is a drop: it is under `incoming/`, is not a folder marker, and
/// neither its name nor a folder's begins with `_` or `.`.
#[must_use]
pub fn is_drop(key: &str) -> bool {
    kind(key) == Kind::Drop
}

/// The key of the mapping for a drop: in the first folder below `incoming/`, or else in `incoming/`.
///
/// ```
/// use moondrop_shared::object_key::mapping_key;
///
/// assert_eq!(mapping_key("incoming/hate/forum/posts.csv"), "incoming/hate/_moondrop.json");
/// assert_eq!(mapping_key("incoming/posts.csv"), "incoming/_moondrop.json");
/// ```
#[must_use]
pub fn mapping_key(key: &str) -> String {
    match policy_folder(key) {
        Some(folder) => format!("{INCOMING}{folder}/{MAPPING}"),
        None => format!("{INCOMING}{MAPPING}"),
    }
}

/// The drop that the object with this key cancels: `control/<drop>.cancel`, with the drop's 32
/// digits.
#[must_use]
pub fn cancelled_drop(key: &str) -> Option<DropId> {
    let id = key.strip_prefix(CONTROL)?.strip_suffix(".cancel")?;
    let is_id = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| DropId::from(id))
}

/// The key of the object that cancels a drop; see [`cancelled_drop`].
#[must_use]
pub fn cancel_request(drop_id: &DropId) -> String {
    format!("{CONTROL}{drop_id}.cancel")
}

/// The policy that a drop's key names: its first folder under `incoming/`, if it has one.
#[must_use]
pub fn policy_folder(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(INCOMING)?;
    rest.split_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

/// The folder of a drop's results: `results/<path>/<time>`, where the path is the drop's key
/// without `incoming/` and `.csv`, and the time is UTC as `2026-11-23T18-12-00Z`.
#[must_use]
pub fn results_folder(key: &str, dropped_at: Timestamp) -> String {
    let path = key.strip_prefix(INCOMING).unwrap_or(key);
    let path = match path.len().checked_sub(4) {
        Some(cut)
            if path.is_char_boundary(cut)
                && path[cut..].eq_ignore_ascii_case(".csv")
                && cut > 0 =>
        {
            &path[..cut]
        }
        _ => path,
    };
    let mut end = path.len().min(MAX_PATH_BYTES);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    format!("results/{}/{}", &path[..end], dropped_at.strftime("%Y-%m-%dT%H-%M-%SZ"))
}

/// The folder of a drop whose [`results_folder`] is already another's: one of the same key, dropped
/// in the same second.
#[must_use]
pub fn second_folder(folder: &str, drop_id: &DropId) -> String {
    format!("{folder}-{}", drop_id.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-11-23T18:12:00.7Z".parse().unwrap()
    }

    #[test]
    fn results_are_under_the_drops_path_and_time() {
        let folder = |key| results_folder(key, at());
        assert_eq!(folder("incoming/posts.csv"), "results/posts/2026-11-23T18-12-00Z");
        assert_eq!(
            folder("incoming/hate/a b/ü+%2F.CSV"),
            "results/hate/a b/ü+%2F/2026-11-23T18-12-00Z"
        );
        assert_eq!(folder("incoming/posts"), "results/posts/2026-11-23T18-12-00Z");
        assert_eq!(folder("incoming/.csv"), "results/.csv/2026-11-23T18-12-00Z");
    }

    #[test]
    fn a_long_key_still_makes_a_key_that_s3_takes() {
        let key = format!("incoming/{}.csv", "ü".repeat(500));
        let folder = second_folder(&results_folder(&key, at()), &DropId::of("b", &key, "v"));
        assert!(ObjectKey::results(&folder).as_str().len() <= 1024);
    }

    #[test]
    fn only_a_whole_id_names_the_drop_that_is_cancelled() {
        let id = DropId::of("b", "k", "v");
        assert_eq!(cancelled_drop(&cancel_request(&id)), Some(id.clone()));
        for key in [
            format!("control/{}.cancel", id.short()),
            format!("control/{id}.cancel.csv"),
            format!("control/x/{id}.cancel"),
            format!("incoming/{id}.cancel"),
            format!("control/{}.cancel", id.as_str().to_uppercase()),
        ] {
            assert_eq!(cancelled_drop(&key), None, "{key}");
        }
    }

    #[test]
    fn names_that_begin_with_an_underscore_or_a_dot_are_no_drops() {
        for key in ["incoming/_SUCCESS", "incoming/p/_temporary/0/part.csv", "incoming/.x.csv"] {
            assert_eq!(kind(key), Kind::Ignored, "{key}");
        }
        for key in ["incoming/_x/_moondrop.json", "incoming/p/a/_moondrop.json"] {
            assert_eq!((kind(key), is_drop(key)), (Kind::Ignored, false), "{key}");
        }
        for key in ["incoming/_moondrop.json", "incoming/p/_moondrop.json"] {
            assert_eq!((kind(key), is_drop(key)), (Kind::Mapping, false), "{key}");
        }
        for key in ["incoming/a_b.csv", "incoming/p/a.csv"] {
            assert_eq!(kind(key), Kind::Drop, "{key}");
        }
        assert_eq!(kind("incoming/_x/"), Kind::Other);
    }

    #[test]
    fn folders_and_other_places_are_not_drops() {
        assert!(is_drop("incoming/posts.csv") && is_drop("incoming/p/x.xlsx"));
        assert!(!is_drop("incoming/") && !is_drop("incoming/p/") && !is_drop("other/posts.csv"));
        assert!(!is_drop("control/0123456789abcdef0123456789abcdef.cancel"));
        assert_eq!(policy_folder("incoming/p/a/b.csv"), Some("p"));
        assert_eq!(policy_folder("incoming/b.csv"), None);
    }
}
