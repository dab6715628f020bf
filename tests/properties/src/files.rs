//! What must hold for any file.

use crate::source::{read, source_rows};
use bytes::Bytes;
use moondrop_shared::check::rejected::{REJECTED_HEADER, Rejections};
use moondrop_shared::check::{Checked, Checker, Refusal, Step};
use moondrop_shared::csv::header::{Header, RESULT_COLUMNS};
use moondrop_shared::csv::row::UPLOAD_HEADER;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::csv::text::trim;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::part::join::{Join, PartResult, results_header};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::{PartLimits, PlannedPart};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{Form, ReadResults, Reading, ResultsReader};
use std::collections::HashSet;

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

/// A check that is saved, and goes on in another checker, again and again finds the same.
pub fn resumed_check(file: &[u8]) {
    for rules in [Rules::One, Rules::Two] {
        let whole = check_in_pieces(rules, file, SMALL, usize::MAX);
        match (whole, check_cut_off(rules, file, file.len() / 6 + 9)) {
            (Err(one), Err(other)) => assert_eq!(one, other),
            (Ok((one, rejected)), Ok((other, lines))) => {
                assert_eq!((one.header, one.parts), (other.header, other.parts));
                assert_eq!((one.rows, one.rejected), (other.rows, other.rejected));
                assert_eq!((one.counts, one.notices), (other.counts, other.notices));
                assert!(lines == rejected, "other rejections");
            }
            (one, other) => panic!("refused or not, by where it is cut off: {one:?} {other:?}"),
        }
    }
}

fn check_cut_off(rules: Rules, file: &[u8], piece: usize) -> Result<(Checked, Vec<u8>), Refusal> {
    let (mut checker, mut segments) = (Checker::by(rules, SMALL), Vec::new());
    let (mut rejected, mut from, mut reached) = (Vec::new(), 0, 0);
    loop {
        while reached < file.len() {
            reached = file.len().min(reached + piece);
            rejected.extend(checker.push(&file[from..reached])?);
            from = reached;
            let Some(state) = checker.state() else { continue };
            segments.extend(checker.unsaved());
            let (place, state) = (state.place, serde_json::to_vec(&state).unwrap());
            let state = serde_json::from_slice(&state).expect("what is saved reads back");
            checker = Checker::resume(state, rules, SMALL, None).unwrap().expect("the same rules");
            for segment in &segments {
                checker.restore(segment.kind, &segment.bytes).unwrap();
            }
            checker.mark_saved();
            assert_eq!((checker.place(), checker.unsaved().count()), (Some(place), 0));
            // The beginning of a row that has not ended is read again.
            from = place.offset as usize;
        }
        rejected.extend(checker.push(&file[from..])?);
        let (last, step) = checker.finish()?;
        rejected.extend(last);
        match step {
            Step::Done(checked) if rejected.is_empty() => {
                return Ok((checked, REJECTED_HEADER.to_vec()));
            }
            Step::Done(checked) => return Ok((checked, rejected)),
            Step::ReadAgain(second) => {
                (checker, from, reached) = (*second, 0, 0);
                segments.clear();
            }
        }
    }
}

/// Checks a file as submit does, as often as the checker asks for. With it, `rejected.csv`.
pub(crate) fn check_in_pieces(
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
        tally.add(&join(&whole, part, PartResult::Answered(read.answers.into()), &mut results));
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
pub(crate) struct Whole<'a> {
    pub(crate) file: &'a [u8],
    pub(crate) header: &'a Header,
    /// Its `rejected.csv`.
    pub(crate) rejected: &'a [u8],
}

pub(crate) fn rejections(part: &PlannedPart, rejected: &[u8]) -> Rejections {
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

pub(crate) fn join(
    whole: &Whole<'_>,
    part: &PlannedPart,
    result: PartResult,
    results: &mut Vec<u8>,
) -> Tally {
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

pub(crate) fn read_results(body: &[u8], reading: Reading, piece: usize) -> ReadResults {
    let mut reader = ResultsReader::new(reading, 1 << 24, false);
    body.chunks(piece).for_each(|bytes| reader.push(bytes).expect("there is memory for it"));
    reader.finish().expect("there is memory for it")
}
