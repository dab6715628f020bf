//! The version of the rules by which a file is read: what counts as a row, a space, a duplicate.

use serde::{Deserialize, Serialize};

/// The rules that a drop was checked by; its record keeps their number.
///
/// A part is read again when it is uploaded and when it is joined, by whatever release runs then.
/// Each release therefore knows all earlier rules, and a part's upload is the same bytes in every
/// release that knows the part's rules. A change to what is accepted, skipped or sent is a new
/// version.
///
/// ```
/// use moondrop_shared::csv::rules::Rules;
///
/// assert_eq!(serde_json::to_string(&Rules::NEWEST)?, "2");
/// assert!(serde_json::from_str::<Rules>("3").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u32", into = "u32")]
pub enum Rules {
    /// Those of the releases that recorded no number.
    #[default]
    One,
    /// Blank lines, repeated headers and marks at the edges are skipped; white space is Unicode's;
    /// image URLs are held to the URL standard; the check goes on after an error in a row.
    Two,
}

impl Rules {
    /// The rules of new drops.
    pub const NEWEST: Rules = Rules::Two;
}

/// A number that this release does not know: a newer one accepted the drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file was checked by rules {0}, and this release knows the rules up to 2")]
pub struct UnknownRules(u32);

impl TryFrom<u32> for Rules {
    type Error = UnknownRules;

    fn try_from(number: u32) -> Result<Self, UnknownRules> {
        match number {
            1 => Ok(Rules::One),
            2 => Ok(Rules::Two),
            other => Err(UnknownRules(other)),
        }
    }
}

impl From<Rules> for u32 {
    fn from(rules: Rules) -> u32 {
        match rules {
            Rules::One => 1,
            Rules::Two => 2,
        }
    }
}
