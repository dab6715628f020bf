//! Whether the texts that come back are those that were sent.

use crate::support;
use crate::support::results::HOLD;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::part::join::{Join, PartResult};
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::Code;
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{Form, MIN_COMPARED, OnOtherContent, Reading, ResultsReader, judge};

/// Joins rows that were sent as (type, content) with what came back: with the `content` column, or
/// without.
fn join(rows: &[(&str, &str, &str)], has_content: bool) -> Tally {
    join_in(16 << 20, rows, has_content)
}

fn join_in(memory: usize, rows: &[(&str, &str, &str)], has_content: bool) -> Tally {
    let (mut source, mut results) =
        (b"ref_id,type,content\n".to_vec(), b"ref_id,labels,error".to_vec());
    results.extend_from_slice(if has_content { b",Content\n" } else { b"\n" });
    for (i, (kind, sent, returned)) in rows.iter().enumerate() {
        source.extend(format!("{i},{kind},").into_bytes());
        write_field(&mut source, sent.as_bytes());
        source.push(b'\n');
        results.extend(format!("{i},[],").into_bytes());
        if has_content {
            results.push(b',');
            write_field(&mut results, returned.as_bytes());
        }
        results.push(b'\n');
    }
    let mut reader = ResultsReader::new(HOLD, memory, false);
    reader.push(&results).unwrap();
    let read = reader.finish().unwrap();
    assert_eq!(read.form, Form::Whole);
    let taken = support::check(&source, source.len(), PartLimits::default()).unwrap();
    let part = &taken.checked.parts[0];
    let mut join = Join::new(
        taken.checked.header.clone(),
        part.clone(),
        taken.rejections(part),
        PartResult::Answered(read.answers.into()),
    );
    join.push(&source[part.offset as usize..]).unwrap();
    let (_, tally) = join.finish().unwrap();
    assert_eq!(tally.rows.evaluated, rows.len() as u64, "content decides on no row");
    tally
}

/// Whether a text that came back counts as the one that was sent; `None` if the two are not
/// compared.
fn same(sent: &str, returned: &str) -> Option<bool> {
    let tally = join(&[("text", sent, returned)], true);
    // Other rows take the memory for its text, before it and after it.
    let url = format!("https://x.io/{}", "a".repeat(4000));
    let mut rows = [("image_url", url.as_str(), url.as_str()); 40];
    for at in [0, 39] {
        rows[at] = ("text", sent, returned);
        let in_little = join_in(40_000, &rows, true);
        let counts = |tally: &Tally| (tally.content_compared, tally.content_mismatches);
        assert_eq!(counts(&in_little), counts(&tally), "{sent:?} {returned:?}");
        rows[at] = ("image_url", url.as_str(), url.as_str());
    }
    (tally.content_compared == 1).then_some(tally.content_mismatches == 0)
}

#[test]
fn texts_are_the_same_whatever_their_form_case_and_white_space() {
    for (sent, returned) in [
        ("Hello, world", "Hello, world"),
        ("Hello, world", "  hello,\u{a0}WORLD\n"),
        ("a\r\nb\tc", "a b c"),
        ("caf\u{e9}", "CAFE\u{301}"),
        ("\u{fb01}ne \u{ff21}\u{ff22}", "fine AB"),
        ("Stra\u{df}e", "STRASSE"),
        (
            "\u{3a3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c2}",
            "\u{3a3}\u{38a}\u{3a3}\u{3a5}\u{3a6}\u{39f}\u{3a3}",
        ),
        ("日本 語", "日本語"),
    ] {
        assert_eq!(same(sent, returned), Some(true), "{sent:?} {returned:?}");
        assert_eq!(same(returned, sent), Some(true), "{returned:?} {sent:?}");
    }
}

