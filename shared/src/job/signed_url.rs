//! A pre-signed URL, which must not be printed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A pre-signed URL: whoever has it can read or write its object. Its `Debug` does not show it, and
/// it has no `Display`. It serializes in full, for the one attribute of the ledger that holds it
/// while it is needed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedUrl(String);

impl SignedUrl {
    /// Wraps a URL as the API gave it.
    #[must_use]
    pub fn new(url: String) -> Self {
        SignedUrl(url)
    }

    /// The URL itself, to make the request with.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(…)")
    }
}
