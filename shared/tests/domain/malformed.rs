//! Malformed and odd files, and what becomes of each: refused with a code, a line and a message, or
//! taken, but for some rows. A row of a table is one file; its bytes are pushed whole, one by one
//! and by sevens, and it makes no difference. All by the first rules, which drops in flight may have
//! been checked by: they stay as they are, word for word.

use crate::support;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::Code;

const BARE_RETURN: &str = "column 3: a carriage return without a line feed, outside of quotes";
const EMPTY_FILE: &str = "the file is empty; it needs a header and rows";
const NEVER_CLOSED: &str = "column 3: a quote is opened and never closed: is the file cut short?";
const NOTHING: &str = "`content` is empty: there is nothing to evaluate";
const TYPE: &str = "`type` is neither `text` nor `image_url`";
const UTF_16: &str = "the file is UTF-16, not CSV in UTF-8";

const PIECES: [usize; 3] = [usize::MAX, 1, 7];

/// A file that is refused: its name, its bytes, and the code, the line and the message it is
/// refused with.
type Refused = (&'static str, &'static [u8], Code, u64, &'static str);

fn refused(files: &[Refused]) {
    for (name, bytes, code, line, message) in files {
        for piece in PIECES {
            let checked = support::check_by(Rules::One, bytes, piece, PartLimits::default());
            let Err(refusal) = checked else { panic!("{name}, by {piece}: it is taken") };
            let error = refusal.error;
            assert_eq!(
                (error.code, error.line, error.message.as_str()),
                (*code, *line, *message),
                "{name}, by {piece}"
            );
            says_no_secret(name, &error.to_string());
            assert!(error.offset as usize <= bytes.len(), "{name}: {error:?}");
        }
    }
}

/// A file that is taken: its name, its bytes, how many rows it has, and those of them that are
/// rejected.
type Taken = (&'static str, &'static [u8], u64, &'static [Rejected]);

/// A row that is rejected: the code, the line, its `ref_id` and the message.
type Rejected = (Code, u64, &'static str, &'static str);

fn taken(files: &[Taken]) {
    for (name, bytes, rows, rejected) in files {
        for piece in PIECES {
            let taken = support::check_by(Rules::One, bytes, piece, PartLimits::default());
            let taken = taken.unwrap_or_else(|error| panic!("{name}, by {piece}: {error:?}"));
            let list = taken.rejected();
            let seen = list.iter().map(|r| {
                (support::code_of(&r.code), r.line, r.ref_id.as_str(), r.message.as_str())
            });
            assert_eq!(seen.collect::<Vec<_>>(), *rejected, "{name}, by {piece}");
            assert_eq!(
                (taken.checked.rows, taken.checked.rejected),
                (*rows, rejected.len() as u64),
                "{name}"
            );
            for row in &list {
                says_no_secret(name, &row.message);
                let above = bytes[..row.offset].iter().filter(|b| **b == b'\n').count() as u64;
                assert_eq!(
                    above + 1,
                    row.line,
                    "{name}: the byte offset is that of the row's line"
                );
            }
        }
    }
}

/// What stands in a file as `secret` must not be told to anyone.
fn says_no_secret(name: &str, message: &str) {
    assert!(!message.contains("secret"), "{name}: {message}");
}

#[test]
#[rustfmt::skip]
fn files_without_rows_are_refused() {
    refused(&[
        ("nothing", b"", Code::Empty, 1, EMPTY_FILE),
        ("a mark alone", b"\xef\xbb\xbf", Code::Empty, 1, EMPTY_FILE),
        ("newlines alone", b"\n\r\n\n", Code::Empty, 1, EMPTY_FILE),
        ("a header alone", b"ref_id,type,content", Code::Empty, 1, "the file has a header and no rows"),
        ("a header and blank lines", b"ref_id,type,content\n\n\r\n", Code::Empty, 1, "the file has a header and no rows"),
    ]);
}

#[test]
#[rustfmt::skip]
fn files_in_other_forms_than_utf_8_text_are_refused_by_name() {
    refused(&[
        ("UTF-16, low byte first", b"\xff\xfer\0e\0f\0_\0i\0d\0,\0", Code::Encoding, 1, UTF_16),
        ("UTF-16, high byte first", b"\xfe\xff\0r\0e\0f\0_\0i\0d\0,", Code::Encoding, 1, UTF_16),
        ("no more than UTF-16's mark", b"\xff\xfe", Code::Encoding, 1, UTF_16),
        ("UTF-16 without a mark", b"r\0e\0f\0_\0i\0d\0\r\0\n\0", Code::Encoding, 1, "the file begins with a NUL byte, as UTF-16 without a byte-order mark does; it is not UTF-8"),
        ("UTF-16 without a mark, quoted", b"\0\"\0r\0e\0f\0_\0i\0d\0\"", Code::Encoding, 1, "the file begins with a NUL byte, as UTF-16 without a byte-order mark does; it is not UTF-8"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x2a", Code::Encoding, 1, "the file is a gzip archive, not CSV in UTF-8"),
        ("zip", b"PK\x03\x04\x14\0\0\0\x08\0", Code::Encoding, 1, "the file is a zip archive or a spreadsheet, not CSV in UTF-8"),
        ("an old spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", Code::Encoding, 1, "the file is an old spreadsheet (.xls), not CSV in UTF-8"),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x58\x51\0", Code::Encoding, 1, "the file is a zstd archive, not CSV in UTF-8"),
        ("Parquet", b"PAR1\x15\x04\x15\x10", Code::Encoding, 1, "the file is a Parquet file, not CSV in UTF-8"),
        ("NUL in a content", b"ref_id,type,content\n1,text,a\n2,text,secret\0\n", Code::Encoding, 3, "column 3: a NUL byte: the file is not plain text"),
        ("NUL in a quoted content's third line", b"ref_id,type,content\n1,text,\"a\nb\n\0\"\n", Code::Encoding, 4, "column 3: a NUL byte: the file is not plain text"),
        ("Latin-1", b"ref_id,type,content\n1,text,secret caf\xe9\n", Code::Encoding, 2, "column 3: bytes that are not UTF-8"),
        ("a surrogate", b"ref_id,type,content\n\xed\xa0\x80,text,a\n", Code::Encoding, 2, "column 1: bytes that are not UTF-8"),
        ("a character cut off", b"ref_id,type,content\n1,text,a\xe2\x82", Code::Encoding, 2, "column 3: bytes that are not UTF-8"),
        ("a header in Latin-1", b"ref_id,type,content,\xe9\n1,text,a,b\n", Code::Encoding, 1, "column 4: bytes that are not UTF-8"),
    ]);
}

#[test]
#[rustfmt::skip]
fn headers_that_cannot_be_read_are_refused() {
    refused(&[
        ("semicolons", b"ref_id;type;content\n1;text;a\n", Code::Header, 1, "the columns are separated by semicolons, not by commas"),
        ("semicolons and quotes", b"\"ref_id\";\"type\";\"content\"\n", Code::Quote, 1, "column 1: text follows a closing quote"),
        ("tabs", b"ref_id\ttype\tcontent\n1\ttext\ta\n", Code::Header, 1, "the columns are separated by tabs, not by commas"),
        ("vertical bars", b"ref_id|type|content\n1|text|a\n", Code::Header, 1, "the columns are separated by vertical bars, not by commas"),
        ("a missing column", b"ref_id,content\n1,a\n", Code::Header, 1, "the column `type` is missing; a file needs `ref_id`, `type` and `content`, in any order"),
        ("no header at all", b"1,text,secret\n2,text,b\n", Code::Header, 1, "the column `ref_id` is missing; a file needs `ref_id`, `type` and `content`, in any order"),
        ("a header of blanks", b"  \n1,text,a\n", Code::Header, 1, "the column `ref_id` is missing; a file needs `ref_id`, `type` and `content`, in any order"),
        ("other letters", b"ref_id,Type,content\n1,text,a\n", Code::Header, 1, "the column `type` is missing: names must be lower-case"),
        ("a duplicate column", b"ref_id,type,content,type\n1,text,a,text\n", Code::Header, 1, "the column `type` stands twice, as columns 2 and 4"),
        ("a duplicate extra column", b"ref_id,type,content,x,x\n1,text,a,b,c\n", Code::Header, 1, "columns 4 and 5 have the same name"),
        ("a duplicate but for blanks", b"ref_id,type,content, type\n1,text,a,b\n", Code::Header, 1, "the column `type` stands twice, as columns 2 and 4"),
        ("a column `labels`", b"ref_id,type,content,labels\n1,text,a,b\n", Code::Header, 1, "a column is named `labels`, which is a column of the results: rename it"),
        ("a column `error`", b"error,ref_id,type,content\nb,1,text,a\n", Code::Header, 1, "a column is named `error`, which is a column of the results: rename it"),
        ("a bad header under blank lines", b"\n\r\nref_id,content\n1,a\n", Code::Header, 3, "the column `type` is missing; a file needs `ref_id`, `type` and `content`, in any order"),
    ]);
}

#[test]
#[rustfmt::skip]
fn quotes_and_returns_out_of_place_are_refused_where_they_stand() {
    refused(&[
        ("an open quote", b"ref_id,type,content\n1,text,\"secret\n2,text,b\n3,text,c\n", Code::Quote, 2, NEVER_CLOSED),
        ("opened on a row's second line", b"ref_id,type,content\n\"1\n\",text,\"a\nb", Code::Quote, 3, NEVER_CLOSED),
        ("open at the very end", b"ref_id,type,content\n1,text,\"", Code::Quote, 2, NEVER_CLOSED),
        ("cut within a doubled quote", b"ref_id,type,content\n1,text,\"a\"\"", Code::Quote, 2, NEVER_CLOSED),
        ("an open quote in the header", b"ref_id,type,\"content\n1,text,a\n", Code::Quote, 1, NEVER_CLOSED),
        ("text after a quote", b"ref_id,type,content\n1,text,\"a\"secret\n", Code::Quote, 2, "column 3: text follows a closing quote"),
        ("a blank after a quote", b"ref_id,type,content\n1,\"text\" ,a\n", Code::Quote, 2, "column 2: text follows a closing quote"),
        ("text after a quote on a third line", b"ref_id,type,content\n1,text,\"a\nb\"c\n", Code::Quote, 3, "column 3: text follows a closing quote"),
        ("a quote in a plain field", b"ref_id,type,content\n1,text,ab\"secret\n", Code::Quote, 2, "column 3: a quote stands inside a field that does not begin with one"),
        ("a quote behind a blank", b"ref_id,type,content\n1,text, \"a\"\n", Code::Quote, 2, "column 3: a quote stands inside a field that does not begin with one"),
        ("a bare return in the middle", b"ref_id,type,content\n1,text,a\rb\n", Code::Quote, 2, BARE_RETURN),
        ("a bare return behind a quote", b"ref_id,type,content\n1,text,\"a\"\rb\n", Code::Quote, 2, BARE_RETURN),
        ("a bare return at a line's start", b"ref_id,type,content\n1,text,a\n\r2,text,b\n", Code::Quote, 3, "column 1: a carriage return without a line feed, outside of quotes"),
        ("a bare return before CRLF", b"ref_id,type,content\r\n1,text,a\r\r\n", Code::Quote, 2, BARE_RETURN),
        ("a bare return at the end", b"ref_id,type,content\n1,text,a\r", Code::Quote, 2, BARE_RETURN),
        ("a bare return alone on the last line", b"ref_id,type,content\n1,text,a\n\r", Code::Quote, 3, "column 1: a carriage return without a line feed, outside of quotes"),
        ("an old Mac's file", b"ref_id,type,content\r1,text,a\r", Code::Quote, 1, BARE_RETURN),
    ]);
}

#[test]
#[rustfmt::skip]
fn rows_of_other_lengths_than_the_header_refuse_the_file() {
    refused(&[
        ("too many", b"ref_id,type,content\n1,text,a,secret\n", Code::Fields, 2, "the row has 4 fields, the header 3"),
        ("too few", b"ref_id,type,content\n1,text,a\n2,text\n", Code::Fields, 3, "the row has 2 fields, the header 3"),
        ("a comma at the end", b"ref_id,type,content\n1,text,a,\n", Code::Fields, 2, "the row has 4 fields, the header 3"),
        ("a line of blanks", b"ref_id,type,content\n1,text,a\n   \n2,text,b\n", Code::Fields, 3, "the row has 1 fields, the header 3"),
        ("behind a content of three lines", b"ref_id,type,content\n1,text,\"a\nb\nc\"\n2\n", Code::Fields, 5, "the row has 1 fields, the header 3"),
        ("a row fault before does not hide it", b"ref_id,type,content\n1,txt,a\n2\n", Code::Fields, 3, "the row has 1 fields, the header 3"),
        ("a last line cut short", b"ref_id,type,content\n1,text,a\n2,te", Code::Fields, 3, "the row has 2 fields, the header 3"),
    ]);
}

#[test]
#[rustfmt::skip]
fn odd_files_that_are_sound_are_taken() {
    taken(&[
        ("the plain case", b"ref_id,type,content\n1,text,a\n2,image_url,https://a.example/b.jpg\n", 2, &[]),
        ("less than eight bytes of rows", b"type,content,ref_id\ntext,a,1", 1, &[]),
        ("a mark", b"\xef\xbb\xbfref_id,type,content\n1,text,a\n", 1, &[]),
        ("a mark and a quoted header", b"\xef\xbb\xbf\"ref_id\",\"type\",\"content\"\n1,text,a\n", 1, &[]),
        ("CRLF", b"ref_id,type,content\r\n1,text,a\r\n2,text,b\r\n", 2, &[]),
        ("CRLF and LF", b"ref_id,type,content\r\n1,text,\"a\"\n2,text,\"b\"\r\n", 2, &[]),
        ("no last newline", b"ref_id,type,content\n1,text,a", 1, &[]),
        ("no last newline behind a quote", b"ref_id,type,content\n1,text,\"a\"", 1, &[]),
        ("no last newline and nothing in the last column", b"ref_id,type,content,x\n1,text,a,", 1, &[]),
        ("blank lines", b"\n\r\nref_id,type,content\n\n1,text,a\n\r\n\n2,text,b\n\n", 2, &[]),
        ("newlines, commas and quotes in quotes", b"ref_id,type,content\n1,text,\"a\nb\r\n\"\"c\"\", d\re\"\n2,text,b\n", 2, &[]),
        ("a content of two quotes", b"ref_id,type,content\n1,text,\"\"\"\"\"\"\n", 1, &[]),
        ("the vendor's sample", b"ref_id, type, content\n1, text, hello\n2, image_url, https://a.example/b.jpg\n", 2, &[]),
        ("blanks before quotes", b"ref_id, type, content\n1,\ttext, \"a, \nb\"\n2, \"text\",c\n", 2, &[]),
        ("blanks around `type`", b"ref_id,type,content\n1, text ,a\n2,\timage_url,http://a.example\n", 2, &[]),
        ("blanks before commas in the header", b"ref_id ,type ,content \n1,text,a\n", 1, &[]),
        ("columns in another order", b"content,note,type,ref_id\na,b,text,1\n", 1, &[]),
        ("extra columns without names", b"ref_id,type,content,,\n1,text,a,b,c\n", 1, &[]),
        ("text beyond ASCII", "ref_id,type,content\né😀,text,\u{feff}日本\n".as_bytes(), 1, &[]),
        ("a `ref_id` with blanks", b"ref_id,type,content\n1,text,a\n 2 ,text,b\n", 2, &[]),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_row_that_cannot_be_evaluated_is_rejected_by_itself() {
    taken(&[
        ("an empty `ref_id`", b"ref_id,type,content\n,text,secret\n2,text,b\n", 2, &[(Code::RefId, 2, "", "`ref_id` is empty")]),
        ("a blank `ref_id`", b"ref_id,type,content\n\" \t\",text,a\n", 1, &[(Code::RefId, 2, " \t", "`ref_id` is empty")]),
        ("`ref_id`s that differ in blanks", b"ref_id,type,content\n1,text,a\n1 ,text,b\n", 2, &[(Code::RefId, 3, "1 ", "the `ref_id` stands on line 2 already; the first row with it is kept")]),
        ("a content of other scripts' blanks", "ref_id,type,content\n1,text,\u{3000}\u{a0}\n".as_bytes(), 1, &[(Code::Content, 2, "1", NOTHING)]),
        ("another type", b"ref_id,type,content\n1,secret,a\n", 1, &[(Code::Type, 2, "1", TYPE)]),
        ("a type in capitals", b"ref_id,type,content\n1,Text,a\n", 1, &[(Code::Type, 2, "1", TYPE)]),
        ("no type", b"ref_id,type,content\n1,,a\n", 1, &[(Code::Type, 2, "1", TYPE)]),
        ("no content", b"ref_id,type,content\n1,text,\n2,text,\"\"\n", 2, &[(Code::Content, 2, "1", NOTHING), (Code::Content, 3, "2", NOTHING)]),
        ("a blank content", b"ref_id,type,content\n1,text,\" \n\t \"\n2,text,a\n", 2, &[(Code::Content, 2, "1", NOTHING)]),
        ("no content under the vendor's header", b"ref_id, type, content\n1, text,  \n", 1, &[(Code::Content, 2, "1", NOTHING)]),
        ("commas alone", b"ref_id,type,content\n,,\n", 1, &[(Code::RefId, 2, "", "`ref_id` is empty")]),
        ("on its line behind lines in quotes", b"ref_id,type,content\n1,text,\"a\nb\"\n\n\"2\n\",x,a\n", 2, &[(Code::Type, 5, "2\n", TYPE)]),
        ("behind a mark", b"\xef\xbb\xbfref_id,type,content\n1,x,a\n", 1, &[(Code::Type, 2, "1", TYPE)]),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_image_whose_address_cannot_be_fetched_is_rejected() {
    taken(&[
        ("no address", b"ref_id,type,content\n1,image_url,secret.jpg\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: relative URL without a base")]),
        ("another scheme", b"ref_id,type,content\n1,image_url,ftp://secret.example/a\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: it begins with neither http:// nor https://")]),
        ("the image itself", b"ref_id,type,content\n1,image_url,\"data:image/png;base64,secret\"\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: it begins with neither http:// nor https://")]),
        ("no host", b"ref_id,type,content\n1,image_url,https://\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: empty host")]),
        ("a blank in it", b"ref_id,type,content\n1,image_url,https://a.example/secret 1.jpg\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: it has spaces or newlines in it")]),
        ("a newline behind it", b"ref_id,type,content\n1,image_url,\"https://a.example/secret\n\"\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: it has spaces or newlines in it")]),
        ("a port that is none", b"ref_id,type,content\n1,image_url,https://secret.example:99999/\n", 1, &[(Code::Content, 2, "1", "`content` is not the URL of an image: invalid port number")]),
    ]);
}

