//! The type of a row's content.

use serde::{Deserialize, Serialize};

/// The type of a row's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `text`: the content is the text itself.
    Text,
    /// `image_url`: the content is the publicly accessible URL of an image.
    ImageUrl,
}

impl Kind {
    /// The value of `type` in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::ImageUrl => "image_url",
        }
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        match value {
            b"text" => Some(Kind::Text),
            b"image_url" => Some(Kind::ImageUrl),
            _ => None,
        }
    }
}
