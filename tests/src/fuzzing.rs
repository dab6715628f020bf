//! What must hold of any bytes at all: the bodies of the fuzz targets under `fuzz/`, which the corpus also runs through on
//! stable Rust (`e2e/corpus.rs`). Each panics where a promise is broken.

use moondrop_shared::answers::Answers;
use moondrop_shared::check::{Checked, Checker, PartLimits, PlannedPart};
use moondrop_shared::csv::header::{Header, RESULT_COLUMNS};
use moondrop_shared::csv::row::UPLOAD_HEADER;
use moondrop_shared::csv::write::write_field;
use moondrop_shared::drop::Source;
use moondrop_shared::event::{Announced, AnnouncedDetail, Announcement, JobEnded};
use moondrop_shared::fault::Fault;
use moondrop_shared::join::{Fate, Join, results_header};
use moondrop_shared::keys::{self, Key};
use moondrop_shared::part::UploadEncoder;
use moondrop_shared::rejected::{REJECTED_HEADER, Rejections};
use moondrop_shared::tally::Tally;
use std::collections::HashSet;

/// Parts so small that a few lines make several.
const SMALL: PartLimits = PartLimits { rows: 2, bytes: 96 };

/// The strict check: one verdict however the bytes come in and whatever the parts' size; parts that lose and double nothing;
/// uploads of the length that was planned; results with every row, in order, as it came.
pub fn check(file: &[u8]) {
    let whole = look_twice(file, PartLimits::default(), usize::MAX);
    let (checked, rejected) = match (whole, look_twice(file, SMALL, 1)) {
        (Err(one), Err(other)) => {
            assert_eq!(one, other, "the verdict hangs on how the bytes come in");
            assert!(!one.reason.is_empty() && one.line >= 1 && one.offset <= file.len() as u64, "{one}");
            return;
        }
        (Ok((checked, rejected)), Ok(small)) => {
            assert_eq!((checked.rows, checked.rejected), (small.0.rows, small.0.rejected));
            assert_eq!((&checked.header, &rejected), (&small.0.header, &small.1), "the same decisions");
            walk(file, &checked, &rejected);
            small
        }
        (one, other) => panic!("refused or not, by the size of the pieces: {one:?} {other:?}"),
    };
    for part in &checked.parts {
        let (source, upload) = (part.end - part.offset, part.upload_bytes);
        assert!(part.rows == 1 || (part.rows <= SMALL.rows && source.max(upload) <= SMALL.bytes), "a part over its limits");
    }
    walk(file, &checked, &rejected);
}

/// As submit does: a second look where there is something to reject. With it, `rejected.csv`.
fn look_twice(file: &[u8], limits: PartLimits, piece: usize) -> Result<(Checked, Vec<u8>), Fault> {
    let first = look(file, Checker::first(limits), piece)?;
    if !first.0.needs_second_look() {
        return Ok((first.0, REJECTED_HEADER.to_vec()));
    }
    look(file, Checker::second(limits, first.0), piece)
}

fn look(file: &[u8], mut checker: Checker, piece: usize) -> Result<(Checked, Vec<u8>), Fault> {
    let mut rejected = Vec::new();
    for bytes in file.chunks(piece) {
        checker.push(bytes)?;
        rejected.extend(checker.take_rejections());
    }
    let checked = checker.finish()?;
    rejected.extend(checker.take_rejections());
    Ok((checked, rejected))
}

