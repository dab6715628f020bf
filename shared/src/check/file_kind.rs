//! Recognises other kinds of file by their first bytes.

use crate::csv::error::InputError;
use crate::problem::Code;

/// How many bytes it takes to recognise an archive or UTF-16.
pub(super) const HEAD_BYTES: usize = 8;

/// The text without its byte-order mark, if it has one.
///
/// # Errors
/// `E_ENCODING` for UTF-16, an archive or a spreadsheet; `E_EMPTY` for no bytes.
pub(super) fn plain_text(head: &[u8]) -> Result<&[u8], InputError> {
    const KINDS: [(&[u8], &str); 10] = [
        (b"\xff\xfe", "UTF-16"),
        (b"\xfe\xff", "UTF-16"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"PK\x03\x04", "a zip archive or a spreadsheet"),
        (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls)"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"PAR1", "a Parquet file"),
        (b"%PDF", "a PDF"),
    ];
    if head.is_empty() {
        return Err(InputError::of_file(
            Code::Empty,
            "the file is empty; it needs a header and rows",
        ));
    }
    for (magic, kind) in KINDS {
        if head.starts_with(magic) {
            return Err(InputError::of_file(
                Code::Encoding,
                format!("the file is {kind}, not CSV in UTF-8"),
            ));
        }
    }
    if head.iter().take(2).any(|b| *b == 0) {
        return Err(InputError::of_file(
            Code::Encoding,
            "the file begins with a NUL byte, as UTF-16 without a byte-order mark does; it is not UTF-8",
        ));
    }
    Ok(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head))
}
