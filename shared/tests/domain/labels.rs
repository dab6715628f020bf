//! Labels in every form the documentation leaves open, and how they are counted.

use moondrop_shared::results::labels::{Label, is_blank, is_empty_list, read_labels, say_the_same};
use moondrop_shared::results::tally::{MAX_LABELS, Tally};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

fn label(name: &str, score: f64) -> Label<'_> {
    Label { name: name.into(), score }
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
        let text = format!(
            r#"[{{"{key}": "spam", "score": 0.25, "more": [1]}}, {{"score": 1, "{key}": "Gewalt – \"é\""}}]"#
        );
        assert_eq!(
            read_labels(&text),
            Ok(vec![label("spam", 0.25), label("Gewalt – \"é\"", 1.0)]),
            "{key}"
        );
    }
}

#[test]
fn a_score_in_quotes_is_read() {
    assert_eq!(read_labels(r#"[{"name":"spam","score":" 0.5 "}]"#), Ok(vec![label("spam", 0.5)]));
}

#[test]
fn a_score_is_read_under_confidence_as_well() {
    assert_eq!(
        read_labels(r#"[{"label_name":"spam","confidence":0.5,"threshold":0.4}]"#),
        Ok(vec![label("spam", 0.5)])
    );
    assert_eq!(
        read_labels(r#"[{"name":"spam","confidence":0.5,"score":0.75}]"#),
        Ok(vec![label("spam", 0.75)])
    );
}

#[test]
fn a_map_of_names_to_scores_is_read() {
    assert_eq!(read_labels(r#"{"Spam": 0.91}"#), Ok(vec![label("Spam", 0.91)]));
    assert_eq!(read_labels(r#"{"b":"0.5","a":1}"#), Ok(vec![label("a", 1.0), label("b", 0.5)]));
    assert_eq!(
        read_labels(r#"{"label":0.5}"#),
        Ok(vec![label("label", 0.5)]),
        "a label may be called so"
    );
}

#[test]
fn no_labels_are_no_labels() {
    for text in ["", "  ", "\n", "null", " null ", "[]", " [ ] ", "{}"] {
        assert_eq!(read_labels(text), Ok(vec![]), "{text:?}");
    }
}

#[test]
fn a_blank_field_and_an_empty_list_are_told_apart() {
    for (text, blank, empty) in [
        ("", true, false),
        (" \t\n", true, false),
        ("null", true, false),
        (" null\n", true, false),
        ("[]", false, true),
        (" [ \n] ", false, true),
        ("{}", false, true),
        ("{ }", false, true),
        ("[{}]", false, false),
        ("[", false, false),
        ("[}", false, false),
        ("NULL", false, false),
        ("\"\"", false, false),
    ] {
        assert_eq!((is_blank(text), is_empty_list(text)), (blank, empty), "{text:?}");
    }
}

#[test]
fn labels_say_the_same_in_any_order_and_form() {
    for (one, other, same) in [
        (r#"[{"name":"a","score":1},{"name":"b","score":0.5}]"#, r#"{"b":"0.50","a":1.0}"#, true),
        (r#"[{"name":"a","score":1},{"name":"a","score":1}]"#, r#"[{"name":"a","score":1}]"#, true),
        (r#"{"a":1}"#, r#"{"a":0.99}"#, false),
        (r#"{"a":1}"#, r#"{"A":1}"#, false),
        (r#"{"a":1}"#, "[]", false),
        ("[]", "{}", true),
        ("spam", " spam ", true),
        ("spam", "ham", false),
        ("spam", r#"{"spam":1}"#, false),
    ] {
        assert_eq!(
            (say_the_same(one, other), say_the_same(other, one)),
            (same, same),
            "{one} {other}"
        );
    }
}

#[test]
fn what_is_no_list_of_names_and_scores_is_unreadable() {
    let deep = "[".repeat(100_000);
    for text in [
        "spam",
        "{",
        r#"{"name":"spam","score":1}"#,
        r#"{"label":"spam"}"#,
        r#"{"name":"spam","confidence":1}"#,
        r#"{"label":"5","score":1}"#,
        r#"{"spam":null}"#,
        r#"{"spam":"NaN"}"#,
        r#"{"spam":1,"ham":[]}"#,
        r#"{"spam":{"score":1}}"#,
        "7",
        r#""""#,
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
    for (score, expected) in
        [(0.0, 0), (0.0999, 0), (0.1, 1), (0.5, 5), (0.8999, 8), (0.9, 9), (0.9999, 9), (1.0, 9)]
    {
        assert_eq!(bin(score), expected, "{score}");
    }
    for tenth in 0..10 {
        let text = format!(r#"[{{"name":"spam","score":0.{tenth}}}]"#);
        assert_eq!(bin(read_labels(&text).unwrap()[0].score), tenth, "{text}");
    }
}

#[test]
fn a_score_out_of_range_falls_into_the_nearest_bin() {
    for (score, expected) in
        [(-0.1, 0), (-7.0, 0), (f64::MIN, 0), (1.1, 9), (95.0, 9), (f64::MAX, 9)]
    {
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
    let names: Vec<_> = (0..MAX_LABELS + 3).map(|i| format!("l{i}")).collect();
    let labels: Vec<_> = names.iter().map(|name| label(name, 0.5)).collect();
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
    let entry =
        |i: usize| format!(r#"{{"name":"a name that is much like the others {i}","score":0.5}}"#);
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
    (two.unexpected, two.duplicates, two.unreadable_labels) = (1, 2, 3);
    (two.conflicting, two.blank, two.content_compared, two.content_mismatches) = (4, 5, 6, 7);
    (one.conflicting, one.blank, one.content_compared, one.content_mismatches) = (1, 1, 1, 1);
    one.add(&two);
    assert_eq!((one.rows.total(), one.rows.evaluated, one.rows.missing), (9, 4, 5));
    assert_eq!((one.unexpected, one.duplicates, one.unreadable_labels), (1, 2, 3));
    assert_eq!(
        (one.conflicting, one.blank, one.content_compared, one.content_mismatches),
        (5, 6, 7, 8)
    );
    assert_eq!(one.labels["spam"].histogram, [0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((one.labels["spam"].rows, one.labels["hate"].rows), (3, 1));
}

#[test]
fn a_tally_of_an_older_release_is_read() {
    let older = r#"{"rows":{"evaluated":1,"failed":0,"rejected":0,"missing":0},"unexpected":1,"duplicates":2,"unreadable_labels":3,"labels":{}}"#;
    let tally: Tally = serde_json::from_str(older).unwrap();
    assert_eq!(
        (tally.rows.evaluated, tally.unexpected, tally.conflicting, tally.blank),
        (1, 1, 0, 0)
    );
    assert_eq!((tally.content_compared, tally.content_mismatches), (0, 0));
}

/// Labels as they are in a tree of all values: slow, and obvious.
fn by_tree(text: &str) -> Result<Vec<(String, f64)>, ()> {
    const NAMES: [&str; 4] = ["label", "name", "label_name", "labelName"];
    const SCORES: [&str; 2] = ["score", "confidence"];
    let number = |value: &Value| {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        number.filter(|number| number.is_finite())
    };
    let has = |value: &Value, keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
    match serde_json::from_str(text) {
        _ if is_blank(text) => Ok(Vec::new()),
        Ok(Value::Array(values)) => values
            .iter()
            .map(|value| {
                let name = NAMES.iter().find_map(|key| value.get(key)?.as_str()).ok_or(())?;
                let score = SCORES.iter().find_map(|key| number(value.get(key)?)).ok_or(())?;
                Ok((name.to_owned(), score))
            })
            .collect(),
        Ok(value) if has(&value, &NAMES) && has(&value, &SCORES) => Err(()),
        Ok(Value::Object(map)) => {
            map.iter().map(|(name, score)| Ok((name.clone(), number(score).ok_or(())?))).collect()
        }
        _ => Err(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn labels_are_read_as_by_a_tree_of_all_values(text in json(), cut in any::<Index>(), whole in 0..4_u8) {
        let text = if whole > 0 { text } else { text.chars().take(cut.index(text.len() + 1)).collect() };
        let read = read_labels(&text);
        let read = read.map(|labels| {
            labels.into_iter().map(|label| (label.name.into_owned(), label.score)).collect::<Vec<_>>()
        });
        prop_assert_eq!(read, by_tree(&text), "{}", text);
    }
}

/// JSON that is about labels more often than chance would have it; keys may stand twice.
fn json() -> impl Strategy<Value = String> {
    let scalar = select(vec![
        "0.5",
        "1",
        "-0",
        "1e3",
        "1e999",
        "18446744073709551616",
        "\"0.25\"",
        "\" 1 \"",
        "\"inf\"",
        "\"NaN\"",
        "\"spam\"",
        "\"a \\\"b\\\" \\u00e9\"",
        "\"\\ud800\"",
        "\"\"",
        "null",
        "true",
        "[]",
        "{}",
        "01",
        "spam",
    ])
    .prop_map(str::to_owned);
    let key = select(vec![
        "label",
        "name",
        "label_name",
        "labelName",
        "score",
        "confidence",
        "threshold",
        "sc\\u006fre",
    ]);
    scalar.prop_recursive(4, 24, 4, move |inner| {
        let pair =
            (key.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
        let map = vec(pair, 0..4).prop_map(|pairs| format!("{{{}}}", pairs.join(",")));
        let list = vec(prop_oneof![3 => map.clone(), 1 => inner], 0..4);
        prop_oneof![list.prop_map(|values| format!("[{}]", values.join(", "))), map]
    })
}
