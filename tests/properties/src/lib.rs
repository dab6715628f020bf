//! What must hold for any bytes at all: the bodies of the fuzz targets under `tests/fuzz`, which
//! the corpus also runs through on stable Rust. Each panics where a promise is broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod source;

pub use events::event;
use source::{read, source_rows, without_spaces};

use bytes::Bytes;
use moondrop_shared::check::rejected::{REJECTED_HEADER, Rejections};
use moondrop_shared::check::{Checked, Checker, Refusal, Step};
use moondrop_shared::csv::header::{Header, RESULT_COLUMNS};
use moondrop_shared::csv::row::UPLOAD_HEADER;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::csv::scan::Scanner;
use moondrop_shared::csv::text::trim;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::part::join::{Join, PartResult, results_header};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::{PartLimits, PlannedPart};
use moondrop_shared::problem::Code;
use moondrop_shared::results::labels::{is_blank, say_the_same};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{
    BlankLabels, Form, OnOtherContent, OnUnreadable, ReadResults, Reading, ResultsReader, judge,
};
use std::collections::{HashMap, HashSet};

/// Parts so small that a few lines make several.
const SMALL: PartLimits = PartLimits { rows: 2, bytes: 96 };

/// The strict check by all rules: one verdict however the bytes come in and whatever the parts' size;
/// parts that lose and double nothing; uploads of the length that was planned; results with every
/// row, in order, as it came.
pub fn check(file: &[u8]) {
    [Rules::One, Rules::Two].into_iter().for_each(|rules| check_by(rules, file));
}

fn check_by(rules: Rules, file: &[u8]) {
    let whole = check_in_pieces(rules, file, PartLimits::default(), usize::MAX);
    let (checked, rejected) = match (whole, check_in_pieces(rules, file, SMALL, 1)) {
        (Err(one), Err(other)) => {
            assert_eq!(one, other, "the verdict hangs on how the bytes come in");
            assert_eq!(one.counts.values().sum::<u64>(), one.errors.len() as u64);
            for error in &one.errors {
                assert!(
                    !error.message.is_empty()
                        && error.line >= 1
                        && error.offset <= file.len() as u64,
                    "{error}"
                );
            }
            return;
        }
        (Ok((checked, rejected)), Ok(small)) => {
            assert_eq!((checked.rows, checked.rejected), (small.0.rows, small.0.rejected));
            assert_eq!(
                (&checked.header, &rejected, &checked.notices),
                (&small.0.header, &small.1, &small.0.notices),
                "the same decisions"
            );
            walk(file, &checked, &rejected);
            small
        }
        (one, other) => panic!("refused or not, by the size of the pieces: {one:?} {other:?}"),
    };
    for part in &checked.parts {
        let (source, upload) = (part.end - part.offset, part.upload_bytes);
        assert!(
            part.rows == 1 || (part.rows <= SMALL.rows && source.max(upload) <= SMALL.bytes),
            "a part over its limits"
        );
    }
    walk(file, &checked, &rejected);
}

/// Checks a file as submit does, as often as the checker asks for. With it, `rejected.csv`.
fn check_in_pieces(
    rules: Rules,
    file: &[u8],
    limits: PartLimits,
    piece: usize,
) -> Result<(Checked, Vec<u8>), Refusal> {
    let mut checker = Checker::by(rules, limits);
    let mut rejected = Vec::new();
    loop {
        for bytes in file.chunks(piece) {
            rejected.extend(checker.push(bytes)?);
        }
        let (last, step) = checker.finish()?;
        rejected.extend(last);
        match step {
            Step::ReadAgain(second) => checker = *second,
            Step::Done(checked) if rejected.is_empty() => {
                return Ok((checked, REJECTED_HEADER.to_vec()));
            }
            Step::Done(checked) => return Ok((checked, rejected)),
        }
    }
}

/// Feeds and joins every part, as submit and collect do.
fn walk(file: &[u8], checked: &Checked, rejected: &[u8]) {
    let header = Header::parse(&checked.header.line(), checked.header.rules)
        .expect("the header in the drop's record reads back");
    assert_eq!(header, checked.header, "the header in the drop's record reads back the same");
    let whole = Whole { file, header: &header, rejected };
    let (mut end, mut rejected_end) = (0, REJECTED_HEADER.len() as u64);
    let (mut ref_ids, mut tally, mut results) =
        (HashSet::new(), Tally::default(), results_header(&header));
    for (i, part) in checked.parts.iter().enumerate() {
        assert_eq!((part.number as usize, part.rejected_offset), (i + 1, rejected_end));
        assert!(
            part.offset >= end && part.end > part.offset && part.rows >= 1,
            "parts overlap, or are empty: {part:?}"
        );
        (end, rejected_end) = (part.end, rejected_end + part.rejected_bytes);
        let uploaded = upload(&whole, part);
        let mut answers = b"\xef\xbb\xbferror,labels,ref_id\n".to_vec();
        for row in &uploaded {
            assert!(ref_ids.insert(row[0].clone()), "a ref_id is sent twice");
            answers.extend_from_slice(b",\"[{\"\"label\"\":\"\"x\"\",\"\"score\"\":0.5}]\",");
            write_field(&mut answers, &row[0]);
            answers.push(b'\n');
        }
        let read = read_results(&answers, Reading::default(), usize::MAX);
        assert_eq!(read.form, Form::Whole, "the answers read back");
        tally.add(&join(&whole, part, PartResult::Answered(read.answers), &mut results));
        let fates = [PartResult::Failed("why".to_owned()), PartResult::Lost("why".to_owned())];
        for (fate, lost) in fates.into_iter().zip([false, true]) {
            let rows = join(&whole, part, fate, &mut Vec::new()).rows;
            let counted = if lost { rows.missing } else { rows.failed };
            assert_eq!((counted, rows.rejected), (part.accepted, part.rows - part.accepted));
        }
    }
    assert!(end <= file.len() as u64);
    assert_eq!(rejected_end, rejected.len() as u64, "rejected.csv is the parts' rejections");
    let rows = tally.rows;
    assert_eq!(
        (rows.evaluated, rows.rejected),
        (checked.rows - checked.rejected, checked.rejected)
    );
    assert_eq!((rows.total(), rows.missing, rows.failed), (checked.rows, 0, 0));
    assert_eq!((tally.unexpected, tally.duplicates, tally.unreadable_labels), (0, 0, 0));
    same_rows(file, &header, &results);
}

