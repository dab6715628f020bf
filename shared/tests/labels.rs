//! The API's results as they may come: labels in every form the documentation leaves open, and answers of odd make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use moondrop_shared::answers::Answers;
use moondrop_shared::labels::{Label, read_labels};
use moondrop_shared::tally::{MAX_LABELS, Tally};

fn label(name: &str, score: f64) -> Label {
    Label { name: name.to_owned(), score }
}

fn tally_of(scores: &[f64]) -> Tally {
    let mut tally = Tally::default();
    scores.iter().for_each(|score| tally.count_labels(&[label("spam", *score)]));
    tally
}

/// The bin one score falls into.
fn bin(score: f64) -> usize {
    tally_of(&[score]).labels["spam"].histogram.iter().position(|n| *n == 1).unwrap()
}

#[test]
fn a_labels_name_is_read_under_each_key_it_may_have() {
    for key in ["label", "name", "label_name", "labelName"] {
        let text = format!(r#"[{{"{key}": "spam", "score": 0.25, "more": [1]}}, {{"score": 1, "{key}": "Gewalt – \"é\""}}]"#);
        assert_eq!(read_labels(&text), Ok(vec![label("spam", 0.25), label("Gewalt – \"é\"", 1.0)]), "{key}");
    }
}

#[test]
fn a_score_in_quotes_is_read() {
    assert_eq!(read_labels(r#"[{"name":"spam","score":" 0.5 "}]"#), Ok(vec![label("spam", 0.5)]));
}

#[test]
fn no_labels_are_no_labels() {
    for text in ["", "  ", "\n", "[]", " [ ] "] {
        assert_eq!(read_labels(text), Ok(vec![]), "{text:?}");
    }
}

#[test]
fn what_is_no_list_of_names_and_scores_is_unreadable() {
    let deep = "[".repeat(100_000);
    for text in [
        "spam",
        "{",
        r#"{"name":"spam","score":1}"#,
        r#"["spam"]"#,
        r#"[{"name":"spam"}]"#,
        r#"[{"score":1}]"#,
        r#"[{"name":7,"score":1}]"#,
        r#"[{"name":"spam","score":null}]"#,
        r#"[{"name":"spam","score":"NaN"}]"#,
        r#"[{"name":"spam","score":1e999}]"#,
        r#"[{"name":"spam","score":"inf"}]"#,
        r#"[{"name":"spam","score":0.5}"#,
        r#"[{"name":"spam","score":0.5}] and more"#,
        &deep,
    ] {
        assert_eq!(read_labels(text), Err(()), "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn a_score_falls_into_the_bin_it_begins() {
    for (score, expected) in [(0.0, 0), (0.0999, 0), (0.1, 1), (0.5, 5), (0.8999, 8), (0.9, 9), (0.9999, 9), (1.0, 9)] {
        assert_eq!(bin(score), expected, "{score}");
    }
    for tenth in 0..10 {
        let text = format!(r#"[{{"name":"spam","score":0.{tenth}}}]"#);
        assert_eq!(bin(read_labels(&text).unwrap()[0].score), tenth, "{text}");
    }
}

#[test]
fn a_score_out_of_range_falls_into_the_nearest_bin() {
    for (score, expected) in [(-0.1, 0), (-7.0, 0), (f64::MIN, 0), (1.1, 9), (95.0, 9), (f64::MAX, 9)] {
        assert_eq!(bin(score), expected, "{score}");
    }
}

#[test]
fn a_label_that_a_row_carries_twice_counts_once() {
    let mut tally = Tally::default();
    tally.count_labels(&[label("spam", 0.2), label("hate", 0.9), label("spam", 0.8)]);
    assert_eq!((tally.labels["spam"].rows, tally.labels["hate"].rows), (1, 1));
    assert_eq!(tally.labels["spam"].histogram, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn labels_beyond_the_number_that_is_named_are_counted_together() {
    let mut tally = Tally::default();
    let labels: Vec<_> = (0..MAX_LABELS + 3).map(|i| label(&format!("l{i}"), 0.5)).collect();
    tally.count_labels(&labels[..MAX_LABELS]);
    tally.count_labels(&labels[MAX_LABELS..]);
    tally.count_labels(&labels[..1]);
    assert_eq!(tally.labels.len(), MAX_LABELS + 1);
    assert_eq!(tally.labels["l0"].rows, 2);
    assert_eq!(tally.labels["(other labels)"].rows, 1, "one row carries them");
}

#[test]
fn a_tally_fits_its_record_whatever_the_labels_are_called() {
    let mut tally = Tally::default();
    let long = "\u{1}".repeat(5000);
    for row in 0..25_000_usize {
        let short = format!("{}{row}", &long[..90]);
        tally.count_labels(&[label(&short, 0.5), label(&format!("{long}{row}"), 0.5)]);
    }
    assert_eq!(tally.labels["(other labels)"].rows, 25_000);
    assert!(serde_json::to_string(&tally).unwrap().len() < 380_000, "a DynamoDB item holds 400 KB");
}

#[test]
fn a_row_with_a_hundred_thousand_labels_is_counted_in_good_time() {
    let entry = |i: usize| format!(r#"{{"name":"a name that is much like the others {i}","score":0.5}}"#);
    let text = format!("[{}]", (0..100_000).map(entry).collect::<Vec<_>>().join(","));
    let began = std::time::Instant::now();
    let mut tally = Tally::default();
    tally.count_labels(&read_labels(&text).unwrap());
    assert_eq!(tally.labels.len(), MAX_LABELS + 1);
    assert!(began.elapsed().as_secs() < 5, "it took {:?}", began.elapsed());
}

#[test]
fn two_tallies_add_up() {
    let (mut one, mut two) = (tally_of(&[0.1, 0.95]), tally_of(&[0.15]));
    two.count_labels(&[label("hate", 0.3)]);
    (one.rows.evaluated, two.rows.evaluated, two.rows.missing) = (2, 2, 5);
    (two.foreign, two.doubled, two.unreadable_labels) = (1, 2, 3);
    one.add(&two);
    assert_eq!((one.rows.total(), one.rows.evaluated, one.rows.missing), (9, 4, 5));
    assert_eq!((one.foreign, one.doubled, one.unreadable_labels), (1, 2, 3));
    assert_eq!(one.labels["spam"].histogram, [0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((one.labels["spam"].rows, one.labels["hate"].rows), (3, 1));
}

/// Reads results and takes the answer for `1`.
fn answer(results: &[u8]) -> (String, String, Tally) {
    let (mut answers, mut tally) = (Answers::read(results, 1 << 20).unwrap().0, Tally::default());
    let (labels, error) = answers.take(b"1", &mut tally).unwrap();
    (labels.to_owned(), error.to_owned(), tally)
}

#[test]
fn results_are_read_by_column_name_in_any_order_and_behind_a_mark() {
    for results in [
        "ref_id,type,labels,content,error\n1,text,\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",a,\n",
        "error,content,labels,ref_id\r\n,a,\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",1\r\n",
        "\u{feff}ref_id, labels , error\n1,\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",\n",
        "\u{feff}\"ref_id\",\"labels\"\n1,\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\"",
        "labels,ref_id,new\n\"[{\"\"name\"\":\"\"spam\"\",\"\"score\"\":0.5}]\",1,\n",
    ] {
        let (labels, error, tally) = answer(results.as_bytes());
        assert_eq!((labels.as_str(), error.as_str()), (r#"[{"name":"spam","score":0.5}]"#, ""), "{results}");
        assert_eq!((tally.rows.evaluated, tally.labels["spam"].rows, tally.unreadable_labels), (1, 1, 0), "{results}");
    }
}

#[test]
fn an_answer_with_an_error_is_a_failed_row() {
    let (labels, error, tally) = answer(b"ref_id,type,labels,content,error\n1,text,,a,\"too long, sorry\"\n");
    assert_eq!((labels.as_str(), error.as_str()), ("", "too long, sorry"));
    assert_eq!((tally.rows.failed, tally.rows.evaluated, tally.unreadable_labels), (1, 0, 0));
}

#[test]
fn labels_that_cannot_be_read_are_handed_on_and_counted() {
    let (labels, _, tally) = answer(b"ref_id,labels,error\n1,spam:0.5,\n");
    assert_eq!((labels.as_str(), tally.unreadable_labels, tally.rows.evaluated), ("spam:0.5", 1, 1));
    assert!(tally.labels.is_empty());
}

#[test]
fn half_a_row_is_no_answer_and_a_missing_newline_may_be_a_cut() {
    let read = |results: &'static str| Answers::read(results.as_bytes(), 1 << 20).unwrap();
    for cut in ["ref_id,labels,error\n1\n", "ref_id,labels,error\n1,[]\n", "ref_id,labels,error\n2,[],\n1,[]"] {
        let (mut answers, read) = read(cut);
        assert!(answers.take(b"1", &mut Tally::default()).is_none() && read.may_be_cut_short, "{cut}");
    }
    assert!(read("ref_id,labels,error\n1,[],").1.may_be_cut_short);
    assert!(!read("ref_id,labels,error\n1,[],\n").1.may_be_cut_short);
}

#[test]
fn an_answer_in_another_encoding_is_still_an_answer() {
    assert_eq!(answer(b"ref_id,labels,error\n1,,caf\xe9\n").1, "caf\u{fffd}");
}

#[test]
fn a_page_or_another_file_in_place_of_results_is_refused() {
    for page in
        ["<!DOCTYPE html>\n<html><body>Access Denied</body></html>\n", "", "{\"code\":5}", "ref_id,type,content\n1,text,a\n"]
    {
        let error = Answers::read(page.as_bytes(), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("`ref_id` and `labels`"), "{error}");
    }
}

#[test]
fn results_without_rows_answer_for_no_row() {
    let mut answers = Answers::read(&b"ref_id,type,labels,content,error\n"[..], 1 << 20).unwrap().0;
    assert!(answers.is_empty() && answers.take(b"1", &mut Tally::default()).is_none());
}

#[test]
fn answers_to_no_question_and_second_answers_are_counted() {
    let results = b"ref_id,labels,error\n1,,\nforeign,,\n1,,late\nforeign,,\n2,,\n";
    let (mut answers, mut tally) = (Answers::read(&results[..], 1 << 20).unwrap().0, Tally::default());
    assert_eq!(answers.len(), 3);
    assert_eq!(answers.take(b"1", &mut tally), Some(("", "")), "the first answer stands");
    answers.take(b"2", &mut tally).unwrap();
    answers.count_rest(&mut tally);
    assert_eq!((tally.rows.evaluated, tally.foreign, tally.doubled), (2, 1, 2));
}
