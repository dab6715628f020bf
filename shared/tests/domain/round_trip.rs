//! The way of a file through Moondrop: checked, split into parts, encoded for upload, answered in
//! any order, joined. Whatever the rows, the limits and the pieces the bytes come in, every row
//! comes out once, in its place, as it stood.

use crate::support;
use crate::support::RejectedRow;
use moondrop_shared::csv::header::Header;
use moondrop_shared::part::join::{Join, PartResult, results_header};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::PartLimits;
use moondrop_shared::results::tally::Tally;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{HashMap, HashSet};

/// A row as its author thinks of it.
#[derive(Debug, Clone)]
struct Post {
    ref_id: String,
    kind: &'static str,
    content: String,
    note: String,
    /// What the API will make of it.
    answer: Reply,
    /// Whether each field is quoted without need, where the style leaves it open.
    quotes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Labels,
    Error,
    Silence,
}

const FAILED: u8 = 2;
const LOST: u8 = 3;

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As the `csv` crate writes it, with quotes where they are needed.
    Needed,
    /// As the `csv` crate writes it, all in quotes.
    Always,
    /// Each field in its own way.
    Mixed,
    /// With blanks after the commas, as in the vendor's sample.
    Vendor,
}

#[derive(Debug, Clone)]
struct File {
    posts: Vec<Post>,
    style: Style,
    newline: &'static str,
    mark: bool,
    limits: PartLimits,
    chunk: usize,
    /// What becomes of each part's job: [`FAILED`], [`LOST`], or else it completes.
    jobs: Vec<u8>,
    order: Vec<Index>,
}

/// Any text without NUL, as people and programs write it.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "bc", " ", "\t", ",", "\"", "\"\"", "\n", "\r\n", "\r", "é", "日本", "😀", "\u{feff}",
        ";", "#", "\\", "'", "=1",
    ];
    vec(select(pieces.to_vec()), 0..6).prop_map(|pieces| pieces.concat())
}

fn post() -> impl Strategy<Value = Post> {
    // Few enough that some are duplicates.
    let ref_id = prop_oneof![6 => "[a-z0-9]{3}", 2 => text(), 1 => "[ab]"];
    let kind = prop_oneof![8 => Just("text"), 1 => Just("image_url"), 1 => Just(" text "), 1 => Just("video")];
    let answer = select(vec![Reply::Labels, Reply::Labels, Reply::Error, Reply::Silence]);
    let content = prop_oneof![4 => text(), 1 => Just("https://a.example/b.jpg?c=1,2".to_owned())];
    (ref_id, kind, content, text(), answer, any::<u8>()).prop_map(
        |(ref_id, kind, content, note, answer, quotes)| Post {
            ref_id,
            kind,
            content,
            note,
            answer,
            quotes,
        },
    )
}

fn file() -> impl Strategy<Value = File> {
    let style = select(vec![Style::Needed, Style::Always, Style::Mixed, Style::Vendor]);
    let limits = (1..9_u64, 1..400_u64).prop_map(|(rows, bytes)| PartLimits { rows, bytes });
    let (jobs, order) = (vec(0..4_u8, 30), vec(any::<Index>(), 30));
    (
        vec(post(), 1..30),
        style,
        select(vec!["\n", "\r\n"]),
        any::<bool>(),
        limits,
        1..60_usize,
        jobs,
        order,
    )
        .prop_map(|(posts, style, newline, mark, limits, chunk, jobs, order)| File {
            posts,
            style,
            newline,
            mark,
            limits,
            chunk,
            jobs,
            order,
        })
}

/// The order of the columns in the files; the last one's name needs quotes.
const COLUMNS: [&str; 5] = ["content", "note", "type", "ref_id", "again, \"note\""];

impl Post {
    fn values(&self) -> [&str; 5] {
        [&self.content, &self.note, self.kind, &self.ref_id, &self.note]
    }

    /// The fields as they stand in the file.
    fn raw(&self, style: Style) -> Vec<String> {
        let always = |i: usize| {
            style == Style::Always || (style == Style::Mixed && self.quotes >> i & 1 == 1)
        };
        let ends = if style == Style::Vendor { " \t" } else { "" };
        self.values().iter().enumerate().map(|(i, value)| quoted(value, always(i), ends)).collect()
    }

    /// The identifier as it is sent: without blanks at its ends.
    fn id(&self) -> String {
        self.ref_id.trim_matches(|c: char| c.is_ascii_whitespace()).to_owned()
    }

    fn is_blank(text: &str) -> bool {
        text.bytes().all(|b| b.is_ascii_whitespace())
    }

    /// The code it is rejected with by itself.
    fn fault(&self) -> Option<&'static str> {
        match self.kind.trim() {
            _ if Post::is_blank(&self.ref_id) => Some("E_REF_ID"),
            "video" => Some("E_TYPE"),
            _ if Post::is_blank(&self.content) => Some("E_CONTENT"),
            "image_url" if !self.content.starts_with("https://") => Some("E_CONTENT"),
            _ => None,
        }
    }
}

