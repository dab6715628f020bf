//! The rules for a row: what it needs to be evaluated.

use super::{fields::Row, header::Header};
use crate::csv::error::InputError;
use crate::problem::Code;
use std::borrow::Cow;
use url::Url;

/// The longest `ref_id`, in bytes. The API documents no limit; this one is ours and bounds memory.
pub const MAX_REF_ID_BYTES: usize = 1024;

/// The longest image URL, in bytes: more than browsers and servers accept. Our limit, not the
/// API's.
pub const MAX_IMAGE_URL_BYTES: usize = 8 * 1024;

/// The type of a row's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    fn read(value: &[u8]) -> Option<Self> {
        match value.trim_ascii() {
            b"text" => Some(Kind::Text),
            b"image_url" => Some(Kind::ImageUrl),
            _ => None,
        }
    }
}

/// A valid row. Whether its `ref_id` is unique only the whole file shows.
#[derive(Debug)]
pub struct Item<'a> {
    /// The row's identifier without spaces at its ends: for a reader that trims, two rows must not
    /// have the same one.
    pub ref_id: Cow<'a, [u8]>,
    /// Text or image.
    pub kind: Kind,
    /// The text or the URL.
    pub content: Cow<'a, [u8]>,
}

impl Item<'_> {
    /// Appends the row as it is uploaded: `ref_id,type,content` and a newline.
    pub fn write_upload(&self, out: &mut Vec<u8>) {
        super::write::write_field(out, &self.ref_id);
        out.push(b',');
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.push(b',');
        super::write::write_field(out, &self.content);
        out.push(b'\n');
    }
}

/// The header of every upload.
pub const UPLOAD_HEADER: &[u8] = b"ref_id,type,content\n";

/// Checks that the row has as many fields as the header. Otherwise the whole file is refused: it is
/// unknown which field is missing or too many.
///
/// # Errors
/// `E_FIELDS`.
pub fn check_fields(row: &Row<'_>, header: &Header) -> Result<(), InputError> {
    if row.len() == header.columns {
        return Ok(());
    }
    let message = format!("the row has {} fields, the header {}", row.len(), header.columns);
    Err(InputError { code: Code::Fields, line: row.line, offset: row.offset, message })
}

/// Checks a row on its own.
///
/// # Errors
/// `E_REF_ID`, `E_TYPE` or `E_CONTENT`: these reject the row, not the file.
pub fn check_row<'a>(row: &Row<'a>, header: &Header) -> Result<Item<'a>, InputError> {
    let error =
        |code, message: String| InputError { code, line: row.line, offset: row.offset, message };
    let ref_id = trimmed(row.value(header.ref_id));
    if ref_id.is_empty() {
        return Err(error(Code::RefId, "`ref_id` is empty".to_owned()));
    }
    if ref_id.len() > MAX_REF_ID_BYTES {
        let message = format!(
            "`ref_id` is {} bytes long; at most {MAX_REF_ID_BYTES} are taken",
            ref_id.len()
        );
        return Err(error(Code::RefId, message));
    }
    let Some(kind) = Kind::read(&row.value(header.kind)) else {
        return Err(error(Code::Type, "`type` is neither `text` nor `image_url`".to_owned()));
    };
    let content = row.value(header.content);
    if std::str::from_utf8(&content).is_ok_and(|text| text.trim().is_empty()) {
        return Err(error(
            Code::Content,
            "`content` is empty: there is nothing to evaluate".to_owned(),
        ));
    }
    if kind == Kind::ImageUrl
        && let Err(message) = check_image_url(&content)
    {
        return Err(error(
            Code::Content,
            format!("`content` is not the URL of an image: {message}"),
        ));
    }
    Ok(Item { ref_id, kind, content })
}

fn trimmed(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match value {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.trim_ascii()),
        Cow::Owned(bytes) => Cow::Owned(bytes.trim_ascii().to_vec()),
    }
}

fn check_image_url(content: &[u8]) -> Result<(), String> {
    if content.len() > MAX_IMAGE_URL_BYTES {
        return Err(format!(
            "it is {} bytes long; at most {MAX_IMAGE_URL_BYTES} are allowed",
            content.len()
        ));
    }
    // The scanner accepts only UTF-8.
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.bytes().any(|b| b.is_ascii_whitespace()) {
        return Err("it has spaces or newlines in it".to_owned());
    }
    // The error of `Url` names a kind of error, never the URL.
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some_and(|h| !h.is_empty()) => Ok(()),
        "http" | "https" => Err("it names no host".to_owned()),
        _ => Err("it begins with neither http:// nor https://".to_owned()),
    }
}
