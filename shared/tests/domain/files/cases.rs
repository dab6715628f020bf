//! The small files of `tests/fixtures/cases`, of the kinds that public reports tell of: the errors word
//! for word, the notices, and the bytes of the results.

use crate::support::walk::outcome;
use moondrop_shared::csv::rules::Rules;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/cases")
}

/// A file's name, its errors and its notices. A file that is accepted has its results in
/// `cases/results`, with every job lost, without that reason.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const CASES: [Case; 31] = [
    ("01b-bom-concat-quoted.csv", &[], &["N_HEADER_AGAIN 1 [4]"]),
    ("01d-bom-ref-dup.csv", &["E_REF_ID 4: the `ref_id` stands on line 2 already; the first row with it is kept"], &["N_MARKS 1 [4]"]),
    ("02-sep-semicolon.csv", &["E_HEADER 1: the first line is Excel's `sep=`, which names semicolons as the separator: save the file with commas, and remove the line"], &[]),
    ("02b-sep-comma.csv", &[], &["N_SEP_LINE 1 [1]"]),
    ("03-semicolon-quoted.csv", &["E_HEADER 1: the columns are separated by semicolons, not by commas: save the file with commas as the separator"], &[]),
    ("03c-semicolon-caps.csv", &["E_HEADER 1: the columns are separated by semicolons, not by commas: save the file with commas as the separator"], &[]),
    ("04-backslash-quotes.csv", &["E_QUOTE 2: column 3: a backslash stands before a quote: write two quotes (\"\") for one within a quoted field, without a backslash"], &[]),
    ("04b-backslash-comma.csv", &["E_FIELDS 3: the row has 4 fields, the header 3: a backslash stands before a comma; put the field in quotes, without a backslash"], &[]),
    ("05-crcrlf.csv", &["E_QUOTE 1: column 4: the line ends with two carriage returns and a line feed: the program that wrote the file doubled its line ends; save it with LF or CR LF (in Python, open it with newline=\"\")"], &[]),
    ("06-zwsp-header.csv", &[], &["N_MARKS 1 [1]"]),
    ("07-space-line.csv", &[], &["N_BLANK_LINES 1 [5]"]),
    ("07b-space-last-noeol.csv", &[], &["N_BLANK_LINES 1 [5]"]),
    ("08-trailing-comma-rows.csv", &["E_FIELDS 2: the row has 4 fields, the header 3: the last field is empty; remove the comma at the end of the row", "E_FIELDS 3: the row has 4 fields, the header 3: the last field is empty; remove the comma at the end of the row"], &[]),
    ("08e-trailing-blank-after-quote.csv", &["E_QUOTE 1: column 3: a space stands after a closing quote: remove it"], &[]),
    ("09c-one-latin1-byte.csv", &["E_ENCODING 501: column 3: bytes that are not UTF-8, as Latin-1 and Windows-1252 have them: save the file as CSV UTF-8"], &[]),
    ("10-image-urls.csv", &["E_CONTENT 10: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 11: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 12: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 13: `content` is not the URL of an image: exactly two slashes have to follow http: or https:", "E_CONTENT 14: `content` is not the URL of an image: exactly two slashes have to follow http: or https:", "E_CONTENT 15: `content` is not the URL of an image: exactly two slashes have to follow http: or https:", "E_CONTENT 16: `content` is not the URL of an image: exactly two slashes have to follow http: or https:", "E_CONTENT 18: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 19: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 20: `content` is not the URL of an image: it has a user name or a password in it", "E_CONTENT 22: `content` is not the URL of an image: it has spaces or newlines in it", "E_CONTENT 26: `content` is not the URL of an image: it is 8227 bytes long; at most 8192 are allowed", "E_CONTENT 27: `content` is not the URL of an image: its host is a name within a private network", "E_CONTENT 28: `content` is not the URL of an image: its host is a private, loopback or link-local address", "E_CONTENT 29: `content` is not the URL of an image: its host is a private, loopback or link-local address", "E_CONTENT 30: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 31: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 32: `content` is not the URL of an image: it has spaces or newlines in it", "E_CONTENT 33: `content` is not the URL of an image: its port is not a number up to 65535", "E_CONTENT 34: `content` is not the URL of an image: it names no host", "E_CONTENT 35: `content` is not the URL of an image: it names no host", "E_CONTENT 36: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 37: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 39: `content` is not the URL of an image: it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded", "E_CONTENT 41: `content` is not the URL of an image: it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded", "E_CONTENT 42: `content` is not the URL of an image: its host is not a valid international name", "E_CONTENT 44: `content` is not the URL of an image: its host has two dots in a row, or begins or ends with one", "E_CONTENT 46: `content` is not the URL of an image: it begins with neither http:// nor https://", "E_CONTENT 47: `content` is not the URL of an image: its host looks like an IPv4 address and is none", "E_CONTENT 48: `content` is not the URL of an image: its host is a number and not a name, or an address that is not written as four numbers"], &[]),
    ("11-ids.csv", &["E_REF_ID 6: the `ref_id` stands on line 5 already; the first row with it is kept", "E_REF_ID 13: the `ref_id` stands on line 12 already; the first row with it is kept", "E_REF_ID 14: the `ref_id` stands on line 12 already; the first row with it is kept", "E_REF_ID 15: the `ref_id` stands on line 12 already; the first row with it is kept", "E_REF_ID 16: the `ref_id` stands on line 12 already; the first row with it is kept", "E_REF_ID 34: `ref_id` is empty", "E_REF_ID 35: `ref_id` is empty"], &["N_MARKS 2 [12, 35]", "N_INVISIBLE_IDS 1 [26]"]),
    ("13-openai-batch.csv", &["E_HEADER 1: the file is JSON Lines, not CSV: export its rows as CSV UTF-8"], &[]),
    ("13c-html-error.csv", &["E_HEADER 1: the file is an HTML page, not CSV: was a page to sign in, or an error, saved in its place? Fetch the file again"], &[]),
    ("13e-lfs-pointer.csv", &["E_HEADER 1: the file is a Git LFS pointer, not CSV: fetch the file that it points to with git lfs pull, and drop that"], &[]),
    ("16-blank-after-comma.csv", &[], &["N_SPACES_SKIPPED 3 [1, 2, 3]"]),
    ("16b-blank-only-rows.csv", &["E_QUOTE 2: column 3: a space stands before a quote: remove it, or write one after every comma of the header, too"], &[]),
    ("17c-communitynotes.csv", &["E_FIELDS 3: the row has 1 field, the header 3: if it continues the text of the line above, put that text in quotes"], &[]),
    ("22-header-dup-rows.csv", &[], &["N_HEADER_AGAIN 1 [4]"]),
    ("25-all-text-caps.csv", &["E_TYPE 2: `type` is neither `text` nor `image_url`", "E_TYPE 3: `type` is neither `text` nor `image_url`", "E_TYPE 4: `type` is neither `text` nor `image_url`", "E_TYPE 5: `type` is neither `text` nor `image_url`", "E_TYPE 6: `type` is neither `text` nor `image_url`"], &[]),
    ("25c-many-field-faults.csv", &["E_FIELDS 5: the row has 4 fields, the header 3: put a field that has commas in quotes", "E_FIELDS 52: the row has 4 fields, the header 3: put a field that has commas in quotes", "E_FIELDS 99: the row has 4 fields, the header 3: put a field that has commas in quotes"], &[]),
    ("25f-tab-after-comma-header.csv", &[], &["N_SPACES_KEPT 1 [1]"]),
    ("25g-blank-one-header.csv", &[], &["N_SPACES_KEPT 1 [1]"]),
    ("26-stray-quote-far.csv", &["E_QUOTE 51: column 3: a quote is opened here, and the next quote is on line 81, where text follows it: close the quote where its field ends, and write two quotes (\"\") for one within a quoted field"], &[]),
    ("26b-stray-quote-merge.csv", &[], &["N_ROWS_IN_FIELD 1 [6, 9]"]),
    ("26d-bom-crlf-excel.csv", &[], &[]),
];

#[test]
fn the_files_of_public_reports_come_to_what_their_owners_want() {
    for (name, errors, notices) in CASES {
        let file = std::fs::read(folder().join(name)).unwrap();
        let outcome = outcome(Rules::Two, &file);
        assert_eq!(outcome.errors, *errors, "{name}");
        assert_eq!(outcome.notices, *notices, "{name}");
        let results = std::fs::read_to_string(folder().join("results").join(name));
        assert_eq!(outcome.results, results.unwrap_or_default(), "{name}");
    }
}

#[test]
fn every_file_of_the_folder_is_in_the_table() {
    let listed = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let is_case = |path: &PathBuf| path.extension().is_some_and(|e| e == "csv");
    let mut names: Vec<_> = listed
        .filter(is_case)
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, CASES.map(|(name, ..)| name));
}
