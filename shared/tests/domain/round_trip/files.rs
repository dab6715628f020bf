//! Files as people and programs write them.

use moondrop_shared::csv::rules::Rules;
use moondrop_shared::csv::text::trim;
use moondrop_shared::plan::PartLimits;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::{HashMap, HashSet};

/// A row as its author thinks of it.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) ref_id: String,
    pub(super) kind: &'static str,
    pub(super) content: String,
    pub(super) note: String,
    /// What the API will make of it.
    pub(super) answer: Reply,
    /// Whether each field is quoted without need, where the style leaves it open.
    quotes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Labels,
    Error,
    Silence,
}

pub(super) const FAILED: u8 = 2;
pub(super) const LOST: u8 = 3;

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
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
pub(super) struct File {
    pub(super) posts: Vec<Post>,
    pub(super) style: Style,
    pub(super) newline: &'static str,
    pub(super) mark: bool,
    pub(super) rules: Rules,
    pub(super) limits: PartLimits,
    pub(super) chunk: usize,
    /// What becomes of each part's job: [`FAILED`], [`LOST`], or else it completes.
    pub(super) jobs: Vec<u8>,
    pub(super) order: Vec<Index>,
}

/// Any text without NUL, as people and programs write it.
pub(super) fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "bc", " ", "\t", ",", "\"", "\"\"", "\n", "\r\n", "\r", "é", "日本", "😀", "\u{feff}",
        ";", "#", "\\", "'", "=1",
    ];
    vec(select(pieces.to_vec()), 0..6).prop_map(|pieces| pieces.concat())
}

pub(super) fn post() -> impl Strategy<Value = Post> {
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

pub(super) fn file() -> impl Strategy<Value = File> {
    let style = select(vec![Style::Needed, Style::Always, Style::Mixed, Style::Vendor]);
    let limits = (1..9_u64, 1..400_u64).prop_map(|(rows, bytes)| PartLimits { rows, bytes });
    let (jobs, order) = (vec(0..4_u8, 30), vec(any::<Index>(), 30));
    (
        vec(post(), 1..30),
        style,
        select(vec!["\n", "\r\n"]),
        (any::<bool>(), select(vec![Rules::One, Rules::Two])),
        limits,
        1..60_usize,
        jobs,
        order,
    )
        .prop_map(|(posts, style, newline, (mark, rules), limits, chunk, jobs, order)| File {
            posts,
            style,
            newline,
            mark,
            rules,
            limits,
            chunk,
            jobs,
            order,
        })
}

/// The order of the columns in the files; the last one's name needs quotes.
pub(super) const COLUMNS: [&str; 5] = ["content", "note", "type", "ref_id", "again, \"note\""];

impl Post {
    pub(super) fn values(&self) -> [&str; 5] {
        [&self.content, &self.note, self.kind, &self.ref_id, &self.note]
    }

    /// The fields as they stand in the file.
    pub(super) fn raw(&self, style: Style) -> Vec<String> {
        let always = |i: usize| {
            style == Style::Always || (style == Style::Mixed && self.quotes >> i & 1 == 1)
        };
        let ends = if style == Style::Vendor { " \t" } else { "" };
        self.values().iter().enumerate().map(|(i, value)| quoted(value, always(i), ends)).collect()
    }

    /// The identifier as it is sent: without spaces at its ends, by the second rules also without
    /// marks.
    pub(super) fn id(&self, rules: Rules) -> String {
        match rules {
            Rules::One => self.ref_id.trim_matches(|c: char| c.is_ascii_whitespace()).to_owned(),
            Rules::Two => trim(&self.ref_id).to_owned(),
        }
    }

    pub(super) fn is_blank(text: &str) -> bool {
        text.bytes().all(|b| b.is_ascii_whitespace())
    }

    /// The code it is rejected with by itself.
    pub(super) fn fault(&self, rules: Rules) -> Option<&'static str> {
        match self.kind.trim() {
            _ if self.id(rules).is_empty() => Some("E_REF_ID"),
            "video" => Some("E_TYPE"),
            _ if Post::is_blank(&self.content) => Some("E_CONTENT"),
            "image_url" if !self.content.starts_with("https://") => Some("E_CONTENT"),
            _ => None,
        }
    }
}

/// A field in quotes if it needs them: for what CSV demands, or for one of `ends` at either end.
pub(super) fn quoted(value: &str, always: bool, ends: &str) -> String {
    let blank_end = value.chars().next().is_some_and(|c| ends.contains(c))
        || value.chars().last().is_some_and(|c| ends.contains(c));
    let needed = value.contains([',', '"', '\n', '\r']) || blank_end;
    if always || needed { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

impl File {
    pub(super) fn bytes(&self) -> Vec<u8> {
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
    pub(super) fn by_csv_crate(&self) -> Vec<u8> {
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
    pub(super) fn verdicts(&self) -> Vec<Option<&'static str>> {
        let mut seen = HashSet::new();
        let verdict = |post: &Post| {
            post.fault(self.rules)
                .or_else(|| (!seen.insert(post.id(self.rules))).then_some("E_REF_ID"))
        };
        self.posts.iter().map(verdict).collect()
    }

    /// The API's results for an upload: shuffled, with silences, a stranger and a second answer.
    pub(super) fn answers(&self, upload: &[[String; 3]]) -> Vec<u8> {
        let replies: HashMap<_, _> = self
            .posts
            .iter()
            .rev()
            .filter(|p| p.fault(self.rules).is_none())
            .map(|p| (p.id(self.rules), p.answer))
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

pub(super) const LABELS: &str = r#"[{"label":"spam","score":0.35}]"#;
pub(super) const ERROR: &str = "too long, said the \"API\" ";
