//! `RESULTS_UNREADABLE=rows`: what is well-formed is used, the rest is missing, and nothing is held
//! for its form.

use crate::support::results::{HOLD, ROWS, blank, held, joined, read, rows, try_read};
use moondrop_shared::problem::Code;
use moondrop_shared::results::{BlankLabels, Form, OnUnreadable, ResultsProblem, judge};

const HEADER: &str = "ref_id,type,labels,content,error\n";

/// What is used of a file that is whole in the end, and the first thing in it that is unreadable.
fn used(file: impl AsRef<[u8]>, n: usize) -> (Vec<String>, Option<ResultsProblem>) {
    let read = read(ROWS, &file);
    assert_eq!(read.confirmed(), &Form::Whole, "{}", String::from_utf8_lossy(file.as_ref()));
    (joined(ROWS, file, n).0, read.answers.unreadable().cloned())
}

#[test]
fn well_formed_records_are_used_and_the_rest_is_missing() {
    const MISSING: &str = "|missing: unreadable";
    for (records, expected) in [
        ("1,text,[],a,\n2,text,[],b\"c,\n3,text,,c,no\n", ["[]|", MISSING, "|no"]),
        ("1,text,[],a,\n2,text,[],\"b\"c,\n3,text,[],c,\n", ["[]|", MISSING, "[]|"]),
        ("1,text,[],a,\n2,text,[],b, c,\n3,text,[],c,\n", ["[]|", MISSING, "[]|"]),
        ("1,text,[],a,\n2\n3,text,[],c,\n", ["[]|", MISSING, "[]|"]),
        ("1,text,[],a,\n2,text,[],b\rc,\n3,text,[],c,\n", ["[]|", MISSING, "[]|"]),
        ("1,text,[],a,\n2,text,[],b\0,\n3,text,[],c,\n", ["[]|", MISSING, "[]|"]),
        // A quote that is not closed swallows no other row.
        ("1,text,[],\"a,\n2,text,[],b,\n3,text,[],\"c\",\n", [MISSING, "[]|", "[]|"]),
        ("1,text,[],\"a,\n2,text,[],b,\n3,text,[],c,\n", [MISSING, "[]|", "[]|"]),
        // Behind the last record, too.
        ("1,text,[],a,\n2,text,[],b,\n3,te", ["[]|", "[]|", MISSING]),
        ("1,text,[],a,\n2,text,[],b,\n3,text\n", ["[]|", "[]|", MISSING]),
        (
            "1,text,[],a,\n2,text,[],b,\n",
            ["[]|", "[]|", "|missing: the API's results have no row for this ref_id"],
        ),
    ] {
        assert_eq!(used(format!("{HEADER}{records}"), 3).0, expected, "{records}");
    }
    let (rows, problem) =
        used([HEADER.as_bytes(), b"1,text,[],caf\xe9,\n2,text,[],b,\n"].concat(), 2);
    assert_eq!(rows, [MISSING, "[]|"]);
    let problem = problem.unwrap();
    assert_eq!(problem.line, Some(2));
    assert_eq!(
        problem.message,
        "the results are no well-formed CSV: line 2: column 4: bytes that are not UTF-8"
    );
}

#[test]
fn lines_within_a_record_that_is_not_utf_8_are_no_records() {
    let file = [HEADER.as_bytes(), b"1,text,[],\"caf\xe9\n2,text,[],forged,\n\",\n2,text,,b,no\n"]
        .concat();
    assert_eq!(used(file, 2).0, ["|missing: unreadable", "|no"]);
}

#[test]
fn a_file_that_answers_no_row_leaves_all_its_rows_missing() {
    for file in [
        "",
        "\n",
        "<html>\n<body>\n",
        "ref_id,type\n1,text\n",
        "labels,labels,ref_id,error\n[],[],1,\n",
        "\"x\"y\n1\n",
    ] {
        let (rows, problem) = used(file, 2);
        assert_eq!(rows, ["|missing: unreadable"; 2], "{file}");
        assert!(problem.is_some(), "{file}");
        let (_, tally) = joined(ROWS, file, 2);
        assert_eq!((tally.rows.missing, judge(&tally, 2, &ROWS)), (2, None), "{file}");
    }
    let (_, tally) = joined(ROWS, "ref_id,labels,error\n8,[],\n9,[],\n", 2);
    assert_eq!((tally.rows.missing, tally.unexpected, judge(&tally, 2, &ROWS)), (2, 2, None));
}

