//! The form of a results file: its columns, its records, and how it ends.

use crate::support::results::{HOLD, ROWS, held, joined, may_be_cut, read, rows, try_read};
use moondrop_shared::problem::Code;
use moondrop_shared::results::{Form, ResultsTooLarge};
use sha2::Digest;

const SPAM: &str = r#"[{"name":"spam","score":0.5}]"#;

/// `message` is what is said of a file that is held as unreadable.
#[track_caller]
fn unreadable(file: impl AsRef<[u8]>, line: u64, message: &str) {
    let problem = held(HOLD, file);
    assert_eq!(
        (problem.code, problem.line, problem.message.as_str()),
        (Code::ResultsUnreadable, Some(line), message)
    );
    assert_eq!(problem.setting, "RESULTS_UNREADABLE=rows");
}

#[test]
fn columns_are_found_by_name_in_any_order_and_spelling_and_behind_a_mark() {
    let labels = "\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\"";
    for (header, row) in [
        ("ref_id,type,labels,content,error", format!("1,text,{labels},a,")),
        ("error,content,labels,ref_id", format!(",a,{labels},1")),
        ("\u{feff}Ref_ID,Labels,Error", format!("1,{labels},")),
        ("\u{feff}\"ref_id\",\"labels\",\"error\"", format!("\" 1 \",{labels},\"\"")),
        ("refId,LABELS,errorMessage,new", format!("1,{labels},,x")),
        ("ref id , labels , error_message", format!("1 ,{labels}, ")),
        ("ref_id, type, labels, content, error", format!("1, text, {labels}, a, ")),
        ("errors,REF ID,_labels_", format!(",1,{labels}")),
    ] {
        for newline in ["\n", "\r\n"] {
            let file = format!("{header}{newline}{row}{newline}");
            assert_eq!(read(HOLD, &file).form, Form::Whole, "{file}");
            let (joined, tally) = joined(HOLD, &file, 1);
            assert_eq!(joined, [format!("{SPAM}|")], "{file}");
            assert_eq!(
                (tally.rows.evaluated, tally.labels["spam"].rows, tally.unreadable_labels),
                (1, 1, 0),
                "{file}"
            );
        }
    }
}

#[test]
fn an_error_is_seen_under_each_name_its_column_may_have() {
    for name in ["error", "Error", "errors", "error_message", "errorMessage", "ERROR MESSAGE"] {
        let (rows, tally) =
            joined(HOLD, format!("ref_id,labels,{name}\n1,,\"too long, sorry\"\n"), 1);
        assert_eq!((rows, tally.rows.failed), (vec!["|too long, sorry".to_owned()], 1), "{name}");
    }
}

#[test]
fn of_several_error_columns_any_that_is_not_empty_is_the_error() {
    let (rows, tally) =
        joined(HOLD, "error,ref_id,labels,errors\n,1,[],no image\nlate,2,[], \n,3,[],\n", 3);
    assert_eq!(rows, ["[]|no image", "[]|late", "[]|"]);
    assert_eq!((tally.rows.failed, tally.rows.evaluated), (2, 1));
}

#[test]
fn spaces_after_commas_are_read_as_in_a_users_file() {
    let file = "ref_id, type, labels, content, error\n1, text, \"[]\", \"a, b\", \"no, sorry\"\n2, text, [], b, \n";
    assert_eq!(joined(HOLD, file, 2).0, ["[]|no, sorry", "[]|"]);
    unreadable(
        "ref_id,labels,error\n1,[], \"no\"\n",
        2,
        "the results are no well-formed CSV: line 2: column 3: a quote stands inside a field that does not begin with one",
    );
}

#[test]
fn a_page_or_a_file_without_a_required_column_is_unreadable() {
    for (file, message) in [
        ("<!DOCTYPE html>\n<html>secret</html>\n", "the header has no column `ref_id`"),
        ("ref_id,type,content\n1,text,a\n", "the header has no column `labels`"),
        (
            "ref_id,labels\n1,[]\n",
            "the header has no error column (`error`, `errors` or `error_message`)",
        ),
        ("ref_id;labels;error\n1;[];\n", "the header has no column `ref_id`"),
        (
            "ref_id,labels,error,RefId\n1,[],,1\n",
            "the header has the column `ref_id` twice, as columns 1 and 4",
        ),
        (
            "Labels,ref_id,error,la_bels\n[],1,,\n",
            "the header has the column `labels` twice, as columns 1 and 4",
        ),
    ] {
        unreadable(file, 1, &format!("these are no results: {message}"));
    }
    unreadable("\n\r\nref_id,type\n", 3, "these are no results: the header has no column `labels`");
}

