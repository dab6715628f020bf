//! What an answer says: evaluated, failed or neither; once, twice, or about another job's rows.

use crate::support::results::{HOLD, blank, held, joined, read, rows};
use moondrop_shared::problem::Code;
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{
    BlankLabels, Form, OnOtherContent, OnUnreadable, Reading, ResultsReader, judge,
};

const HEADER: &str = "ref_id,labels,error\n";
const BLANK: &str = "|missing: the API's answer has neither labels nor error";
const CONFLICT: &str = "|failed: the API gave two different answers";

#[test]
fn a_row_with_labels_is_evaluated_and_one_with_an_error_failed() {
    let (rows, tally) = joined(
        HOLD,
        format!("{HEADER}1,\"{{\"\"spam\"\":0.95}}\",\n2,[],  \n3,{{}},\n4,,no image\n"),
        4,
    );
    assert_eq!(rows, [r#"{"spam":0.95}|"#, "[]|", "{}|", "|no image"]);
    assert_eq!(
        (tally.rows.evaluated, tally.rows.failed, tally.labels["spam"].histogram[9]),
        (3, 1, 1)
    );
}

#[test]
fn labels_of_a_row_that_failed_are_handed_on_and_not_counted() {
    let (rows, tally) =
        joined(HOLD, format!("{HEADER}1,\"{{\"\"spam\"\":0.95}}\",late\n2,spam,late\n"), 2);
    assert_eq!(rows, [r#"{"spam":0.95}|late"#, "spam|late"]);
    assert_eq!((tally.rows.failed, tally.labels.len(), tally.unreadable_labels), (2, 0, 1));
}

#[test]
fn labels_that_cannot_be_read_are_handed_on_and_counted() {
    let (rows, tally) =
        joined(HOLD, format!("{HEADER}1,spam:0.5,\n2,\"{{\"\"label\"\":\"\"spam\"\"}}\",\n"), 2);
    assert_eq!(rows, ["spam:0.5|", "{\"label\":\"spam\"}|"]);
    assert_eq!((tally.unreadable_labels, tally.rows.evaluated, tally.labels.len()), (2, 2, 0));
}

#[test]
fn a_row_with_neither_labels_nor_error_is_missing_where_others_have_empty_labels() {
    for empty in ["[]", "{}", "[ ]"] {
        for blank in ["", " ", "null", " null "] {
            let (rows, tally) =
                joined(HOLD, format!("{HEADER}1,{blank}, \n2,{empty},\n3,,no image\n"), 3);
            assert_eq!(rows, [BLANK, &format!("{empty}|"), "|no image"], "{blank:?}");
            assert_eq!(
                (tally.blank, tally.rows.missing, tally.rows.evaluated, tally.rows.failed),
                (1, 1, 1, 1)
            );
        }
    }
}

#[test]
fn where_no_row_shows_how_no_label_is_written_the_part_is_held() {
    for others in ["", "2,\"{\"\"spam\"\":1}\",\n", "2,[],no image\n", "2,,no image\n"] {
        let problem = held(HOLD, format!("{HEADER}8,,x\n1,,\n3,null,\n{others}"));
        assert_eq!(
            (problem.code, problem.line, problem.setting),
            (Code::BlankLabels, Some(3), "BLANK_LABELS=missing|evaluated")
        );
        assert_eq!(
            problem.message,
            "2 rows of the results have neither labels nor error, and no row has `[]`: the API may write \"no label\" so, or it did not evaluate them"
        );
    }
    let file = read(HOLD, "error,ref_id,labels\n,1,");
    assert!(matches!(&file.form, Form::NoLineEnd(_)), "it may be cut: that comes first");
    assert!(matches!(file.confirmed(), Form::Held(problem) if problem.code == Code::BlankLabels));
}

#[test]
fn blank_labels_says_what_neither_labels_nor_error_is() {
    let file = format!("{HEADER}1,,\n2,null,\n3,,no image\n");
    let (rows, tally) = joined(blank(HOLD, BlankLabels::Missing), &file, 3);
    assert_eq!(rows, [BLANK, BLANK, "|no image"]);
    assert_eq!((tally.rows.missing, tally.rows.failed, tally.blank), (2, 1, 2));
    let (rows, tally) = joined(blank(HOLD, BlankLabels::Evaluated), &file, 3);
    assert_eq!(rows, ["|", "null|", "|no image"]);
    assert_eq!(
        (tally.rows.evaluated, tally.rows.failed, tally.blank, tally.unreadable_labels),
        (2, 1, 2, 0)
    );
}

#[test]
fn two_answers_for_one_row_come_out_as_the_stronger_in_either_order() {
    const SPAM: &str = "1,\"{\"\"spam\"\":1}\",";
    let others = "9,[],\n";
    for (one, other, expected) in [
        (SPAM, "1,,no image", "{\"spam\":1}|"),
        (SPAM, "1,,", "{\"spam\":1}|"),
        (SPAM, "1,[],no image", "{\"spam\":1}|"),
        ("1,[],", "1,,no image", "[]|"),
        ("1,[],", "1,null,", "[]|"),
        ("1,,no image", "1,,", "|no image"),
        ("1,,", "1,null,", BLANK),
        (SPAM, "1,[],", CONFLICT),
        (SPAM, "1,\"{\"\"spam\"\":0.5}\",", CONFLICT),
        (SPAM, "1,spam,", CONFLICT),
        ("1,spam,", "1,ham,", CONFLICT),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let (rows, tally) = joined(HOLD, format!("{HEADER}{others}{one}\n{other}\n"), 1);
            let (conflicting, missing) =
                (u64::from(expected == CONFLICT), u64::from(expected == BLANK));
            assert_eq!(rows, [expected], "{one} {other}");
            assert_eq!(
                (tally.duplicates, tally.conflicting, tally.unexpected),
                (1, conflicting, 1),
                "{one} {other}"
            );
            assert_eq!((tally.rows.missing, tally.rows.total()), (missing, 1), "{one} {other}");
            assert!(
                conflicting == 0 || tally.labels.is_empty() && tally.rows.failed == 1,
                "{one} {other}"
            );
        }
    }
}

#[test]
fn of_two_evaluations_that_say_the_same_the_first_is_written() {
    for (one, other) in [
        ("{\"spam\":1}", r#"[{"label":"spam","confidence":"1.0"}]"#),
        (
            r#"[{"name":"a","score":1},{"name":"b","score":0}]"#,
            r#"[{"name":"b","score":0},{"name":"a","score":1}]"#,
        ),
        ("[]", "{}"),
        ("spam", " spam "),
        ("{\"spam\":1}", "{\"spam\":1}"),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            let quoted = |labels: &str| labels.replace('"', "\"\"");
            let file = format!("{HEADER}1,\"{}\",\n1,\"{}\",\n", quoted(one), quoted(other));
            let (rows, tally) = joined(HOLD, file, 1);
            assert_eq!(rows, [format!("{one}|")]);
            assert_eq!(
                (tally.rows.evaluated, tally.duplicates, tally.conflicting),
                (1, 1, 0),
                "{one} {other}"
            );
        }
    }
}

#[test]
fn of_two_errors_the_first_stands_and_a_third_answer_settles_no_conflict() {
    assert_eq!(joined(HOLD, format!("{HEADER}1,,first\n1,,second\n"), 1).0, ["|first"]);
    for file in [
        "1,{},\n1,spam,\n1,{},\n",
        "1,{},\n1,spam,\n1,,late\n",
        "1,,late\n1,{},\n1,spam,\n1,spam,\n",
    ] {
        let (rows, tally) = joined(HOLD, format!("{HEADER}{file}"), 1);
        assert_eq!(
            (rows, tally.conflicting, tally.rows.failed),
            (vec![CONFLICT.to_owned()], 1, 1),
            "{file}"
        );
    }
}

#[test]
fn unexpected_answers_are_counted_and_not_written() {
    let file = "ref_id,labels,error\n1,[],\nx,[],\n1,,late\nx,[],\n2,[],\n,[],\n";
    let (rows, tally) = joined(HOLD, file, 3);
    assert_eq!(rows, ["[]|", "[]|", "|missing: the API's results have no row for this ref_id"]);
    assert_eq!(
        (tally.rows.evaluated, tally.rows.missing, tally.unexpected, tally.duplicates),
        (2, 1, 2, 2)
    );
    let read = read(HOLD, file);
    assert_eq!(
        (read.answers.len(), read.answers.is_empty(), read.answers.duplicates()),
        (4, false, 2)
    );
}

#[test]
fn results_that_answer_none_of_the_rows_are_held() {
    for (file, others) in [
        (
            "ref_id,labels,error\nx,[],\ny,,no\n",
            "they have 2 for others: is it another job's file?",
        ),
        ("ref_id,labels,error\n", "they have no row at all"),
    ] {
        let (_, tally) = joined(HOLD, file, 3);
        let problem = judge(&tally, 3, &HOLD).unwrap();
        let message =
            format!("the results have no row for any of the 3 rows that were sent; {others}");
        assert_eq!(
            (problem.code, problem.line, problem.message),
            (Code::ResultsUnrelated, None, message)
        );
        assert_eq!(problem.setting, "RESULTS_UNREADABLE=rows");
        assert_eq!(judge(&tally, 3, &Reading { unreadable: OnUnreadable::Rows, ..HOLD }), None);
    }
    for row in ["1,[],", "1,,no image", "1,,"] {
        let (_, tally) = joined(HOLD, format!("{HEADER}{row}\nx,[],\n"), 3);
        assert_eq!(judge(&tally, 3, &HOLD), None, "{row}");
    }
    assert_eq!(judge(&Tally::default(), 0, &HOLD), None, "nothing was sent, and nothing came");
}

#[test]
fn rows_come_back_in_the_files_order_with_type_and_content_as_they_came() {
    let file = "ref_id,content,type,labels,error\n2,\" b, \"\"c\"\"\",Text,[],\n 1 ,a,image_url,,no\n2,other,text,[],\n3,,,,\n";
    let mut reader = ResultsReader::new(HOLD, 1 << 20, true);
    reader.push(file.as_bytes()).unwrap();
    let read = reader.finish().unwrap();
    let mut tally = Tally::default();
    let rows: Vec<_> = read
        .answers
        .rows()
        .map(|row| {
            row.count(&mut tally);
            (row.ref_id, row.kind, row.labels, row.content, row.error)
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("2", "Text", "[]", " b, \"c\"", ""),
            ("1", "image_url", "", "a", "no"),
            ("3", "", "", "", "missing: the API's answer has neither labels nor error"),
        ]
    );
    assert_eq!(
        (tally.rows.evaluated, tally.rows.failed, tally.rows.missing, tally.blank),
        (1, 1, 1, 1)
    );
}

#[test]
fn a_stronger_second_answer_stands_in_the_place_of_the_first() {
    let file = "ref_id,type,labels,content,error\n1,text,,a,no\n2,text,[],b,\n1,text,{},A,\n";
    assert_eq!(rows(&read(HOLD, file)), [["1", "{}", ""], ["2", "[]", ""]]);
}

#[test]
fn answers_show_no_content_when_they_are_printed() {
    let read = read(HOLD, format!("{HEADER}1,[],secret\n"));
    let shown = format!("{read:?}");
    assert!(
        !shown.contains("secret") && shown.contains("Answers { rows: 1, duplicates: 0, .. }"),
        "{shown}"
    );
}

#[test]
fn settings_are_read_by_their_words() {
    for (word, value) in [
        ("hold", Some(OnUnreadable::Hold)),
        ("rows", Some(OnUnreadable::Rows)),
        ("Hold", None),
        ("", None),
    ] {
        assert_eq!(OnUnreadable::from_word(word), value);
        assert!(value.is_none_or(|value| value.as_str() == word));
    }
    for (word, value) in [
        ("missing", Some(BlankLabels::Missing)),
        ("evaluated", Some(BlankLabels::Evaluated)),
        ("hold", None),
    ] {
        assert_eq!(BlankLabels::from_word(word), value);
        assert!(value.is_none_or(|value| value.as_str() == word));
    }
    for (word, value) in
        [("hold", Some(OnOtherContent::Hold)), ("warn", Some(OnOtherContent::Warn)), ("rows", None)]
    {
        assert_eq!(OnOtherContent::from_word(word), value);
        assert!(value.is_none_or(|value| value.as_str() == word));
    }
    assert_eq!(Reading::default(), HOLD);
}