/// A file that was checked.
struct Whole<'a> {
    file: &'a [u8],
    header: &'a Header,
    /// Its `rejected.csv`.
    rejected: &'a [u8],
}

fn rejections(part: &PlannedPart, rejected: &[u8]) -> Rejections {
    let lines =
        part.rejected_offset as usize..(part.rejected_offset + part.rejected_bytes) as usize;
    Rejections::read(&rejected[lines]).expect("rejected.csv reads back")
}

/// The rows as they are sent, by the `csv` crate.
fn upload(whole: &Whole<'_>, part: &PlannedPart) -> Vec<[Vec<u8>; 3]> {
    let Whole { file, header, rejected } = *whole;
    let mut encoder = UploadEncoder::new(header.clone(), part.clone(), rejections(part, rejected));
    let mut sent = Vec::new();
    for bytes in file[part.offset as usize..part.end as usize].chunks(7) {
        let pieces = encoder.push(&Bytes::copy_from_slice(bytes));
        pieces
            .expect("what was checked can be sent")
            .iter()
            .for_each(|piece| sent.extend_from_slice(piece));
    }
    sent.extend_from_slice(&encoder.finish().expect("what was checked can be sent"));
    assert!(sent.len() as u64 == part.upload_bytes && sent.starts_with(UPLOAD_HEADER));
    let rows: Vec<_> = read(&sent)[1..]
        .iter()
        .map(|row| <[_; 3]>::try_from(row.clone()).expect("three columns"))
        .collect();
    assert_eq!(rows.len() as u64, part.accepted);
    rows
}

fn join(whole: &Whole<'_>, part: &PlannedPart, result: PartResult, results: &mut Vec<u8>) -> Tally {
    let Whole { file, header, rejected } = *whole;
    let mut join = Join::new(header.clone(), part.clone(), rejections(part, rejected), result);
    for bytes in file[part.offset as usize..part.end as usize].chunks(5) {
        results.extend(join.push(bytes).expect("what was checked can be joined"));
    }
    let (rest, tally) = join.finish().expect("what was checked can be joined");
    results.extend(rest);
    assert_eq!(tally.rows.total(), part.rows);
    tally
}

/// Every row of the source stands in the results, in its place, with its values: both read by the
/// `csv` crate.
fn same_rows(file: &[u8], header: &Header, results: &[u8]) {
    let came = source_rows(file, header);
    let went = read(results);
    assert_eq!(came.len(), went.len(), "rows in and rows out");
    for (i, (came, went)) in came.iter().zip(&went).enumerate() {
        assert_eq!(went.len(), RESULT_COLUMNS.len() + header.extra.len());
        let kind = |value: &[u8]| trim(&String::from_utf8_lossy(value)).to_owned();
        if i > 0 {
            assert_eq!(
                (&came[header.ref_id.column().unwrap_or_default()], &came[header.content]),
                (&went[0], &went[3])
            );
            assert_eq!(kind(&came[header.kind.column().unwrap_or_default()]), kind(&went[1]));
        }
        // The spaces before a name are no part of it.
        let extra = header.extra.iter().map(|&at| &came[at]);
        assert!(extra.eq(&went[RESULT_COLUMNS.len()..]), "the extra columns of row {i}");
    }
}

fn read_results(body: &[u8], reading: Reading, piece: usize) -> ReadResults {
    let mut reader = ResultsReader::new(reading, 1 << 24, false);
    body.chunks(piece).for_each(|bytes| reader.push(bytes).expect("there is memory for it"));
    reader.finish().expect("there is memory for it")
}

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
    let (checked, rejected) =
        check_in_pieces(Rules::NEWEST, SOURCE, PartLimits::default(), usize::MAX)
            .expect("the source is good");
    let [(tally, out), again] = [whole.answers, pieces.answers].map(|answers| {
        let mut out = results_header(&checked.header);
        let whole = Whole { file: SOURCE, header: &checked.header, rejected: &rejected };
        let tally = join(&whole, &checked.parts[0], PartResult::Answered(answers), &mut out);
        (tally, out)
    });
    assert_eq!((&tally, &out), (&again.0, &again.1), "the answers hang on how the bytes come in");
    let rows = tally.rows;
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