#[test]
fn a_record_that_is_not_well_formed_makes_the_file_unreadable() {
    const START: &str = "ref_id,type,labels,content,error\n1,text,[],a,\n";
    for (record, line, message) in [
        // An unclosed quote that another row's quote closes: the `csv` crate reads a failed row as
        // clean.
        (
            "2,image_url,,\"x,secret\n3,text,[],\"y\",\n",
            4,
            "line 4: column 4: text follows a closing quote",
        ),
        (
            "2,text,\"[],x,\n3,text,\"[{}]\",y,\n",
            4,
            "line 4: column 3: text follows a closing quote",
        ),
        (
            "2,text,[],se\"cret,\n",
            3,
            "line 3: column 4: a quote stands inside a field that does not begin with one",
        ),
        ("2,text,[],\"secret\"x,\n", 3, "line 3: column 4: text follows a closing quote"),
        (
            "2,text,[],a\rb,\n",
            3,
            "line 3: column 4: a carriage return without a line feed, outside of quotes",
        ),
        (
            "2,text,[],secret, sorry,\n3,text,[],b,\n",
            3,
            "line 3: the row has 6 fields, the header 5",
        ),
        ("2\n3,text,[],b,\n", 3, "line 3: the row has 1 fields, the header 5"),
        ("2,text,[],a,,\n3,text,[],b,,\n", 3, "line 3: the row has 6 fields, the header 5"),
        ("2\n3,text,\"[]", 3, "line 3: the row has 1 fields, the header 5"),
        ("2,text,[],a\0b,\n", 3, "line 3: column 4: a NUL byte: the file is not plain text"),
    ] {
        unreadable(
            format!("{START}{record}"),
            line,
            &format!("the results are no well-formed CSV: {message}"),
        );
    }
    let message = "the results are no well-formed CSV: line 3: column 5: bytes that are not UTF-8";
    unreadable([START.as_bytes(), b"2,text,,a,caf\xe9\n"].concat(), 3, message);
    unreadable(
        b"ref_id,labels,error,caf\xe9\n1,[],,\n",
        1,
        "the results are no well-formed CSV: line 1: column 4: bytes that are not UTF-8",
    );
}

#[test]
fn a_file_that_ends_before_its_end_may_be_a_cut_and_twice_the_same_is_unreadable() {
    let start = "ref_id,type,labels,content,error\n1,text,[],a,\n";
    let quote = "column 4: a quote is opened and never closed: is the file cut short?";
    for (file, line, message) in [
        (String::new(), None, "the results have no header line: 0 bytes came".to_owned()),
        ("\u{feff}".to_owned(), None, "the results have no header line: 3 bytes came".to_owned()),
        ("\n\n".to_owned(), None, "the results have no header line: 2 bytes came".to_owned()),
        ("ref".to_owned(), Some(1), "the results end within their header line".to_owned()),
        ("ref_id,labels,error".to_owned(), Some(1), "the results end within their header line".to_owned()),
        ("{\"code\":5}".to_owned(), Some(1), String::new()),
        (format!("{start}2,text,[],\"b\n"), Some(3), format!("the results are no well-formed CSV: line 3: {quote}")),
        (
            format!("{start}2,te"),
            Some(3),
            "the results are no well-formed CSV: line 3: the row has 2 fields, the header 5".into(),
        ),
        (
            format!("{start}2\n"),
            Some(3),
            "the results are no well-formed CSV: line 3: the row has 1 fields, the header 5".into(),
        ),
        (
            format!("{start}2\n\n\r\n"),
            Some(3),
            "the results are no well-formed CSV: line 3: the row has 1 fields, the header 5".into(),
        ),
        (
            format!("{start}2,text,[],b,\r"),
            Some(3),
            "the results are no well-formed CSV: line 3: column 5: a carriage return without a line feed, outside of quotes"
                .into(),
        ),
    ] {
        if message.is_empty() {
            // A quote in a header is unreadable wherever the file ends.
            assert_eq!(held(HOLD, &file).line, line);
            continue;
        }
        let problem = may_be_cut(HOLD, &file);
        assert_eq!((problem.code, problem.line, &problem.message), (Code::ResultsUnreadable, line, &message));
        let Form::Held(twice) = read(HOLD, &file).confirmed().clone() else { panic!("{file}") };
        assert_eq!(twice.message, format!("{message}; a second fetch brought the same bytes"));
        assert_eq!((twice.code, twice.line, twice.setting), (problem.code, line, "RESULTS_UNREADABLE=rows"));
    }
    let cut = [start.as_bytes(), b"2,text,[],b,caf\xc3"].concat();
    assert_eq!(
        may_be_cut(HOLD, cut).message,
        "the results are no well-formed CSV: line 3: column 5: bytes that are not UTF-8"
    );
}