#[test]
fn texts_are_the_same_where_one_is_a_prefix_of_the_other() {
    let long: String = (0..2000).map(|i| format!("Wort {i} ")).collect();
    for length in [1, 5, 31, 32, 33, 64, 1000] {
        let cut = &long[..length];
        assert_eq!(same(&long, cut), Some(true), "the API returned {length} bytes of it");
        assert_eq!(same(cut, &long), Some(true), "the API returned more than was sent");
        assert_eq!(same(&long, &format!("{cut}#")), Some(false), "and one other behind {length}");
    }
    assert_eq!(same("short", "shorter still"), Some(true));
    assert_eq!(same("short", "shirt and more"), Some(false));
    assert_eq!(same(&long, &long), Some(true));
    assert_eq!(same("é", "e"), Some(false));
}

#[test]
fn other_texts_are_not_the_same() {
    let long = "x".repeat(5000);
    for (sent, returned) in [
        ("Hello", "Goodbye"),
        ("Hello", "Hallo"),
        ("0", "1"),
        (long.as_str(), &format!("{}y", &long[..4998])),
        (&format!("{}y", &long[..4999]), long.as_str()),
        ("日本", "日木"),
    ] {
        assert_eq!(same(sent, returned), Some(false), "{} {}", sent.len(), returned.len());
    }
}

#[test]
fn images_and_rows_without_content_are_not_compared() {
    assert_eq!((same("a", ""), same("a", " \u{a0}\n")), (None, None));
    let tally = join(
        &[("image_url", "https://a.example/1.png", "https://b.example/2.png"), ("text", "a", "b")],
        true,
    );
    assert_eq!((tally.content_compared, tally.content_mismatches), (1, 1));
    let tally = join(&[("text", "a", ""), ("text", "b", "")], false);
    assert_eq!((tally.content_compared, tally.content_mismatches), (0, 0));
}

/// So many rows came back, and so many of them with the text that was sent.
fn judged(
    rows: usize,
    matching: usize,
) -> (Tally, Option<moondrop_shared::results::ResultsProblem>) {
    let texts: Vec<_> = (0..rows)
        .map(|i| if i < matching { ("text", "sent", "Sent") } else { ("text", "sent", "other") })
        .collect();
    let tally = join(&texts, true);
    assert_eq!(
        (tally.content_compared, tally.content_mismatches),
        (rows as u64, (rows - matching) as u64)
    );
    let problem = judge(&tally, rows as u64, &HOLD);
    assert_eq!(
        judge(&tally, rows as u64, &Reading { content: OnOtherContent::Warn, ..HOLD }),
        None
    );
    (tally, problem)
}

#[test]
fn results_with_other_texts_are_held_from_twenty_rows_on() {
    assert_eq!(MIN_COMPARED, 20);
    assert_eq!(judged(19, 0).1, None);
    let problem = judged(20, 0).1.unwrap();
    assert_eq!(
        (problem.code, problem.line, problem.setting),
        (Code::ResultsContent, None, "RESULTS_CONTENT_CHECK=warn")
    );
    assert_eq!(
        problem.message,
        "of 20 texts that came back with the results, 0 are those that were sent, fewer than 1 in 100: is it another job's file?"
    );
    assert_eq!(judged(20, 1).1, None);
}

#[test]
fn results_are_held_if_fewer_than_one_text_in_a_hundred_matches() {
    for (rows, matching, holds) in [
        (99, 1, false),
        (100, 1, false),
        (101, 1, true),
        (200, 1, true),
        (200, 2, false),
        (201, 2, true),
    ] {
        assert_eq!(judged(rows, matching).1.is_some(), holds, "{matching} of {rows}");
    }
}

#[test]
fn the_stronger_answers_content_is_compared() {
    let mut reader = ResultsReader::new(HOLD, 1 << 20, false);
    reader.push(b"ref_id,labels,error,content\n1,,no,other\n1,[],,sent\n").unwrap();
    let (mut answers, mut tally) = (reader.finish().unwrap().answers, Tally::default());
    answers.take(b"1", Some(b"sent"), &mut tally);
    assert_eq!((tally.content_compared, tally.content_mismatches), (1, 0));
}