/// Feeds and joins every part, as submit and collect do.
fn walk(file: &[u8], checked: &Checked, rejected: &[u8]) {
    let header = Header::parse(&checked.header.line()).expect("the header in the drop's record reads back");
    assert_eq!(header, checked.header, "the header in the drop's record reads back the same");
    let (mut end, mut rejected_end) = (0, REJECTED_HEADER.len() as u64);
    let (mut ref_ids, mut tally, mut results) = (HashSet::new(), Tally::default(), results_header(&header));
    for (i, part) in checked.parts.iter().enumerate() {
        assert_eq!((part.number as usize, part.rejected_offset), (i + 1, rejected_end));
        assert!(part.offset >= end && part.end > part.offset && part.rows >= 1, "parts overlap, or are empty: {part:?}");
        (end, rejected_end) = (part.end, rejected_end + part.rejected_bytes);
        let uploaded = upload(file, &header, part, rejected);
        let mut answers = b"\xef\xbb\xbferror,labels,ref_id\n".to_vec();
        for row in &uploaded {
            assert!(ref_ids.insert(row[0].clone()), "a ref_id is sent twice");
            answers.extend_from_slice(b",\"[{\"\"label\"\":\"\"x\"\",\"\"score\"\":0.5}]\",");
            write_field(&mut answers, &row[0]);
            answers.push(b'\n');
        }
        let (answers, _) = Answers::read(answers.as_slice(), 1 << 20).expect("the answers read back");
        tally.add(&join(file, &header, part, rejected, Fate::Answered(answers), &mut results));
        let fates = [Fate::Failed("why".to_owned()), Fate::Lost("why".to_owned())];
        for (fate, lost) in fates.into_iter().zip([false, true]) {
            let rows = join(file, &header, part, rejected, fate, &mut Vec::new()).rows;
            let counted = if lost { rows.missing } else { rows.failed };
            assert_eq!((counted, rows.rejected), (part.accepted, part.rows - part.accepted));
        }
    }
    assert!(end <= file.len() as u64);
    assert_eq!(rejected_end, rejected.len() as u64, "rejected.csv is the parts' rejections");
    let rows = tally.rows;
    assert_eq!((rows.evaluated, rows.rejected), (checked.rows - checked.rejected, checked.rejected));
    assert_eq!((rows.total(), rows.missing, rows.failed), (checked.rows, 0, 0));
    assert_eq!((tally.foreign, tally.doubled, tally.unreadable_labels), (0, 0, 0));
    same_rows(file, &header, &results);
}

fn rejections(part: &PlannedPart, rejected: &[u8]) -> Rejections {
    let lines = part.rejected_offset as usize..(part.rejected_offset + part.rejected_bytes) as usize;
    Rejections::read(&rejected[lines]).expect("rejected.csv reads back")
}

/// The rows as they are sent, by the `csv` crate.
fn upload(file: &[u8], header: &Header, part: &PlannedPart, rejected: &[u8]) -> Vec<[Vec<u8>; 3]> {
    let mut encoder = UploadEncoder::new(header.clone(), part.clone(), rejections(part, rejected));
    let mut sent = Vec::new();
    for bytes in file[part.offset as usize..part.end as usize].chunks(7) {
        sent.extend(encoder.push(bytes).expect("what was checked can be sent"));
    }
    sent.extend(encoder.finish().expect("what was checked can be sent"));
    assert!(sent.len() as u64 == part.upload_bytes && sent.starts_with(UPLOAD_HEADER));
    let rows: Vec<_> = read(&sent)[1..].iter().map(|row| <[_; 3]>::try_from(row.clone()).expect("three columns")).collect();
    assert_eq!(rows.len() as u64, part.accepted);
    rows
}

fn join(file: &[u8], header: &Header, part: &PlannedPart, rejected: &[u8], fate: Fate, results: &mut Vec<u8>) -> Tally {
    let mut join = Join::new(header.clone(), part.clone(), rejections(part, rejected), fate);
    for bytes in file[part.offset as usize..part.end as usize].chunks(5) {
        results.extend(join.push(bytes).expect("what was checked can be joined"));
    }
    let (rest, tally) = join.finish().expect("what was checked can be joined");
    results.extend(rest);
    assert_eq!(tally.rows.total(), part.rows);
    tally
}

/// Every row of the source stands in the results, in its place, with its values: both read by the `csv` crate.
fn same_rows(file: &[u8], header: &Header, results: &[u8]) {
    let came = if header.skip_blanks { read(&without_blanks(file)) } else { read(file) };
    let went = read(results);
    assert_eq!(came.len(), went.len(), "rows in and rows out");
    for (i, (came, went)) in came.iter().zip(&went).enumerate() {
        assert_eq!(went.len(), RESULT_COLUMNS.len() + header.extra.len());
        let kind = |value: &[u8]| value.trim_ascii().to_vec();
        if i > 0 {
            assert_eq!((&came[header.ref_id], &came[header.content]), (&went[0], &went[3]));
            assert_eq!(kind(&came[header.kind]), kind(&went[1]));
        }
        let extra = header.extra.iter().map(|&at| &came[at]);
        assert!(extra.eq(&went[RESULT_COLUMNS.len()..]), "the extra columns of row {i}");
    }
}