#[test]
fn a_last_record_that_lacks_its_line_end_only_is_told_apart() {
    // With a label it is evaluated, whatever may be lost behind it; or the error stands before the
    // labels.
    for whole in ["error,ref_id,labels\n,1,[]", "ref_id,labels,error\n1,\"{\"\"spam\"\":1}\","] {
        assert!(matches!(read(HOLD, whole).form, Form::NoLineEnd(_)), "{whole}");
    }
    for cut in
        ["ref_id,labels,error\n1,[],", "ref_id,labels,error\n1,{},", "ref_id,labels,error\n1,[], "]
    {
        let read = read(HOLD, cut);
        let message = "the results are no well-formed CSV: line 2: the last record has no line end, and neither labels nor an error";
        let Form::MayBeCut(problem) = &read.form else { panic!("{cut}: {:?}", read.form) };
        assert_eq!((problem.message.as_str(), problem.line), (message, Some(2)), "{cut}");
        assert!(matches!(read.confirmed(), Form::Held(_)), "{cut}");
        assert_eq!(rows(&read), [["1", "", "missing: unreadable"]], "{cut}");
    }
    let whole = read(HOLD, "error,labels,ref_id\n,[],1");
    let message = "the last record of the results has no line end: they may be cut short";
    let Form::NoLineEnd(problem) = &whole.form else { panic!("{:?}", whole.form) };
    assert_eq!((problem.code, problem.message.as_str()), (Code::ResultsUnreadable, message));
    let Form::NoLineEnd(twice) = whole.confirmed() else { panic!("{:?}", whole.confirmed()) };
    assert_eq!(twice.message, format!("{message}; a second fetch brought the same bytes"));
    assert_eq!(rows(&whole), [["1", "[]", ""]]);
    assert_eq!(read(HOLD, "ref_id,labels,error\n1,[],\n").form, Form::Whole);
    assert_eq!(read(HOLD, "ref_id,labels,error\r\n1,[],\r\n").form, Form::Whole);
    assert_eq!(
        read(HOLD, "ref_id,labels,error\n").form,
        Form::Whole,
        "well-formed, and without any row"
    );
}

#[test]
fn the_digest_is_of_the_bytes_as_they_came() {
    for file in [
        "",
        "\u{feff}ref_id,labels,error\n1,[],\n",
        "<html>\n<html>\nsecret\n",
        "ref_id,labels,error\n1,\"\"x,\n2,[],\n",
    ] {
        for reading in [HOLD, ROWS] {
            let read = read(reading, file);
            assert_eq!(
                (read.digest, read.bytes),
                (hex::encode(sha2::Sha256::digest(file)), file.len() as u64),
                "{file}"
            );
        }
    }
}

#[test]
fn results_beyond_their_memory_are_refused_however_the_bytes_come() {
    let many =
        (0..100).fold("ref_id,labels,error\n".to_owned(), |file, i| format!("{file}{i},[],\n"));
    let long = format!("ref_id,labels,error\n1,[],{}\n", "x".repeat(20_000));
    let open = format!("ref_id,labels,error\n1,[],\"{}", "x\n".repeat(10_000));
    let header = "x".repeat(20_000);
    for file in [many, long, open, header] {
        for reading in [HOLD, ROWS] {
            for piece in [1, 7, 1000, file.len()] {
                let error = try_read(reading, file.as_bytes(), piece, 10_000).unwrap_err();
                assert_eq!(error, ResultsTooLarge(10_000));
                assert!(try_read(reading, file.as_bytes(), piece, 1 << 20).is_ok());
            }
        }
    }
    let message =
        "the results of one job take more than the 10000 bytes of memory there are for them";
    assert_eq!(ResultsTooLarge(10_000).to_string(), message);
}

/// A sample with every kind of row: `1` evaluated, `2` failed with empty labels, `3` evaluated with
/// none, `4` and `5` failed.
const SAMPLE: &str = "\u{feff}ref_id,type,labels,content,error\r\n1,text,\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",\"a, \"\"b\"\"\né\",\r\n\
    2,image_url,,https://a.example/é.png,\"gone, or \"\"private\"\"\r\nfor good\"\r\n3,text,[],ü,\r\n4,text,,日本,too long\r\n\
    5,text,[],x,too long\r\n";

#[test]
fn a_cut_at_any_byte_makes_no_failed_row_clean_and_no_answer_another() {
    let whole = rows(&read(HOLD, SAMPLE));
    for reading in [HOLD, ROWS] {
        for cut in 0..SAMPLE.len() {
            let read = read(reading, &SAMPLE.as_bytes()[..cut]);
            let rows = rows(&read);
            for (i, row) in rows.iter().enumerate() {
                // What breaks off within an error is still an error.
                let failed = !whole[i][2].is_empty();
                let last = i + 1 == rows.len();
                assert_eq!(row[0], whole[i][0], "cut at {cut}");
                let lost = last && row[1].is_empty() && row[2] == "missing: unreadable";
                let labels = row[1].is_empty() || row[1] == whole[i][1];
                assert!(
                    row == &whole[i] || lost || last && failed && !row[2].is_empty() && labels,
                    "cut at {cut}: {row:?}"
                );
                assert!(row == &whole[i] || read.form != Form::Whole, "cut at {cut}");
            }
            let at_a_line_end = SAMPLE.as_bytes()[..cut].ends_with(b"\r\n");
            assert!(read.form != Form::Whole || at_a_line_end, "cut at {cut}: {:?}", read.form);
            assert!(
                !matches!(read.form, Form::Held(_)),
                "cut at {cut}: a cut is fetched again: {:?}",
                read.form
            );
        }
    }
}
