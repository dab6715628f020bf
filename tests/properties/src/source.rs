//! The rows of a source file as someone else reads them: what Moondrop skips is taken out of the bytes
//! first, and the `csv` crate reads the rest.

use moondrop_shared::csv::header::Header;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::csv::text::trim;

/// The header and the rows.
pub(crate) fn source_rows(file: &[u8], header: &Header) -> Vec<Vec<Vec<u8>>> {
    if header.rules == Rules::One {
        let all = if header.skip_spaces { without_spaces(file, true) } else { file.to_vec() };
        return read(&all);
    }
    let file = without_spaces(&without_marks(file), header.skip_spaces);
    let names = |row: &[Vec<u8>]| -> Vec<String> {
        row.iter().map(|name| trim(&String::from_utf8_lossy(name)).to_owned()).collect()
    };
    // An accepted file has no row of one or two fields, but lines that are none.
    let mut rows: Vec<_> = read(&file).into_iter().filter(|row| row.len() > 2).collect();
    if let Some(first) = rows.first().map(|row| names(row)) {
        let mut is_first = true;
        rows.retain(|row| std::mem::take(&mut is_first) || names(row) != first);
    }
    rows
}

pub(crate) fn read(csv: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(csv);
    let rows = reader
        .byte_records()
        .map(|row| row.expect("it is read from memory").iter().map(<[u8]>::to_vec).collect());
    rows.collect()
}

/// The file without the spaces that follow its commas, outside of quotes; or with those of its
/// header alone, which has three columns or more.
pub(crate) fn without_spaces(file: &[u8], in_rows: bool) -> Vec<u8> {
    let (mut kept, mut quoted, mut skipping) = (Vec::with_capacity(file.len()), false, false);
    let (mut commas, mut is_over) = (0, false);
    for &byte in file {
        if skipping && matches!(byte, b' ' | b'\t') {
            continue;
        }
        quoted ^= byte == b'"';
        let is_comma = byte == b',' && !quoted;
        commas += usize::from(is_comma);
        if byte == b'\n' && !quoted {
            is_over |= commas >= 2;
            commas = 0;
        }
        skipping = is_comma && (in_rows || !is_over);
        kept.push(byte);
    }
    kept
}

/// The file without the marks that stand before a record's first quote.
fn without_marks(file: &[u8]) -> Vec<u8> {
    let marks = ["\u{feff}".as_bytes(), "\u{200b}".as_bytes()];
    let (mut kept, mut quoted, mut at) = (Vec::with_capacity(file.len()), false, 0);
    let mut is_start = true;
    while at < file.len() {
        if is_start {
            let mut rest = &file[at..];
            while let Some(after) = marks.iter().find_map(|mark| rest.strip_prefix(*mark)) {
                rest = after;
            }
            if rest.first() == Some(&b'"') {
                at = file.len() - rest.len();
            }
        }
        quoted ^= file[at] == b'"';
        is_start = file[at] == b'\n' && !quoted;
        kept.push(file[at]);
        at += 1;
    }
    kept
}
