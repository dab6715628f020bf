//! What separates the columns of a file.

use serde::{Deserialize, Serialize};

/// What separates the columns of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `,`, as in a file without a mapping.
    #[default]
    Comma,
    /// `;`, as spreadsheets write it where the comma is a decimal point.
    Semicolon,
    /// A tab.
    Tab,
}

impl Separator {
    /// Every separator.
    pub const ALL: [Separator; 3] = [Separator::Comma, Separator::Semicolon, Separator::Tab];

    /// Its byte in a file.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Separator::Comma => b',',
            Separator::Semicolon => b';',
            Separator::Tab => b'\t',
        }
    }

    /// Its name in a mapping, and in a message.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Separator::Comma => "comma",
            Separator::Semicolon => "semicolon",
            Separator::Tab => "tab",
        }
    }

    /// Several of them, in a message.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Separator::Comma => "commas",
            Separator::Semicolon => "semicolons",
            Separator::Tab => "tabs",
        }
    }
}
