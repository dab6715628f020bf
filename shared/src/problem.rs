//! What is wrong, in words a user understands: a stable code, and what happens next.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Problem, in words a user understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable word for it, such as `E_QUOTE`.
    pub class: String,
    /// What is wrong.
    pub reason: String,
    /// What happens next, or what is needed of the user.
    pub next: String,
}

impl Problem {
    /// Problem of this class.
    #[must_use]
    pub fn new(class: &str, reason: impl Into<String>, next: &str) -> Self {
        Problem { class: class.to_owned(), reason: reason.into(), next: next.to_owned() }
    }

    /// The API does not take the key (401), or does not let it do what Moondrop does (403): it does not say for sure which.
    #[must_use]
    pub fn key_refused() -> Self {
        let next = "It needs you to renew the key in its secret, or to give it the right to create, read and cancel batch jobs; the \
                    drop goes on by itself within minutes.";
        Problem::new(KEY_REFUSED, "the API does not take the API key, or the key has no right to do this", next)
    }

    /// The key cannot be had from its secret.
    #[must_use]
    pub fn no_key() -> Self {
        let next =
            "It will be tried again by itself. If it stays so, it needs you to put the key, and nothing else, into its secret.";
        Problem::new(KEY_REFUSED, "the API key cannot be had from its secret", next)
    }

    /// The API points to a host that is not to be contacted; `what` says for what.
    #[must_use]
    pub fn host_refused(what: &str, host: &str) -> Self {
        let reason = format!("the API {what} {host}, which SIGNED_URL_HOSTS does not allow");
        let next = "If that host is the API's, it needs you to add it to the setting; the drop goes on by itself.";
        Problem::new(HOST_REFUSED, reason, next)
    }
}

/// The class of the trouble with a host that is not to be contacted.
pub const HOST_REFUSED: &str = "E_HOST";
/// The class of the trouble with a key that the API does not take, or that cannot be had.
pub const KEY_REFUSED: &str = "E_API_KEY";

/// The stable word for a kind of fault. `E_REF_ID`, `E_TYPE` and `E_CONTENT` reject a row; every other one rejects the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    /// The file has no bytes, or no row below its header.
    #[serde(rename = "E_EMPTY")]
    Empty,
    /// The header lacks a column, has one twice, or uses another delimiter.
    #[serde(rename = "E_HEADER")]
    Header,
    /// The bytes are not UTF-8 text: UTF-16, an archive, a NUL, an invalid sequence.
    #[serde(rename = "E_ENCODING")]
    Encoding,
    /// A quote or a carriage return stands where CSV does not allow it, or a quote is never closed.
    #[serde(rename = "E_QUOTE")]
    Quote,
    /// A row has more or fewer fields than the header.
    #[serde(rename = "E_FIELDS")]
    Fields,
    /// The row's `ref_id` is empty, too long, or stands on an earlier row.
    #[serde(rename = "E_REF_ID")]
    RefId,
    /// The row's `type` is neither `text` nor `image_url`.
    #[serde(rename = "E_TYPE")]
    Type,
    /// The row's `content` is blank, or not the address of an image.
    #[serde(rename = "E_CONTENT")]
    Content,
    /// Something is larger than Moondrop takes.
    #[serde(rename = "E_LIMIT")]
    Limit,
    /// No policy is named for the file: it stands in no policy's folder, and there is no default policy.
    #[serde(rename = "E_POLICY")]
    Policy,
}

impl Code {
    /// Every class, in the order of the documentation.
    pub const ALL: [Code; 10] = [
        Code::Empty,
        Code::Header,
        Code::Encoding,
        Code::Quote,
        Code::Fields,
        Code::RefId,
        Code::Type,
        Code::Content,
        Code::Limit,
        Code::Policy,
    ];

    /// The word as it stands in `rejected.csv` and `status.json`, such as `E_QUOTE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Empty => "E_EMPTY",
            Code::Header => "E_HEADER",
            Code::Encoding => "E_ENCODING",
            Code::Quote => "E_QUOTE",
            Code::Fields => "E_FIELDS",
            Code::RefId => "E_REF_ID",
            Code::Type => "E_TYPE",
            Code::Content => "E_CONTENT",
            Code::Limit => "E_LIMIT",
            Code::Policy => "E_POLICY",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
