//! All errors of a file at once: listed up to a thousand, and counted by code.

use crate::support;
use moondrop_shared::check::rejected::refusal_lines;
use moondrop_shared::check::{MOST_ERRORS, Refusal, most_frequent};
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::Code;

fn refusal(file: &str) -> Refusal {
    let check = |rules, piece| {
        support::check_by(rules, file.as_bytes(), piece, PartLimits::default()).unwrap_err()
    };
    let whole = check(Rules::Two, usize::MAX);
    assert_eq!(check(Rules::Two, 7), whole);
    let first = check(Rules::One, usize::MAX);
    assert_eq!(first.errors.len(), 1, "the first rules end at the first error");
    whole
}

fn lines(refusal: &Refusal) -> Vec<String> {
    let text = String::from_utf8(refusal_lines(refusal)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn every_error_of_a_file_is_listed_and_the_first_of_a_code_says_how_many() {
    let refusal = refusal("ref_id,type,content\n1,text\n2,x,a\n3,text,b,\n4,text,c\n,,\n");
    assert_eq!((refusal.error.code, refusal.error.line), (Code::Fields, 2));
    let short =
        "the row has 2 fields, the header 3: write a comma for each field, also for an empty one";
    let expected = [
        format!("2,20,,E_FIELDS,\"{short} (the first of 2 errors E_FIELDS)\""),
        "3,27,,E_TYPE,`type` is neither `text` nor `image_url`".to_owned(),
        "4,33,,E_FIELDS,\"the row has 4 fields, the header 3: the last field is empty; remove the comma at the end of the row\"".to_owned(),
        "6,52,,E_REF_ID,`ref_id` is empty".to_owned(),
    ];
    assert_eq!(lines(&refusal), expected);
    let message =
        format!("{short}. In all 2 E_FIELDS, 1 E_REF_ID, 1 E_TYPE; rejected.csv lists them");
    assert_eq!(refusal.message(), message);
}

#[test]
fn a_thousand_errors_are_listed_those_of_the_file_first_and_all_are_counted() {
    let rows: String = (0..1500).map(|i| format!("{i},x,a\n{i},text\n")).collect();
    let refusal = refusal(&format!("ref_id,type,content\n{rows}"));
    assert_eq!(refusal.errors.len(), MOST_ERRORS);
    assert!(refusal.errors.iter().all(|error| error.code == Code::Fields));
    assert_eq!(refusal.counts.values().sum::<u64>(), 3000);
    let message = refusal.message();
    assert!(message.ends_with("; rejected.csv lists the first 1000"), "{message}");
    assert!(lines(&refusal)[0].ends_with("(the first of 1500 errors E_FIELDS)\""));
    let few: String = (0..600).map(|i| format!("{i},x,a\n")).collect();
    let refusal = self::refusal(&format!("ref_id,type,content\n1\n{few}{few}"));
    assert_eq!((refusal.errors.len(), refusal.counts[&Code::Type]), (MOST_ERRORS, 1200));
    assert_eq!((refusal.errors[0].code, refusal.errors[1].code), (Code::Fields, Code::Type));
}

#[test]
fn only_a_quote_that_loses_the_structure_ends_the_check() {
    let refusal = refusal("ref_id,type,content\n1,text\n2,text,\"a\n3,text,b\n4\n");
    let places: Vec<_> = refusal.errors.iter().map(|error| (error.code, error.line)).collect();
    assert_eq!(places, [(Code::Fields, 2), (Code::Quote, 3)]);
}

#[test]
fn a_quote_within_plain_text_does_not_end_the_check() {
    let refusal = refusal(
        "ref_id,type,content\n1,text,5\" nails\n2,text,7\" by 9\"\n3,text\n4,text,a\n5,text,6\"",
    );
    let places: Vec<_> = refusal.errors.iter().map(|error| (error.code, error.line)).collect();
    assert_eq!(places, [(Code::Quote, 2), (Code::Quote, 3), (Code::Fields, 4), (Code::Quote, 6)]);
}

#[test]
fn the_cause_of_a_headers_error_waits_for_the_text_that_names_it() {
    let rows = "{\"ref_id\":\"1\"}\n".repeat(1000);
    let refusal = self::refusal(&rows);
    assert!(refusal.error.message.starts_with("the file is JSON Lines"), "{refusal}");
    let refusal = self::refusal(&format!("ref_id;type;content\n{}", "1;text;a\n".repeat(1000)));
    assert!(refusal.error.message.contains("separated by semicolons"), "{refusal}");
}

#[test]
fn the_most_frequent_code_is_found() {
    let file = b"ref_id,type,content\n1,Text,a\n2,Text,b\n,text,c\n";
    let taken = support::check(file, 7, PartLimits::default()).unwrap();
    assert_eq!(most_frequent(&taken.checked.counts), Some((Code::Type, 2)));
    assert_eq!(most_frequent(&moondrop_shared::check::Counts::new()), None);
}

#[test]
fn a_notice_lists_its_first_ten_lines_and_counts_all() {
    let file = format!("ref_id,type,content\n1,text,a\n{}2,text,b\n", " \n".repeat(25));
    let taken = support::check(file.as_bytes(), 7, PartLimits::default()).unwrap();
    let [notice] = &taken.checked.notices[..] else { panic!("{:?}", taken.checked.notices) };
    assert_eq!((notice.code.as_str(), notice.count), ("N_BLANK_LINES", 25));
    assert_eq!(notice.lines, (3..13).collect::<Vec<u64>>());
    let json = serde_json::to_value(notice).unwrap();
    let message = "lines of spaces or tabs are skipped";
    let lines = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let expected = serde_json::json!({"code": "N_BLANK_LINES", "message": message, "count": 25, "lines": lines});
    assert_eq!(json, expected);
}
