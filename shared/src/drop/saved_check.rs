//! How far the check of a drop's file was saved.

use crate::check::Place;
use crate::csv::rules::Rules;
use serde::{Deserialize, Serialize};

/// The newest saved state of a check that takes longer than one invocation. It only moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCheck {
    /// The rules by which the file is checked.
    pub rules: Rules,
    /// See [`Place::pass`].
    pub pass: u8,
    /// See [`Place::offset`].
    pub offset: u64,
    /// See [`Place::line`].
    pub line: u64,
    /// How many segments the state has.
    pub segments: u32,
    /// The SHA-256 of the object with the state, which lists the segments with theirs; in hex.
    pub digest: String,
}

impl SavedCheck {
    /// Where the check goes on.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { pass: self.pass, offset: self.offset, line: self.line }
    }
}
