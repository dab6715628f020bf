//! What must hold for any results.

use crate::files::{Whole, check_in_pieces, join, read_results, rejections};
use crate::source::{read, without_spaces};
use moondrop_shared::csv::header::RESULT_COLUMNS;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::csv::scan::Scanner;
use moondrop_shared::part::join::{Join, PartResult, Wrote, results_header};
use moondrop_shared::plan::{PartLimits, PlannedPart};
use moondrop_shared::problem::Code;
use moondrop_shared::results::labels::{is_blank, say_the_same};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{
    BlankLabels, Form, OnOtherContent, OnUnreadable, Reading, ResultsReader, judge,
};
use std::collections::HashMap;

/// The results reader: whatever came as results and however they are read, each row of the source
/// comes out once, with one outcome, and none is evaluated that the results do not say so of.
pub fn results(body: &[u8]) {
    for blank in [None, Some(BlankLabels::Missing), Some(BlankLabels::Evaluated)] {
        for content in [OnOtherContent::Hold, OnOtherContent::Warn] {
            let [hold, rows] = [OnUnreadable::Hold, OnUnreadable::Rows]
                .map(|unreadable| read_and_join(body, Reading { unreadable, blank, content }));
            assert!(
                !matches!(&rows.0, Form::Held(problem) if problem.code == Code::ResultsUnreadable)
            );
            if hold.0 == Form::Whole {
                assert_eq!(hold, rows, "a well-formed file is read alike");
                agrees(body, blank, &hold.1, &hold.2);
            }
            let lines = body.iter().filter(|&&byte| byte == b'\n').count();
            assert!(rows.1.rows.evaluated <= lines as u64, "more rows than lines below the header");
        }
    }
}

/// Joins a part with results that come in pieces meanwhile; `None` if they have a flaw.
fn join_as_they_come(
    whole: &Whole<'_>,
    part: &PlannedPart,
    (body, reading, piece): (&[u8], Reading, usize),
) -> Option<(Tally, Vec<u8>)> {
    let coming = PartResult::Coming(Box::new(ResultsReader::new(reading, usize::MAX, false)));
    let mut out = results_header(whole.header);
    let mut join =
        Join::new(whole.header.clone(), part.clone(), rejections(part, whole.rejected), coming);
    let mut pieces = body.chunks(piece.min(body.len().max(1)));
    let mut rows = join.rows(&whole.file[part.offset as usize..part.end as usize]);
    while rows.write().expect("the part reads back") != Wrote::All {
        rows.push_results(pieces.next()?).expect("there is memory for the results");
    }
    out.extend(rows.take_written());
    for piece in pieces {
        join.push_results(piece).expect("there is memory for the results");
    }
    let read = join.end_results().expect("there is memory for the results")?;
    if !read.is_flawless() {
        return None;
    }
    let (rest, mut tally) = join.finish().expect("the part reads back");
    assert!(rest.is_empty(), "a row is written twice");
    read.answers.count_rest(&mut tally);
    Some((tally, out))
}

/// The form, the tally, and the rows that go out.
type Joined = (Form, Tally, Vec<Vec<Vec<u8>>>);