/// A field in quotes if it needs them: for what CSV demands, or for one of `ends` at either end.
fn quoted(value: &str, always: bool, ends: &str) -> String {
    let blank_end = value.chars().next().is_some_and(|c| ends.contains(c))
        || value.chars().last().is_some_and(|c| ends.contains(c));
    let needed = value.contains([',', '"', '\n', '\r']) || blank_end;
    if always || needed { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let header: Vec<_> =
            COLUMNS.iter().map(|name| quoted(name, self.style == Style::Always, "")).collect();
        let rows = self.posts.iter().map(|post| post.raw(self.style));
        let comma = if self.style == Style::Vendor { ", " } else { "," };
        let lines =
            std::iter::once(header).chain(rows).map(|fields| fields.join(comma) + self.newline);
        std::iter::once(if self.mark { "\u{feff}" } else { "" }.to_owned())
            .chain(lines)
            .collect::<String>()
            .into_bytes()
    }

    /// The same rows as the `csv` crate writes them.
    fn by_csv_crate(&self) -> Vec<u8> {
        let style = if self.style == Style::Always {
            csv::QuoteStyle::Always
        } else {
            csv::QuoteStyle::Necessary
        };
        let end =
            if self.newline == "\n" { csv::Terminator::Any(b'\n') } else { csv::Terminator::CRLF };
        let mut writer =
            csv::WriterBuilder::new().quote_style(style).terminator(end).from_writer(Vec::new());
        writer.write_record(COLUMNS).unwrap();
        self.posts.iter().for_each(|post| writer.write_record(post.values()).unwrap());
        [if self.mark { "\u{feff}".as_bytes() } else { b"" }, &writer.into_inner().unwrap()]
            .concat()
    }

    /// Each row's code if it is rejected, as a reader of the rules would say.
    fn verdicts(&self) -> Vec<Option<&'static str>> {
        let mut seen = HashSet::new();
        let verdict =
            |post: &Post| post.fault().or_else(|| (!seen.insert(post.id())).then_some("E_REF_ID"));
        self.posts.iter().map(verdict).collect()
    }

    /// The API's results for an upload: shuffled, with silences, a stranger and a second answer.
    fn answers(&self, upload: &[[String; 3]]) -> Vec<u8> {
        let replies: HashMap<_, _> = self
            .posts
            .iter()
            .rev()
            .filter(|p| p.fault().is_none())
            .map(|p| (p.id(), p.answer))
            .collect();
        let mut rows: Vec<[&str; 5]> = Vec::new();
        for [ref_id, kind, content] in upload {
            let (labels, error) = match replies[ref_id] {
                Reply::Labels => (LABELS, ""),
                Reply::Error => ("", ERROR),
                Reply::Silence => continue,
            };
            rows.insert(
                self.order[rows.len() % self.order.len()].index(rows.len() + 1),
                [ref_id, kind, labels, content, error],
            );
        }
        if let Some(second) = rows.first().copied() {
            rows.push([second[0], second[1], "", second[3], "a second answer"]);
        }
        rows.push(["no row's own", "text", LABELS, "who?", ""]);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["ref_id", "type", "labels", "content", "error"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    }
}

const LABELS: &str = r#"[{"label":"spam","score":0.35}]"#;
const ERROR: &str = "too long, said the \"API\" ";

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

fn encode(file: &File, mut encoder: UploadEncoder, source: &[u8]) -> Vec<u8> {
    let mut upload = Vec::new();
    source.chunks(file.chunk).for_each(|bytes| upload.extend(encoder.push(bytes).unwrap()));
    upload.extend(encoder.finish().unwrap());
    upload
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
    let taken = support::check(&source, file.chunk, file.limits).unwrap();
    assert_eq!(taken.checked.rows, file.posts.len() as u64);
    let listed = taken.rejected();
    let rejected =
        file.posts.iter().zip(&verdicts).filter_map(|(p, v)| Some((p.ref_id.as_str(), (*v)?)));
    assert!(listed.iter().map(|r| (r.ref_id.as_str(), r.code.as_str())).eq(rejected), "{listed:?}");

    // Whoever carries on knows the header only as the drop's record keeps it.
    let header = Header::parse(&taken.checked.header.line(), taken.checked.header.rules).unwrap();
    assert_eq!(header, taken.checked.header);
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

        let encoder = UploadEncoder::new(header.clone(), part.clone(), taken.rejections(part));
        let upload = encode(file, encoder, bytes);
        assert_eq!(upload.len() as u64, part.upload_bytes);
        let upload = upload_rows(&upload);
        let sent = rows.iter().filter(|(_, verdict)| verdict.is_none());
        let sent = sent.map(|(p, _)| [p.id(), p.kind.trim().to_owned(), p.content.clone()]);
        assert_eq!(upload, sent.collect::<Vec<_>>());

        let fate = match *job {
            FAILED => PartResult::Failed("the job was cancelled".to_owned()),
            LOST => PartResult::Lost("the API does not know the job".to_owned()),
            _ => PartResult::Answered(support::answers(&file.answers(&upload))),
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
