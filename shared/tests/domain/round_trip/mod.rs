//! The way of a file through Moondrop: checked, split into parts, encoded for upload, answered in
//! any order, joined. Whatever the rows, the rules, the limits and the pieces the bytes come in, every
//! row comes out once, in its place, as it stood.

mod files;

use crate::support;
use crate::support::RejectedRow;
use files::{ERROR, FAILED, File, LABELS, LOST, Post, Reply, Style, file, quoted};
use moondrop_shared::csv::header::Header;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::part::join::{Join, PartResult, results_header};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::results::tally::Tally;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The rows that an upload, read by someone else, consists of.
fn upload_rows(upload: &[u8]) -> Vec<[String; 3]> {
    let mut reader = csv::Reader::from_reader(upload);
    assert_eq!(reader.headers().unwrap(), vec!["ref_id", "type", "content"]);
    reader
        .records()
        .map(|r| r.unwrap())
        .map(|r| [r[0].to_owned(), r[1].to_owned(), r[2].to_owned()])
        .collect()
}

fn join(file: &File, mut join: Join, source: &[u8]) -> (Vec<u8>, Tally) {
    let mut results = Vec::new();
    source.chunks(file.chunk).for_each(|bytes| results.extend(join.push(bytes).unwrap()));
    let (rest, tally) = join.finish().unwrap();
    results.extend(rest);
    (results, tally)
}

/// What the results should be, put together row by row.
#[derive(Default)]
struct Wanted {
    results: Vec<u8>,
    tally: Tally,
}

impl Wanted {
    /// Adds a row: its outcome, labels and error, and the source's fields as they stand there.
    fn add(&mut self, style: Style, post: &Post, (rejection, job): (Option<&RejectedRow>, u8)) {
        let rows = &mut self.tally.rows;
        let (count, labels, error) = match (rejection, job, post.answer) {
            (Some(r), ..) => {
                (&mut rows.rejected, "", format!("rejected: {} {}", r.code, r.message))
            }
            (None, FAILED, _) => (&mut rows.failed, "", "failed: the job was cancelled".to_owned()),
            (None, LOST, _) => {
                (&mut rows.missing, "", "missing: the API does not know the job".to_owned())
            }
            (None, _, Reply::Labels) => (&mut rows.evaluated, LABELS, String::new()),
            (None, _, Reply::Error) => (&mut rows.failed, "", ERROR.to_owned()),
            (None, _, Reply::Silence) => (
                &mut rows.missing,
                "",
                "missing: the API's results have no row for this ref_id".to_owned(),
            ),
        };
        *count += 1;
        let answered =
            rejection.is_none() && job != FAILED && job != LOST && post.answer != Reply::Silence;
        self.tally.content_compared += u64::from(answered && post.kind.trim() == "text");
        let raw = post.raw(style);
        let kind = if rejection.is_some() { &raw[2] } else { post.kind.trim() };
        let (labels, error) = (quoted(labels, false, " \t"), quoted(&error, false, " \t"));
        let line = format!("{},{kind},{labels},{},{error},{},{}\n", raw[3], raw[0], raw[1], raw[4]);
        self.results.extend(line.into_bytes());
    }
}