#[test]
fn without_an_error_column_only_rows_with_labels_are_evaluated() {
    let file = "ref_id,labels\n1,\"{\"\"spam\"\":1}\"\n2,[]\n3,\n4,null\n5,{}\n6,spam: 0.5\n2,\"{\"\"spam\"\":1}\"\n3,[]\n";
    let (rows, problem) = used(file, 7);
    let missing = "|missing: unreadable";
    assert_eq!(
        rows,
        ["{\"spam\":1}|", "{\"spam\":1}|", missing, missing, missing, "spam: 0.5|", missing]
    );
    let message = "these are no results: the header has no error column (`error`, `errors` or `error_message`)";
    assert_eq!(problem.unwrap().message, message);
    let (_, tally) = joined(blank(ROWS, BlankLabels::Evaluated), file, 7);
    assert_eq!(
        (tally.rows.evaluated, tally.rows.missing, tally.blank),
        (3, 4, 0),
        "whatever `BLANK_LABELS` says"
    );
}

#[test]
fn rows_with_neither_labels_nor_error_are_held_for_all_that() {
    let problem = held(ROWS, "ref_id,labels,error\n1,,\n2\"\n");
    assert_eq!((problem.code, problem.line), (Code::BlankLabels, Some(2)));
    let cut = read(ROWS, "ref_id,labels,error\n1,,\n2,\"");
    assert!(
        matches!(&cut.form, Form::MayBeCut(_))
            && matches!(cut.confirmed(), Form::Held(p) if p.code == Code::BlankLabels)
    );
    assert_eq!(
        used("ref_id,labels,error\n1,,\n2\"\n3,[],\n", 1).0,
        ["|missing: the API's answer has neither labels nor error"]
    );
}

#[test]
fn a_file_that_may_be_cut_is_fetched_again_and_then_used() {
    for file in ["ref_id,labels,error\n1,[],\n2,\"", "ref_id,labels,error\n1,[],\n2\n"] {
        let read = read(ROWS, file);
        assert!(matches!(&read.form, Form::MayBeCut(_)), "{:?}", read.form);
        assert_eq!(used(file, 2).0, ["[]|", "|missing: unreadable"]);
    }
    let file = "error,ref_id,labels\n,1,[]\n,2,[]";
    assert!(matches!(read(ROWS, file).form, Form::NoLineEnd(_)));
    assert_eq!(used(file, 3).0, ["[]|", "[]|", "|missing: unreadable"]);
    let file = "ref_id,labels,error\n1,[],\n2,[],";
    assert_eq!(used(file, 2).0, ["[]|", "|missing: unreadable"], "its error may be lost");
}

#[test]
fn under_hold_nothing_counts_as_unreadable_but_the_whole_file() {
    assert!(read(HOLD, "ref_id,labels,error\n1,[],\n").answers.unreadable().is_none());
    assert!(read(ROWS, "ref_id,labels,error\n1,[],\n").answers.unreadable().is_none());
    assert_eq!(ROWS.unreadable, OnUnreadable::Rows);
}

#[test]
fn hundreds_of_thousands_of_invalid_records_are_passed_in_good_time() {
    let began = std::time::Instant::now();
    for (record, n) in [
        // Each opens a quote that the next one closes.
        ("1,\"x\n", 300_000),
        ("1,\"\"\"\n", 300_000),
        ("1,\n", 300_000),
        ("1,[],x\"\n", 300_000),
        // One quote for many lines.
        (&format!("1,\"\n{}", "x\n".repeat(10_000)), 100),
        (&format!("1,\"\n{}", "\"\"\n".repeat(10_000)), 100),
    ] {
        let file = format!("ref_id,labels,error\n0,[],\n{}2,[],\n", record.repeat(n));
        for piece in [1 << 10, file.len()] {
            let read = try_read(ROWS, file.as_bytes(), piece, 64 << 20).unwrap();
            let rows = rows(&read);
            assert_eq!(
                (&rows[0], &rows[rows.len() - 1]),
                (&["0", "[]", ""].map(String::from), &["2", "[]", ""].map(String::from))
            );
        }
    }
    assert!(began.elapsed().as_secs() < 20, "it took {:?}", began.elapsed());
}
