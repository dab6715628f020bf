//! Files as users drop them, and the results the API would give for them. The same seed makes the
//! same bytes.

use crate::measure::{Clock, Measured};
use anyhow::{Context, Result};
use fastrand::Rng;
use moondrop_shared::csv::write::write_field;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Words of several scripts; one line is one language.
const LANGUAGES: [(&str, &str); 9] = [
    (
        "en",
        "the a quiet evening with friends and some music weather photo moon hello love cat free \
         cheap winner stupid fight sale never again why people think this is normal",
    ),
    (
        "en",
        "just posted another video about gardening tomatoes are finally ripe look at them so \
         proud of my little garden thanks everyone who helped",
    ),
    (
        "de",
        "heute war ein schöner Tag für einen Ausflug über die Brücke mit Käsekuchen Gewinnspiel",
    ),
    ("es", "mañana iremos al cine después de comer qué película quieres ver gratis corazón"),
    ("ru", "сегодня хорошая погода и мы идём гулять в парк скидка друзья завтра снова дождь"),
    ("ar", "صباح الخير اليوم الطقس جميل جدا ونحن نذهب إلى السوق مع الأصدقاء مجانا"),
    ("hi", "आज का मौसम बहुत अच्छा है और हम बाज़ार जा रहे हैं दोस्त कल मिलते हैं"),
    ("zh", "今天天气很好 我们去公园散步 免费 朋友们 明天见 这部电影真不错 谢谢大家"),
    ("ja", "今日はいい天気です 公園へ散歩に行きました 写真 ありがとう また明日 無料"),
];
const EMOJI: [&str; 6] = ["😀", "🌙", "❤️", "👍🏽", "🎉", "🇪🇸"];
const LABELS: [&str; 5] = ["spam", "harassment", "violence", "adult", "self_harm"];
/// The documentation promises no order of results: as the sandbox does, each block of so many is
/// written from its last row to its first. Parts of 25,000 rows end where blocks end.
const BLOCK_ROWS: usize = 1_000;

/// What to write.
pub(crate) struct Options<'a> {
    pub(crate) rows: u64,
    pub(crate) seed: u64,
    pub(crate) file: &'a Path,
    pub(crate) results: Option<&'a Path>,
    /// Only the three columns that are uploaded.
    pub(crate) plain: bool,
}

pub(crate) fn generate(options: &Options<'_>) -> Result<Measured> {
    let clock = Clock::start()?;
    let mut source = create(options.file)?;
    let mut results = options.results.map(create).transpose()?;
    let extra = if options.plain { "" } else { ",lang,author,created_at" };
    source.write_all(format!("ref_id,type,content{extra}\n").as_bytes())?;
    if let Some(results) = &mut results {
        results.write_all(b"ref_id,type,labels,content,error\n")?;
    }
    let languages = LANGUAGES.map(|(name, words)| (name, words.split_whitespace().collect()));
    let mut random = Rng::with_seed(options.seed);
    let (mut line, mut block) = (Vec::new(), Vec::new());
    for number in 0..options.rows {
        let language = &languages[random.usize(..languages.len())];
        let row = Row::random(number, language, &mut random);
        line.clear();
        row.write_source(&mut line, options.plain);
        source.write_all(&line)?;
        // Drawn in any case: the source is the same with and without results.
        let result = row.result(&mut random);
        if let Some(results) = &mut results {
            block.push(result);
            if block.len() == BLOCK_ROWS || number + 1 == options.rows {
                block.drain(..).rev().try_for_each(|result| results.write_all(&result))?;
            }
        }
    }
    source.flush()?;
    results.map(|mut results| results.flush()).transpose()?;
    clock.stop(std::fs::metadata(options.file)?.len(), options.rows)
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

type Language = (&'static str, Vec<&'static str>);

struct Row {
    ref_id: String,
    kind: &'static str,
    content: String,
    extra: String,
}

impl Row {
    /// One in twelve is an image. Its `ref_id` has its number, so that it is unique.
    fn random(number: u64, (language, words): &Language, random: &mut Rng) -> Row {
        let is_image = random.u8(..12) == 0;
        let content = if is_image {
            let (host, name) = (random.u8(1..9), random.u64(..));
            format!("https://img{host}.example.com/u/{}/{name:016x}.jpg", number % 9973)
        } else {
            text(words, random)
        };
        let (minute, second) = (number / 60 % 60, number % 60);
        Row {
            ref_id: format!("post-{number:09}-{:04x}", random.u16(..)),
            kind: if is_image { "image_url" } else { "text" },
            content,
            extra: format!(
                "{language},user_{},2026-03-{:02}T{:02}:{minute:02}:{second:02}Z",
                random.u32(..500_000),
                random.u8(1..29),
                random.u8(..24)
            ),
        }
    }

    fn write_source(&self, out: &mut Vec<u8>, plain: bool) {
        write_field(out, self.ref_id.as_bytes());
        out.extend_from_slice(format!(",{},", self.kind).as_bytes());
        write_field(out, self.content.as_bytes());
        if !plain {
            out.extend_from_slice(format!(",{}", self.extra).as_bytes());
        }
        out.push(b'\n');
    }

    /// Its line in the API's results: no label, one to three, or, one in a hundred, an error.
    fn result(&self, random: &mut Rng) -> Vec<u8> {
        let (labels, error) = if random.u8(..100) == 0 {
            (String::new(), "the text could not be evaluated")
        } else {
            let (first, count) = (random.usize(..LABELS.len()), random.usize(..4));
            let names = LABELS.iter().cycle().skip(first).take(count);
            let labels = names.map(|name| {
                format!(r#"{{"label":"{name}","score":0.{:04}}}"#, random.u16(1..10_000))
            });
            (format!("[{}]", labels.collect::<Vec<_>>().join(",")), "")
        };
        let mut out = Vec::new();
        write_field(&mut out, self.ref_id.as_bytes());
        out.extend_from_slice(format!(",{},", self.kind).as_bytes());
        write_field(&mut out, labels.as_bytes());
        out.push(b',');
        write_field(&mut out, self.content.as_bytes());
        out.push(b',');
        write_field(&mut out, error.as_bytes());
        out.push(b'\n');
        out
    }
}

/// Mostly short, sometimes long; one in eight with a quotation, one in ten with newlines, one in
/// four with a comma, one in five with an emoji.
fn text(words: &[&str], random: &mut Rng) -> String {
    let count = match random.u8(..20) {
        0 => random.usize(60..160),
        1..=5 => random.usize(20..60),
        _ => random.usize(3..20),
    };
    let (quotation, comma) = (random.u8(..8) == 0, random.u8(..4) == 0);
    let (newline, emoji) = (random.u8(..10) == 0, random.u8(..5) == 0);
    let mut text = String::new();
    for i in 0..count {
        let word = words[random.usize(..words.len())];
        match i {
            0 => {}
            _ if newline && i % 12 == 3 => text.push('\n'),
            _ if comma && i % 7 == 2 => text.push_str(", "),
            _ => text.push(' '),
        }
        if quotation && i == count / 2 {
            text.extend(["\"", word, "\""]);
        } else {
            text.push_str(word);
        }
    }
    if emoji {
        text.extend([" ", EMOJI[random.usize(..EMOJI.len())]]);
    }
    text
}
