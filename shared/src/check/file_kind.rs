//! Recognises other kinds of file by their first bytes.

use crate::csv::error::InputError;
use crate::csv::rules::Rules;
use crate::problem::Code;

/// How many bytes it takes to recognise a kind of file: as many as the longest of them below.
pub(super) const HEAD_BYTES: usize = 16;

/// Bytes that only files of this kind begin with, and its name.
type Magic = (&'static [u8], &'static str);

const FIRST_RULES: [Magic; 10] = [
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

const TEXT: [Magic; 4] = [
    // Before those of UTF-16, with one of which it begins.
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

const ARCHIVES: [Magic; 13] = [
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1f\x9d", "a compress archive (.Z)"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x07\x08", "a zip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x04\x22\x4d\x18", "an lz4 archive"),
    (b"\xff\x06\0\0sNaPpY", "a snappy archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\x5d\0\0", "an lzma archive"),
];

const DATA: [Magic; 17] = [
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"FEA1\0", "a Feather file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x80\x05\x95", "a Python pickle"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"bplist0", "an Apple property list"),
    (b"\0\x05\x16\x07", "macOS's companion (AppleDouble) of a file"),
];

/// The text without its byte-order mark, if it has one.
///
/// # Errors
/// `E_ENCODING` for what is not UTF-8 text by its first bytes; `E_EMPTY` for no bytes.
pub(super) fn plain_text(head: &[u8], rules: Rules) -> Result<&[u8], InputError> {
    if head.is_empty() {
        return Err(InputError::of_file(
            Code::Empty,
            "the file is empty; it needs a header and rows",
        ));
    }
    let named = match rules {
        Rules::One => named_by_first_rules(head),
        Rules::Two => named(head),
    };
    match named {
        Some(message) => Err(InputError::of_file(Code::Encoding, message)),
        None => Ok(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head)),
    }
}

fn find(table: &[Magic], head: &[u8]) -> Option<&'static str> {
    table.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind)
}

fn named_by_first_rules(head: &[u8]) -> Option<String> {
    if let Some(kind) = find(&FIRST_RULES, head) {
        return Some(format!("the file is {kind}, not CSV in UTF-8"));
    }
    let is_nul = head.iter().take(2).any(|b| *b == 0);
    is_nul.then(|| {
        "the file begins with a NUL byte, as UTF-16 without a byte-order mark does; it is not UTF-8"
            .to_owned()
    })
}

fn named(head: &[u8]) -> Option<String> {
    let encoding = |kind| format!("the file is {kind}, not UTF-8: save it as CSV UTF-8");
    if let Some(kind) = find(&TEXT, head) {
        return Some(encoding(kind));
    }
    if let Some(kind) = find(&ARCHIVES, head) {
        return Some(format!(
            "the file is {kind}, not CSV: drop the CSV file that is in it, or save it as CSV UTF-8"
        ));
    }
    if let Some(kind) = find(&DATA, head) {
        return Some(format!("the file is {kind}, not CSV: export its rows as CSV UTF-8"));
    }
    match head {
        [_, 0, 0, 0, ..] | [0, 0, 0, _, ..] => Some(encoding("UTF-32 without a byte-order mark")),
        [_, 0, ..] | [0, ..] => Some(encoding("UTF-16 without a byte-order mark")),
        _ => None,
    }
}
