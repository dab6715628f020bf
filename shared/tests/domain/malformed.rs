//! Malformed and odd files, and what becomes of each: refused with a code and a line, taken but for some rows, or taken.
//! The bytes are pushed whole, one by one and by sevens, and it makes no difference.

use crate::support;
use Expect::{Refused, Rejects, Takes};
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::Code;

enum Expect {
    /// The file is refused: the code, the line, and a word of the message.
    Refused(Code, u64, &'static str),
    /// The file is taken: so many rows, and of them these rejected: code, line, `ref_id`, a word of the message.
    Rejects(u64, &'static [Rejected]),
    /// The file is taken with all its rows.
    Takes(u64),
}

type Case = (&'static str, &'static [u8], Expect);

/// Runs each case in three ways. What is `secret` in a file must be in no message.
fn run(cases: &[Case]) {
    for (name, bytes, expect) in cases {
        for chunk in [bytes.len(), 1, 7] {
            let outcome = support::check(bytes, chunk, PartLimits::default());
            match (expect, outcome) {
                (Refused(code, line, word), Err(error)) => {
                    assert_eq!((error.code, error.line), (*code, *line), "{name}, by {chunk}: {error}");
                    assert!(error.message.contains(word), "{name}: {error}");
                    assert!(!error.to_string().contains("secret"), "{name}: {error}");
                    assert!(error.offset as usize <= bytes.len(), "{name}: {error:?}");
                }
                (Rejects(rows, rejected), Ok(taken)) => same_rows(name, bytes, &taken, (*rows, rejected)),
                (Takes(rows), Ok(taken)) => same_rows(name, bytes, &taken, (*rows, &[])),
                (_, outcome) => panic!("{name}, by {chunk}: {outcome:?}"),
            }
        }
    }
}

/// A rejected row: code, line, `ref_id`, a word of the message.
type Rejected = (Code, u64, &'static str, &'static str);

fn same_rows(name: &str, bytes: &[u8], taken: &support::Taken, (rows, expected): (u64, &[Rejected])) {
    let rejected = taken.rejected();
    let seen: Vec<_> = rejected.iter().map(|r| (support::code_of(&r.code), r.line, r.ref_id.as_str())).collect();
    let wanted: Vec<_> = expected.iter().map(|(code, line, ref_id, _)| (*code, *line, *ref_id)).collect();
    assert_eq!(seen, wanted, "{name}");
    assert_eq!((taken.checked.rows, taken.checked.rejected), (rows, expected.len() as u64), "{name}");
    for (row, (.., word)) in rejected.iter().zip(expected) {
        assert!(row.message.contains(word) && !row.message.contains("secret"), "{name}: {}", row.message);
        let above = bytes[..row.offset].iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!(above + 1, row.line, "{name}: the byte offset is that of the row's line");
    }
}

#[test]
fn files_without_rows_are_refused() {
    run(&[
        ("nothing", b"", Refused(Code::Empty, 1, "needs a header")),
        ("a mark alone", b"\xef\xbb\xbf", Refused(Code::Empty, 1, "needs a header")),
        ("newlines alone", b"\n\r\n\n", Refused(Code::Empty, 1, "needs a header")),
        ("a header alone", b"ref_id,type,content", Refused(Code::Empty, 1, "no rows")),
        ("a header and blank lines", b"ref_id,type,content\n\n\r\n", Refused(Code::Empty, 1, "no rows")),
    ]);
}

#[test]
fn files_in_other_forms_than_utf_8_text_are_refused_by_name() {
    run(&[
        ("UTF-16, low byte first", b"\xff\xfer\0e\0f\0_\0i\0d\0,\0", Refused(Code::Encoding, 1, "UTF-16")),
        ("UTF-16, high byte first", b"\xfe\xff\0r\0e\0f\0_\0i\0d\0,", Refused(Code::Encoding, 1, "UTF-16")),
        ("no more than UTF-16's mark", b"\xff\xfe", Refused(Code::Encoding, 1, "UTF-16")),
        ("UTF-16 without a mark", b"r\0e\0f\0_\0i\0d\0\r\0\n\0", Refused(Code::Encoding, 1, "UTF-16")),
        ("UTF-16 without a mark, quoted", b"\0\"\0r\0e\0f\0_\0i\0d\0\"", Refused(Code::Encoding, 1, "UTF-16")),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x2a", Refused(Code::Encoding, 1, "gzip")),
        ("zip", b"PK\x03\x04\x14\0\0\0\x08\0", Refused(Code::Encoding, 1, "zip")),
        ("an old spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", Refused(Code::Encoding, 1, "spreadsheet")),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x58\x51\0", Refused(Code::Encoding, 1, "zstd")),
        ("Parquet", b"PAR1\x15\x04\x15\x10", Refused(Code::Encoding, 1, "Parquet")),
        ("NUL in a content", b"ref_id,type,content\n1,text,a\n2,text,secret\0\n", Refused(Code::Encoding, 3, "column 3")),
        (
            "NUL in a quoted content's third line",
            b"ref_id,type,content\n1,text,\"a\nb\n\0\"\n",
            Refused(Code::Encoding, 4, "NUL"),
        ),
        (
            "Latin-1",
            b"ref_id,type,content\n1,text,secret caf\xe9\n",
            Refused(Code::Encoding, 2, "column 3: bytes that are not UTF-8"),
        ),
        ("a surrogate", b"ref_id,type,content\n\xed\xa0\x80,text,a\n", Refused(Code::Encoding, 2, "column 1")),
        ("a character cut off", b"ref_id,type,content\n1,text,a\xe2\x82", Refused(Code::Encoding, 2, "column 3")),
        ("a header in Latin-1", b"ref_id,type,content,\xe9\n1,text,a,b\n", Refused(Code::Encoding, 1, "column 4")),
    ]);
}

#[test]
fn headers_that_cannot_be_read_are_refused() {
    run(&[
        ("semicolons", b"ref_id;type;content\n1;text;a\n", Refused(Code::Header, 1, "semicolons")),
        ("semicolons and quotes", b"\"ref_id\";\"type\";\"content\"\n", Refused(Code::Quote, 1, "closing quote")),
        ("tabs", b"ref_id\ttype\tcontent\n1\ttext\ta\n", Refused(Code::Header, 1, "tabs")),
        ("vertical bars", b"ref_id|type|content\n1|text|a\n", Refused(Code::Header, 1, "vertical bars")),
        ("a missing column", b"ref_id,content\n1,a\n", Refused(Code::Header, 1, "`type` is missing")),
        ("no header at all", b"1,text,secret\n2,text,b\n", Refused(Code::Header, 1, "`ref_id` is missing")),
        ("a header of blanks", b"  \n1,text,a\n", Refused(Code::Header, 1, "`ref_id` is missing")),
        ("other letters", b"ref_id,Type,content\n1,text,a\n", Refused(Code::Header, 1, "lower-case")),
        ("a doubled column", b"ref_id,type,content,type\n1,text,a,text\n", Refused(Code::Header, 1, "columns 2 and 4")),
        ("a doubled extra column", b"ref_id,type,content,x,x\n1,text,a,b,c\n", Refused(Code::Header, 1, "columns 4 and 5")),
        ("doubled but for blanks", b"ref_id,type,content, type\n1,text,a,b\n", Refused(Code::Header, 1, "stands twice")),
        ("a column `labels`", b"ref_id,type,content,labels\n1,text,a,b\n", Refused(Code::Header, 1, "`labels`")),
        ("a column `error`", b"error,ref_id,type,content\nb,1,text,a\n", Refused(Code::Header, 1, "`error`")),
        ("a bad header under blank lines", b"\n\r\nref_id,content\n1,a\n", Refused(Code::Header, 3, "`type`")),
    ]);
}

#[test]
fn quotes_and_returns_out_of_place_are_refused_where_they_stand() {
    run(&[
        ("an open quote", b"ref_id,type,content\n1,text,\"secret\n2,text,b\n3,text,c\n", Refused(Code::Quote, 2, "cut short")),
        ("opened on a row's second line", b"ref_id,type,content\n\"1\n\",text,\"a\nb", Refused(Code::Quote, 3, "column 3")),
        ("open at the very end", b"ref_id,type,content\n1,text,\"", Refused(Code::Quote, 2, "never closed")),
        ("cut within a doubled quote", b"ref_id,type,content\n1,text,\"a\"\"", Refused(Code::Quote, 2, "never closed")),
        ("an open quote in the header", b"ref_id,type,\"content\n1,text,a\n", Refused(Code::Quote, 1, "column 3")),
        (
            "text after a quote",
            b"ref_id,type,content\n1,text,\"a\"secret\n",
            Refused(Code::Quote, 2, "follows a closing quote"),
        ),
        ("a blank after a quote", b"ref_id,type,content\n1,\"text\" ,a\n", Refused(Code::Quote, 2, "column 2")),
        ("text after a quote on a third line", b"ref_id,type,content\n1,text,\"a\nb\"c\n", Refused(Code::Quote, 3, "column 3")),
        ("a quote in a plain field", b"ref_id,type,content\n1,text,ab\"secret\n", Refused(Code::Quote, 2, "inside a field")),
        ("a quote behind a blank", b"ref_id,type,content\n1,text, \"a\"\n", Refused(Code::Quote, 2, "inside a field")),
        ("a bare return in the middle", b"ref_id,type,content\n1,text,a\rb\n", Refused(Code::Quote, 2, "carriage return")),
        ("a bare return behind a quote", b"ref_id,type,content\n1,text,\"a\"\rb\n", Refused(Code::Quote, 2, "carriage return")),
        (
            "a bare return at a line's start",
            b"ref_id,type,content\n1,text,a\n\r2,text,b\n",
            Refused(Code::Quote, 3, "carriage return"),
        ),
        ("a bare return before CRLF", b"ref_id,type,content\r\n1,text,a\r\r\n", Refused(Code::Quote, 2, "carriage return")),
        ("a bare return at the end", b"ref_id,type,content\n1,text,a\r", Refused(Code::Quote, 2, "carriage return")),
        (
            "a bare return alone on the last line",
            b"ref_id,type,content\n1,text,a\n\r",
            Refused(Code::Quote, 3, "carriage return"),
        ),
        ("an old Mac's file", b"ref_id,type,content\r1,text,a\r", Refused(Code::Quote, 1, "carriage return")),
    ]);
}

#[test]
fn rows_of_other_lengths_than_the_header_refuse_the_file() {
    run(&[
        ("too many", b"ref_id,type,content\n1,text,a,secret\n", Refused(Code::Fields, 2, "4 fields, the header 3")),
        ("too few", b"ref_id,type,content\n1,text,a\n2,text\n", Refused(Code::Fields, 3, "2 fields, the header 3")),
        ("a comma at the end", b"ref_id,type,content\n1,text,a,\n", Refused(Code::Fields, 2, "4 fields")),
        ("a line of blanks", b"ref_id,type,content\n1,text,a\n   \n2,text,b\n", Refused(Code::Fields, 3, "1 fields")),
        (
            "behind a content of three lines",
            b"ref_id,type,content\n1,text,\"a\nb\nc\"\n2\n",
            Refused(Code::Fields, 5, "1 fields"),
        ),
        ("a row fault before does not hide it", b"ref_id,type,content\n1,txt,a\n2\n", Refused(Code::Fields, 3, "1 fields")),
        ("a last line cut short", b"ref_id,type,content\n1,text,a\n2,te", Refused(Code::Fields, 3, "2 fields")),
    ]);
}

#[test]
fn odd_files_that_are_sound_are_taken() {
    run(&[
        ("the plain case", b"ref_id,type,content\n1,text,a\n2,image_url,https://a.example/b.jpg\n", Takes(2)),
        ("less than eight bytes of rows", b"type,content,ref_id\ntext,a,1", Takes(1)),
        ("a mark", b"\xef\xbb\xbfref_id,type,content\n1,text,a\n", Takes(1)),
        ("a mark and a quoted header", b"\xef\xbb\xbf\"ref_id\",\"type\",\"content\"\n1,text,a\n", Takes(1)),
        ("CRLF", b"ref_id,type,content\r\n1,text,a\r\n2,text,b\r\n", Takes(2)),
        ("CRLF and LF", b"ref_id,type,content\r\n1,text,\"a\"\n2,text,\"b\"\r\n", Takes(2)),
        ("no last newline", b"ref_id,type,content\n1,text,a", Takes(1)),
        ("no last newline behind a quote", b"ref_id,type,content\n1,text,\"a\"", Takes(1)),
        ("no last newline and nothing in the last column", b"ref_id,type,content,x\n1,text,a,", Takes(1)),
        ("blank lines", b"\n\r\nref_id,type,content\n\n1,text,a\n\r\n\n2,text,b\n\n", Takes(2)),
        (
            "newlines, commas and quotes in quotes",
            b"ref_id,type,content\n1,text,\"a\nb\r\n\"\"c\"\", d\re\"\n2,text,b\n",
            Takes(2),
        ),
        ("a content of two quotes", b"ref_id,type,content\n1,text,\"\"\"\"\"\"\n", Takes(1)),
        ("the vendor's sample", b"ref_id, type, content\n1, text, hello\n2, image_url, https://a.example/b.jpg\n", Takes(2)),
        ("blanks before quotes", b"ref_id, type, content\n1,\ttext, \"a, \nb\"\n2, \"text\",c\n", Takes(2)),
        ("blanks around `type`", b"ref_id,type,content\n1, text ,a\n2,\timage_url,http://a.example\n", Takes(2)),
        ("blanks before commas in the header", b"ref_id ,type ,content \n1,text,a\n", Takes(1)),
        ("columns in another order", b"content,note,type,ref_id\na,b,text,1\n", Takes(1)),
        ("extra columns without names", b"ref_id,type,content,,\n1,text,a,b,c\n", Takes(1)),
        ("text beyond ASCII", "ref_id,type,content\né😀,text,\u{feff}日本\n".as_bytes(), Takes(1)),
        ("a `ref_id` with blanks", b"ref_id,type,content\n1,text,a\n 2 ,text,b\n", Takes(2)),
    ]);
}

#[test]
fn a_row_that_cannot_be_evaluated_is_rejected_by_itself() {
    run(&[
        ("an empty `ref_id`", b"ref_id,type,content\n,text,secret\n2,text,b\n", Rejects(2, &[(Code::RefId, 2, "", "empty")])),
        ("a blank `ref_id`", b"ref_id,type,content\n\" \t\",text,a\n", Rejects(1, &[(Code::RefId, 2, " \t", "empty")])),
        ("`ref_id`s that differ in blanks", b"ref_id,type,content\n1,text,a\n1 ,text,b\n", {
            Rejects(2, &[(Code::RefId, 3, "1 ", "on line 2 already")])
        }),
        ("a content of other scripts' blanks", "ref_id,type,content\n1,text,\u{3000}\u{a0}\n".as_bytes(), {
            Rejects(1, &[(Code::Content, 2, "1", "empty")])
        }),
        ("another type", b"ref_id,type,content\n1,secret,a\n", Rejects(1, &[(Code::Type, 2, "1", "neither")])),
        ("a type in capitals", b"ref_id,type,content\n1,Text,a\n", Rejects(1, &[(Code::Type, 2, "1", "neither")])),
        ("no type", b"ref_id,type,content\n1,,a\n", Rejects(1, &[(Code::Type, 2, "1", "neither")])),
        ("no content", b"ref_id,type,content\n1,text,\n2,text,\"\"\n", {
            Rejects(2, &[(Code::Content, 2, "1", "empty"), (Code::Content, 3, "2", "empty")])
        }),
        ("a blank content", b"ref_id,type,content\n1,text,\" \n\t \"\n2,text,a\n", {
            Rejects(2, &[(Code::Content, 2, "1", "nothing to evaluate")])
        }),
        ("no content under the vendor's header", b"ref_id, type, content\n1, text,  \n", {
            Rejects(1, &[(Code::Content, 2, "1", "empty")])
        }),
        ("commas alone", b"ref_id,type,content\n,,\n", Rejects(1, &[(Code::RefId, 2, "", "empty")])),
        ("on its line behind lines in quotes", b"ref_id,type,content\n1,text,\"a\nb\"\n\n\"2\n\",x,a\n", {
            Rejects(2, &[(Code::Type, 5, "2\n", "neither")])
        }),
        ("behind a mark", b"\xef\xbb\xbfref_id,type,content\n1,x,a\n", Rejects(1, &[(Code::Type, 2, "1", "neither")])),
    ]);
}

#[test]
fn an_image_whose_address_cannot_be_fetched_is_rejected() {
    run(&[
        ("no address", b"ref_id,type,content\n1,image_url,secret.jpg\n", Rejects(1, &[(Code::Content, 2, "1", "not the URL")])),
        ("another scheme", b"ref_id,type,content\n1,image_url,ftp://secret.example/a\n", {
            Rejects(1, &[(Code::Content, 2, "1", "neither http:// nor https://")])
        }),
        ("the image itself", b"ref_id,type,content\n1,image_url,\"data:image/png;base64,secret\"\n", {
            Rejects(1, &[(Code::Content, 2, "1", "neither http:// nor https://")])
        }),
        ("no host", b"ref_id,type,content\n1,image_url,https://\n", Rejects(1, &[(Code::Content, 2, "1", "host")])),
        ("a blank in it", b"ref_id,type,content\n1,image_url,https://a.example/secret 1.jpg\n", {
            Rejects(1, &[(Code::Content, 2, "1", "spaces or newlines")])
        }),
        ("a newline behind it", b"ref_id,type,content\n1,image_url,\"https://a.example/secret\n\"\n", {
            Rejects(1, &[(Code::Content, 2, "1", "spaces or newlines")])
        }),
        ("a port that is none", b"ref_id,type,content\n1,image_url,https://secret.example:99999/\n", {
            Rejects(1, &[(Code::Content, 2, "1", "port")])
        }),
    ]);
}

#[test]
fn of_rows_with_one_ref_id_the_first_sound_one_is_kept() {
    run(&[
        ("twice", b"ref_id,type,content\n7,text,a\n8,text,b\n7,text,secret\n", {
            Rejects(3, &[(Code::RefId, 4, "7", "line 2 already")])
        }),
        ("thrice, once in quotes", b"ref_id,type,content\n7,text,a\n\"7\",text,b\n7,text,c\n", {
            Rejects(3, &[(Code::RefId, 3, "7", "line 2"), (Code::RefId, 4, "7", "line 2")])
        }),
        ("the first is rejected for its type", b"ref_id,type,content\n7,x,a\n7,text,b\n7,text,c\n", {
            Rejects(3, &[(Code::Type, 2, "7", "neither"), (Code::RefId, 4, "7", "line 3 already")])
        }),
        ("the second is rejected for its content", b"ref_id,type,content\n7,text,a\n7,text,\n", {
            Rejects(2, &[(Code::Content, 3, "7", "empty")])
        }),
        ("two pairs, with a comma in one", b"ref_id,type,content\n\"a,b\",text,a\nc,text,b\nc,text,c\n\"a,b\",text,d\n", {
            Rejects(4, &[(Code::RefId, 4, "c", "line 3"), (Code::RefId, 5, "a,b", "line 2")])
        }),
        // These two have one and the same xxh3 hash.
        ("alike by hash alone", b"ref_id,type,content\nposacLa,text,a\nR1HAVng3,text,b\n", Takes(2)),
        ("alike by hash, and one doubled", b"ref_id,type,content\nposacLa,text,a\nR1HAVng3,text,b\nposacLa,text,c\n", {
            Rejects(3, &[(Code::RefId, 4, "posacLa", "line 2")])
        }),
    ]);
}