fn read(csv: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(csv);
    let rows = reader.byte_records().map(|row| row.expect("it is read from memory").iter().map(<[u8]>::to_vec).collect());
    rows.collect()
}

/// The file without the blanks that follow its commas, outside of quotes.
fn without_blanks(file: &[u8]) -> Vec<u8> {
    let (mut kept, mut quoted, mut skipping) = (Vec::with_capacity(file.len()), false, false);
    for &byte in file {
        if skipping && matches!(byte, b' ' | b'\t') {
            continue;
        }
        quoted ^= byte == b'"';
        skipping = byte == b',' && !quoted;
        kept.push(byte);
    }
    kept
}

/// The results reader: whatever came as results, each row of the source comes out once, with one outcome.
pub fn results(body: &[u8]) {
    const SOURCE: &[u8] = b"ref_id,type,content\n1,text,a\n2,text,b\n3,text,c\n";
    let Ok((answers, _)) = Answers::read(body, 1 << 20) else { return };
    let answered = answers.len() as u64;
    let (checked, rejected) = look_twice(SOURCE, PartLimits::default(), usize::MAX).expect("the source is good");
    let mut out = results_header(&checked.header);
    let tally = join(SOURCE, &checked.header, &checked.parts[0], &rejected, Fate::Answered(answers), &mut out);
    let rows = tally.rows;
    assert_eq!((rows.total(), rows.rejected), (3, 0));
    assert_eq!(rows.evaluated + rows.failed + tally.foreign, answered, "each answer is used or foreign");
    for count in tally.labels.values() {
        assert!(count.histogram.iter().sum::<u64>() == count.rows && count.rows <= 3);
    }
    let text = serde_json::to_string(&tally).expect("a tally can be recorded");
    assert_eq!(serde_json::from_str::<Tally>(&text).expect("a tally reads back"), tally);
    let out = read(&out);
    assert_eq!(out.len(), 4);
    for (row, ref_id) in out[1..].iter().zip([b"1", b"2", b"3"]) {
        assert!(row.len() == RESULT_COLUMNS.len() && row[0] == ref_id, "{row:?}");
    }
}

/// The events: what is read is usable, what is not is refused without being shown.
pub fn event(body: &[u8]) {
    // As Lambda hands them over: submit's batch of messages, collect's event.
    let _ = serde_json::from_slice::<moondrop_submit::Messages>(body);
    let _ = serde_json::from_slice::<JobEnded>(body);
    let Ok(text) = std::str::from_utf8(body) else { return };
    let announced = match Announced::read(text) {
        Ok(announced) => announced,
        Err(error) => {
            let shown = format!("{error:#}");
            assert!(shown.starts_with("the message is no \"Object Created\" event: line ") && shown.len() < 100, "{shown}");
            return;
        }
    };
    let object = &announced.detail.object;
    if keys::is_drop(&object.key) {
        assert!(keys::policy_folder(&object.key).is_none_or(|folder| !folder.is_empty() && !folder.contains('/')));
    }
    let source = Source {
        bucket: announced.detail.bucket.name.clone(),
        key: object.key.clone(),
        version_id: object.version_id.clone(),
        etag: object.etag.clone().unwrap_or_default(),
        sequencer: object.sequencer.clone(),
        size: object.size.unwrap_or_default(),
    };
    let id = source.id();
    for apart in [None, Some(&id)] {
        let folder = keys::results_folder(&object.key, announced.time, apart);
        let key = Key::Rejected { folder: &folder }.to_string();
        assert!(key.len() <= 1024 && key.starts_with("results/"), "S3 would not take the key");
    }
    // Put back on the queue it is the same drop.
    let detail = Announcement::DropStalled { source }.detail();
    let again: AnnouncedDetail = serde_json::from_value(detail).expect("our own announcement reads back");
    let object = again.object;
    let (key, version_id, sequencer) = (object.key, object.version_id, object.sequencer);
    let etag = object.etag.unwrap_or_default();
    assert_eq!(
        Source { bucket: again.bucket.name, key, version_id, etag, sequencer, size: object.size.unwrap_or_default() }.id(),
        id
    );
}