#[test]
#[rustfmt::skip]
fn of_rows_with_one_ref_id_the_first_sound_one_is_kept() {
    taken(&[
        ("twice", b"ref_id,type,content\n7,text,a\n8,text,b\n7,text,secret\n", 3, &[(Code::RefId, 4, "7", "the `ref_id` stands on line 2 already; the first row with it is kept")]),
        ("thrice, once in quotes", b"ref_id,type,content\n7,text,a\n\"7\",text,b\n7,text,c\n", 3, &[(Code::RefId, 3, "7", "the `ref_id` stands on line 2 already; the first row with it is kept"), (Code::RefId, 4, "7", "the `ref_id` stands on line 2 already; the first row with it is kept")]),
        ("the first is rejected for its type", b"ref_id,type,content\n7,x,a\n7,text,b\n7,text,c\n", 3, &[(Code::Type, 2, "7", TYPE), (Code::RefId, 4, "7", "the `ref_id` stands on line 3 already; the first row with it is kept")]),
        ("the second is rejected for its content", b"ref_id,type,content\n7,text,a\n7,text,\n", 2, &[(Code::Content, 3, "7", NOTHING)]),
        ("two pairs, with a comma in one", b"ref_id,type,content\n\"a,b\",text,a\nc,text,b\nc,text,c\n\"a,b\",text,d\n", 4, &[(Code::RefId, 4, "c", "the `ref_id` stands on line 3 already; the first row with it is kept"), (Code::RefId, 5, "a,b", "the `ref_id` stands on line 2 already; the first row with it is kept")]),
        // These two have one and the same xxh3 hash.
        ("alike by hash alone", b"ref_id,type,content\nposacLa,text,a\nR1HAVng3,text,b\n", 2, &[]),
        ("alike by hash, and one duplicate", b"ref_id,type,content\nposacLa,text,a\nR1HAVng3,text,b\nposacLa,text,c\n", 3, &[(Code::RefId, 4, "posacLa", "the `ref_id` stands on line 2 already; the first row with it is kept")]),
    ]);
}
