//! The rules for a row: what it needs to be evaluated.

use super::text::{is_blank, is_mark, trim_by};
use super::value::Value;
use super::write::{field_len, write_field};
use super::{cause, fields::Row, image_url};
use crate::csv::error::InputError;
use crate::csv::header::{Header, KindOf};
use crate::csv::rules::Rules;
use crate::problem::Code;
use std::borrow::Cow;

/// The longest `ref_id`, in bytes. The API documents no limit; this one is ours and bounds memory.
pub const MAX_REF_ID_BYTES: usize = 1024;

pub use super::image_url::MAX_IMAGE_URL_BYTES;
pub use super::kind::Kind;

/// A valid row. Whether its `ref_id` is unique only the whole file shows.
#[derive(Debug)]
pub struct Item<'a> {
    /// The row's identifier without spaces at its ends: for a reader that trims, two rows must not
    /// have the same one.
    pub ref_id: Cow<'a, [u8]>,
    /// Text or image.
    pub kind: Kind,
    /// The text or the URL.
    pub content: Value<'a>,
}

impl Item<'_> {
    /// Appends the row as it is uploaded: `ref_id,type,content` and a newline.
    pub fn write_upload(&self, out: &mut Vec<u8>) {
        write_field(out, &self.ref_id);
        out.push(b',');
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.push(b',');
        self.content.write(out);
        out.push(b'\n');
    }

    /// Whether the row that it is of stands in its file just as [`Item::write_upload`] writes it.
    #[inline]
    #[must_use]
    pub fn stands_in(&self, row: &Row<'_>, header: &Header) -> bool {
        const LINE_FEED: u64 = 1;
        let raw = [0, 1, 2].map(|column| row.raw(column));
        header.is_as_uploaded()
            && row.end - row.offset == row.bytes.len() as u64 + LINE_FEED
            // Nothing stands between the fields but commas.
            && raw.iter().map(|field| field.len()).sum::<usize>() + 2 == row.bytes.len()
            && row.field(0).trimmed(header.rules).is_written_as(raw[0])
            && raw[1] == self.kind.as_str().as_bytes()
            && self.content.is_written_as(raw[2])
    }

    /// How many bytes [`Item::write_upload`] appends.
    #[inline]
    #[must_use]
    pub fn upload_len(&self) -> usize {
        field_len(&self.ref_id) + self.kind.as_str().len() + self.content.written_len() + 3
    }
}

/// The header of every upload.
pub const UPLOAD_HEADER: &[u8] = b"ref_id,type,content\n";

/// What a record of the file is.
#[derive(Debug)]
pub enum Record<'a> {
    /// A row: it is sent, or rejected by itself.
    Row(Result<Item<'a>, InputError>),
    /// A row with another number of fields than the header's, or another header. It refuses the file:
    /// it is unknown which of its fields, or of the fields below it, is what.
    Unclear(InputError),
    /// No row: it is in no count, upload or result.
    Skipped(Skipped),
}

/// Why a record is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// A line of spaces, tabs or marks.
    Blank,
    /// A line of Ctrl-Z, which only ends a file.
    CtrlZ,
    /// The header once more, as joined files have it.
    HeaderAgain,
}

/// Reads a record below the header by the rules of the header; as a row of the file it would have
/// this number. The check, the upload and the join all read records here, so that they skip the
/// same ones.
#[inline]
#[must_use]
pub fn read_record<'a>(row: &Row<'a>, header: &Header, number: u64) -> Record<'a> {
    if header.is_mapped {
        if header.columns == 1 && skipped(row) == Some(Skipped::CtrlZ) {
            return Record::Skipped(Skipped::CtrlZ);
        }
        // A single field may well be a text that the header also is.
        if header.columns > 1
            && header.may_be_in(row)
            && let Some(record) = another_header(row, header)
        {
            return record;
        }
    }
    if row.len() != header.columns {
        return match skipped(row).filter(|_| header.rules >= Rules::Two) {
            Some(skipped) => Record::Skipped(skipped),
            None => Record::Unclear(fields_error(row, header)),
        };
    }
    match check_row(row, header, number) {
        Err(error) if error.code == Code::Type && header.rules >= Rules::Two => {
            another_header(row, header).unwrap_or(Record::Row(Err(error)))
        }
        checked => Record::Row(checked),
    }
}