fn process(file: &File) {
    let (source, verdicts) = (file.bytes(), file.verdicts());
    if matches!(file.style, Style::Needed | Style::Always) {
        assert_eq!(source, file.by_csv_crate(), "the file is what the csv crate writes");
    }
    let taken = support::check_by(file.rules, &source, file.chunk, file.limits).unwrap();
    assert_eq!(taken.checked.rows, file.posts.len() as u64);
    let listed = taken.rejected();
    let rejected =
        file.posts.iter().zip(&verdicts).filter_map(|(p, v)| Some((p.ref_id.as_str(), (*v)?)));
    assert!(listed.iter().map(|r| (r.ref_id.as_str(), r.code.as_str())).eq(rejected), "{listed:?}");

    // Whoever carries on knows the header only as the drop's record keeps it.
    let header = Header::parse(&taken.checked.header.line(), file.rules).unwrap();
    assert_eq!(header, taken.checked.header);
    assert_eq!(header.has_bom, file.mark && file.rules == Rules::Two);
    let (mut results, mut tally) = (results_header(&header), Tally::default());
    let mut wanted = Wanted { results: results.clone(), ..Wanted::default() };
    let mut posts = file.posts.iter().zip(&verdicts);
    let (mut listed, mut at) = (listed.iter(), 0);
    for (part, job) in taken.checked.parts.iter().zip(file.jobs.iter().cycle()) {
        assert!(at <= part.offset && part.offset < part.end, "parts do not overlap");
        assert!(
            part.rows == 1
                || part.end - part.offset <= file.limits.bytes
                    && part.upload_bytes <= file.limits.bytes
        );
        assert!(part.rows <= file.limits.rows);
        at = part.end;
        let bytes = &source[part.offset as usize..part.end as usize];
        let rows: Vec<_> = posts.by_ref().take(part.rows as usize).collect();

        let mut encoder = UploadEncoder::new(header.clone(), part.clone(), taken.rejections(part));
        let upload = support::encode(&mut encoder, bytes, file.chunk);
        assert_eq!(upload.len() as u64, part.upload_bytes);
        let upload = upload_rows(&upload);
        let sent = rows.iter().filter(|(_, verdict)| verdict.is_none());
        let sent =
            sent.map(|(p, _)| [p.id(file.rules), p.kind.trim().to_owned(), p.content.clone()]);
        assert_eq!(upload, sent.collect::<Vec<_>>());

        let fate = match *job {
            FAILED => PartResult::Failed("the job was cancelled".to_owned()),
            LOST => PartResult::Lost("the API does not know the job".to_owned()),
            _ => PartResult::Answered(support::answers(&file.answers(&upload)).into()),
        };
        if let PartResult::Answered(answers) = &fate {
            wanted.tally.unexpected += 1;
            wanted.tally.duplicates += u64::from(answers.len() > 1);
        }
        let (joined, counted) = join(
            file,
            Join::new(header.clone(), part.clone(), taken.rejections(part), fate),
            bytes,
        );
        assert_eq!(counted.rows.total(), part.rows);
        results.extend(joined);
        tally.add(&counted);
        for (post, verdict) in rows {
            let rejection = verdict.map(|_| listed.next().unwrap());
            wanted.add(file.style, post, (rejection, *job));
        }
    }
    assert!(posts.next().is_none(), "every row is in a part");
    same_values(file, &results);
    assert_eq!(String::from_utf8(results), String::from_utf8(wanted.results));
    assert_eq!(tally.rows.total(), file.posts.len() as u64);
    assert_eq!(tally.labels.get("spam").map_or(0, |l| l.histogram[3]), tally.rows.evaluated);
    assert_eq!(Tally { labels: wanted.tally.labels.clone(), ..tally }, wanted.tally);
}

/// Read by someone else, the results have one row for each of the source's, in order, with all its
/// values.
fn same_values(file: &File, results: &[u8]) {
    // Most readers take a mark away.
    let results = results.strip_prefix("\u{feff}".as_bytes()).unwrap_or(results);
    let mut reader = csv::Reader::from_reader(results);
    let columns = ["ref_id", "type", "labels", "content", "error", "note", "again, \"note\""];
    assert_eq!(reader.headers().unwrap(), columns.to_vec());
    let rows: Vec<_> = reader.records().map(|r| r.unwrap()).collect();
    assert_eq!(rows.len(), file.posts.len());
    for (row, post) in rows.iter().zip(&file.posts) {
        let values = [&row[3], &row[5], row[1].trim(), &row[0], &row[6]];
        assert_eq!(values, [&post.content, &post.note, post.kind.trim(), &post.ref_id, &post.note]);
    }
}

#[test]
fn every_row_comes_out_once_in_its_place_with_what_became_of_it() {
    // Always the same files.
    let config = Config { cases: 1500, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(&file(), |file| {
            process(&file);
            Ok(())
        })
        .unwrap();
}