fn read_and_join(body: &[u8], reading: Reading) -> Joined {
    const SOURCE: &[u8] = b"ref_id,type,content\n1,text,a\n2,text,b\n3,text,c\n";
    let (whole, pieces) = (read_results(body, reading, usize::MAX), read_results(body, reading, 1));
    assert_eq!(
        (&whole.form, whole.confirmed()),
        (&pieces.form, pieces.confirmed()),
        "the form hangs on how the bytes come in"
    );
    assert_eq!(
        (&whole.digest, whole.bytes, whole.answers.len()),
        (&pieces.digest, body.len() as u64, pieces.answers.len())
    );
    let (form, answered) = (whole.form, whole.answers.len() as u64);
    let is_unreadable = whole.answers.unreadable().is_some();
    let (checked, rejected) =
        check_in_pieces(Rules::NEWEST, SOURCE, PartLimits::default(), usize::MAX)
            .expect("the source is good");
    let [(tally, out), again] = [whole.answers, pieces.answers].map(|answers| {
        let mut out = results_header(&checked.header);
        let whole = Whole { file: SOURCE, header: &checked.header, rejected: &rejected };
        let tally = join(&whole, &checked.parts[0], PartResult::Answered(answers.into()), &mut out);
        (tally, out)
    });
    assert_eq!((&tally, &out), (&again.0, &again.1), "the answers hang on how the bytes come in");
    let rows = tally.rows;
    let whole = Whole { file: SOURCE, header: &checked.header, rejected: &rejected };
    for piece in [usize::MAX, 7, 1] {
        let joined = join_as_they_come(&whole, &checked.parts[0], (body, reading, piece));
        // A second answer for a row may come before or after the row took the first.
        let has_all =
            form == Form::Whole && !is_unreadable && (rows.missing, tally.unexpected) == (0, 0);
        assert!(joined.is_some() || !has_all || tally.duplicates > 0, "results without a flaw");
        if let Some(joined) = joined {
            assert_eq!(joined, (tally.clone(), out.clone()), "joined as they came, with a flaw");
        }
    }
    assert_eq!((rows.total(), rows.rejected), (3, 0));
    assert!(
        rows.evaluated + rows.failed + tally.unexpected <= answered,
        "each answer is used once, or unexpected"
    );
    assert!(tally.content_mismatches <= tally.content_compared && tally.content_compared <= 3);
    assert!(
        tally.conflicting <= rows.failed.min(tally.duplicates)
            && tally.blank <= rows.missing + rows.evaluated
    );
    for count in tally.labels.values() {
        assert!(count.histogram.iter().sum::<u64>() == count.rows && count.rows <= rows.evaluated);
    }
    let unrelated = judge(&tally, 3, &reading).is_some();
    let answers = rows.evaluated + rows.failed + tally.blank > 0;
    assert_eq!(
        unrelated,
        reading.unreadable == OnUnreadable::Hold && !answers,
        "too few rows to judge by their content"
    );
    let text = serde_json::to_string(&tally).expect("a tally can be recorded");
    assert_eq!(serde_json::from_str::<Tally>(&text).expect("a tally reads back"), tally);
    let out = read(&out);
    assert_eq!(out.len(), 4);
    for (row, ref_id) in out[1..].iter().zip([b"1", b"2", b"3"]) {
        assert!(row.len() == RESULT_COLUMNS.len() && row[0] == ref_id, "{row:?}");
    }
    (form, tally, out)
}

/// Whether the `csv` crate, which refuses records of another width here, finds the same answers in
/// well-formed results.
fn agrees(body: &[u8], blank: Option<BlankLabels>, tally: &Tally, out: &[Vec<Vec<u8>>]) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut scanner = Scanner::new(0, 1, true);
    let mut rows = scanner.rows(body);
    assert!(rows.next_row().expect("it is well-formed").is_some());
    let text = if rows.saw_spaces() { without_spaces(body, true) } else { body.to_vec() };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
    let mut records = reader.records().map(|record| record.expect("it is well-formed"));
    let header = records.next().expect("it has a header");
    let name =
        |name: &str| name.to_lowercase().replace(|c: char| c == '_' || c.is_whitespace(), "");
    let columns = |names: &[&str]| -> Vec<usize> {
        header
            .iter()
            .enumerate()
            .filter(|(_, n)| names.contains(&name(n).as_str()))
            .map(|(i, _)| i)
            .collect()
    };
    let (ref_ids, labels) = (columns(&["refid"]), columns(&["labels"]));
    let errors = columns(&["error", "errors", "errormessage"]);
    assert!(ref_ids.len() == 1 && labels.len() == 1 && !errors.is_empty());
    // By ref_id: the evaluations, the errors, and how many say neither.
    let mut by_ref_id: HashMap<String, (Vec<String>, Vec<String>, u64)> = HashMap::new();
    let mut count = 0;
    for record in records {
        count += 1;
        let said = by_ref_id
            .entry(record[ref_ids[0]].trim_matches(|c: char| c.is_ascii_whitespace()).to_owned())
            .or_default();
        match errors.iter().map(|&i| &record[i]).find(|error| !error.trim().is_empty()) {
            Some(error) => said.1.push(error.to_owned()),
            None if is_blank(&record[labels[0]]) => said.2 += 1,
            None => said.0.push(record[labels[0]].to_owned()),
        }
    }
    assert_eq!(tally.duplicates, count - by_ref_id.len() as u64);
    for row in &out[1..] {
        let [labels, error] = [2, 4].map(|i| std::str::from_utf8(&row[i]).expect("it is UTF-8"));
        let ref_id = std::str::from_utf8(&row[0]).expect("it is UTF-8");
        let expected = match by_ref_id.get(ref_id) {
            None => error == "missing: the API's results have no row for this ref_id",
            Some((evaluations, ..))
                if evaluations.iter().any(|e| !say_the_same(e, &evaluations[0])) =>
            {
                labels.is_empty() && error == "failed: the API gave two different answers"
            }
            Some((evaluations, ..)) if !evaluations.is_empty() => {
                labels == evaluations[0] && error.is_empty()
            }
            Some((_, errors, _)) if !errors.is_empty() => error == errors[0],
            Some(_) if blank == Some(BlankLabels::Evaluated) => {
                is_blank(labels) && error.is_empty()
            }
            Some(_) => {
                labels.is_empty()
                    && error == "missing: the API's answer has neither labels nor error"
            }
        };
        assert!(expected, "{ref_id}: {labels:?} {error:?}");
    }
}