/// A record that has the header's names, if this one does.
fn another_header<'a>(row: &Row<'_>, header: &Header) -> Option<Record<'a>> {
    if header.is_repeated_by(row) {
        return Some(Record::Skipped(Skipped::HeaderAgain));
    }
    if !header.is_reordered_by(row) {
        return None;
    }
    let message = "the header's names stand here in another order, as in files that were joined, and the rows below may follow either: put the columns of all of them in one order".to_owned();
    Some(Record::Unclear(row.error(Code::Header, message)))
}

/// Whether a record is a line without fields; a header has two columns or more.
#[must_use]
pub fn skipped(row: &Row<'_>) -> Option<Skipped> {
    if row.len() != 1 || row.is_quoted(0) {
        return None;
    }
    let text = std::str::from_utf8(row.raw(0)).ok()?;
    let text = text.trim_matches(|c| matches!(c, ' ' | '\t') || is_mark(c));
    match text {
        "" => Some(Skipped::Blank),
        _ if text.bytes().all(|b| b == CTRL_Z) => Some(Skipped::CtrlZ),
        _ => None,
    }
}

/// The end of a file, as old DOS and CP/M programs write it.
const CTRL_Z: u8 = 0x1a;

/// The error of a line of Ctrl-Z that rows follow.
#[must_use]
pub fn stray_ctrl_z(row: &Row<'_>) -> InputError {
    let message = "a Ctrl-Z (U+001A), which ends a file, stands alone on the line, and rows follow: remove it";
    row.error(Code::Fields, message.to_owned())
}

fn fields_error(row: &Row<'_>, header: &Header) -> InputError {
    let message = match header.rules {
        Rules::One => {
            format!("the row has {} fields, the header {}", row.len(), header.columns)
        }
        Rules::Two => cause::fields(row, header.columns, header.separator),
    };
    row.error(Code::Fields, message)
}

/// Checks a row on its own.
///
/// # Errors
/// `E_REF_ID`, `E_TYPE` or `E_CONTENT`: these reject the row, not the file.
#[inline]
fn check_row<'a>(row: &Row<'a>, header: &Header, number: u64) -> Result<Item<'a>, InputError> {
    let rules = header.rules;
    let error = |code, message| row.error(code, message);
    let ref_id = trimmed(header.ref_id.value(row, number), rules);
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
    let kind = match header.kind {
        KindOf::Column(column) => Kind::read(trim_by(rules, &row.value(column))),
        KindOf::Constant(kind) => Some(kind),
    };
    let Some(kind) = kind else {
        return Err(error(Code::Type, "`type` is neither `text` nor `image_url`".to_owned()));
    };
    let mut content = row.field(header.content);
    if is_blank(content.text()) {
        return Err(error(
            Code::Content,
            "`content` is empty: there is nothing to evaluate".to_owned(),
        ));
    }
    if kind == Kind::ImageUrl {
        let checked = match rules {
            Rules::One => image_url::first_rules(&content.bytes()),
            Rules::Two => {
                content = content.trimmed(rules);
                image_url::check(&content.bytes())
            }
        };
        checked.map_err(|message| {
            error(Code::Content, format!("`content` is not the URL of an image: {message}"))
        })?;
    }
    Ok(Item { ref_id, kind, content })
}

fn trimmed(value: Cow<'_, [u8]>, rules: Rules) -> Cow<'_, [u8]> {
    match value {
        Cow::Borrowed(bytes) => Cow::Borrowed(trim_by(rules, bytes)),
        Cow::Owned(bytes) => Cow::Owned(trim_by(rules, &bytes).to_vec()),
    }
}
