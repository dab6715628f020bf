//! The simulated judgement: word lists, and a score from what was found of them.
//!
//! It knows nothing of meaning. It is there so that results differ from row to row, say something
//! plausible of most samples, and are the same whenever the same content comes back.
//!
//! - A text's words are what lies between anything but letters and digits, in lower case. Scripts
//!   written without spaces (Chinese, Japanese) are looked through two and three characters at a
//!   time.
//! - An image is judged by the words in its URL's path; nothing is fetched.
//! - A strong word found weighs 0.55, a mild one 0.25; they combine as independent chances do: `1 −
//!   Π(1 − weight)`. A hash of the label and the content then moves the score by up to 0.05 either
//!   way. Four decimals are kept.
//! - A text with `[[error]]` in it, an image whose path has `missing` or `404`, and what is no
//!   `http` URL fail.

use serde::Serialize;
use std::collections::HashMap;
use std::sync::LazyLock;
use url::Url;

const STRONG: f64 = 0.55;
const MILD: f64 = 0.25;
/// The most a hash moves a score; below half of `MILD`, so that order follows the words.
const SWAY: f64 = 0.05;

/// A label's name, its strong words and its mild ones.
type List = (&'static str, &'static str, &'static str);

/// Plain words only. English, Spanish, French, German, Russian, Arabic, Hindi, Chinese, Japanese.
const LISTS: [List; 5] = [
    (
        "spam",
        "giveaway jackpot casino lottery lotería loterie gewinnspiel казино лотерея يانصيب \
         लॉटरी 中奖 博彩 当選 カジノ",
        "free subscribe promo discount bitcoin winner gratis oferta gratuit gewinn скидка \
         бесплатно 免费 無料",
    ),
    (
        "harassment",
        "idiot idiots moron loser losers idiota imbécile dummkopf идиот дурак غبي 白痴 笨蛋 馬鹿 バカ",
        "stupid dumb ugly pathetic estúpido tonto bête dumm тупой 愚蠢 最低",
    ),
    (
        "violence",
        "kill murder stab bomb shoot matar asesinar tuer töten убить бомба قتل हिंसा 杀人 炸弹 殺す \
         爆弾",
        "fight weapon gun knife blood attack pelea arma arme waffe оружие سلاح 武器",
    ),
    (
        "adult",
        "porn nude nudes nsfw xxx desnudo nackt порно اباحي 色情 裸体 ポルノ",
        "sexy lingerie naked erotic sensual бельё 性感 水着",
    ),
    (
        "self_harm",
        "suicide suicidal suicidio selbstmord суицид самоубийство انتحار 自杀 自殺",
        "hopeless worthless overdose sinsentido hoffnungslos безнадёжно 绝望 絶望",
    ),
];

static WORDS: LazyLock<HashMap<&'static str, Vec<(usize, f64)>>> = LazyLock::new(|| {
    let mut words: HashMap<_, Vec<_>> = HashMap::new();
    for (label, (_, strong, mild)) in LISTS.iter().enumerate() {
        for (list, weight) in [(strong, STRONG), (mild, MILD)] {
            for word in list.split_whitespace() {
                words.entry(word).or_default().push((label, weight));
            }
        }
    }
    words
});

/// What a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    ImageUrl,
}

impl Kind {
    /// The kind of this name in an input's `type` column.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "image_url" => Some(Self::ImageUrl),
            _ => None,
        }
    }

    /// Its name in the `type` column.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::ImageUrl => "image_url",
        }
    }
}

/// A label found, and how sure one may be, from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Found {
    pub(super) label: &'static str,
    pub(super) score: f64,
}

/// The labels of one row's content, or why there are none.
pub(super) fn judge(kind: Kind, content: &str) -> Result<Vec<Found>, &'static str> {
    if content.trim().is_empty() {
        return Err("the content is empty");
    }
    match kind {
        Kind::Text if content.contains("[[error]]") => Err("the text could not be evaluated"),
        Kind::Text => Ok(score(content, content)),
        Kind::ImageUrl => {
            let url = Url::parse(content).map_err(|_| "the image's URL is not one")?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err("the image's URL is not http or https");
            }
            let path = url.path().to_lowercase();
            if path.contains("missing") || path.contains("404") {
                return Err("the image could not be fetched: 404 Not Found");
            }
            Ok(score(content, &path))
        }
    }
}

fn score(content: &str, text: &str) -> Vec<Found> {
    let text = text.to_lowercase();
    let mut chances = [1.0; LISTS.len()];
    let mut seen = Vec::new();
    let mut look = |word: &str| {
        if let Some((word, weights)) = WORDS.get_key_value(word)
            && !seen.contains(word)
        {
            seen.push(*word);
            for (label, weight) in weights {
                chances[*label] *= 1.0 - weight;
            }
        }
    };
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        look(word);
        if !word.is_ascii() && word.chars().any(written_without_spaces) {
            for length in [2, 3] {
                windows(word, length).for_each(&mut look);
            }
        }
    }
    let found = LISTS.iter().zip(chances).filter(|(_, chance)| *chance < 1.0);
    found
        .map(|((label, ..), chance)| {
            let sway = (fraction(&[label, content]) * 2.0 - 1.0) * SWAY;
            let score = (1.0 - chance + sway).clamp(0.0, 0.9999);
            Found { label, score: (score * 10_000.0).round() / 10_000.0 }
        })
        .collect()
}

fn written_without_spaces(c: char) -> bool {
    // Kana, then the common Han characters.
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

/// All runs of `length` characters in a word that is longer than that.
fn windows(word: &str, length: usize) -> impl Iterator<Item = &str> {
    let starts = word.char_indices().map(|(at, _)| at);
    let ends = word.char_indices().map(|(at, _)| at).chain([word.len()]).skip(length);
    starts.zip(ends).map(|(start, end)| &word[start..end])
}

/// Evenly spread from 0 to below 1. FNV-1a, as the standard library's hasher promises no stability
/// across versions.
fn fraction(parts: &[&str]) -> f64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The low bits of FNV are its best.
    f64::from((hash as u32) ^ ((hash >> 32) as u32)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn labels(content: &str) -> Vec<&'static str> {
        judge(Kind::Text, content).unwrap().iter().map(|found| found.label).collect()
    }

    #[test]
    fn finds_words_in_several_scripts() {
        for (content, label) in [
            ("You won the LOTTERY!", "spam"),
            ("Ты полный идиот.", "harassment"),
            ("यह हिंसा है", "violence"),
            ("恭喜您中奖了，点击领取", "spam"),
            ("このバカ者", "harassment"),
            ("هذا غبي جدا", "harassment"),
            ("Él quiere MATAR", "violence"),
        ] {
            assert_eq!(labels(content), [label], "{content}");
        }
        assert_eq!(labels("A quiet day at the skillful baker's"), [""; 0]);
    }

    #[test]
    fn every_word_is_found_as_written() {
        for (label, strong, mild) in LISTS {
            for word in strong.split_whitespace().chain(mild.split_whitespace()) {
                assert!(labels(word).contains(&label), "{word}");
            }
        }
    }

    #[test]
    fn more_and_stronger_words_score_higher() {
        let score = |content| judge(Kind::Text, content).unwrap()[0].score;
        let (mild, strong, both) = (score("a gun"), score("a bomb"), score("a gun, a bomb"));
        assert!(0.0 < mild && mild < strong && strong < both && both < 1.0);
        assert_eq!(score("a bomb"), strong);
        assert!((score("bomb bomb bomb") - STRONG).abs() <= SWAY + 0.0001, "a word counts once");
    }

    #[test]
    fn scores_have_at_most_four_decimals() {
        for n in 0..1_000 {
            let score = judge(Kind::Text, &format!("free {n}")).unwrap()[0].score;
            let text = serde_json::to_string(&score).unwrap();
            assert!(text.len() <= "0.1234".len() && (0.0..=1.0).contains(&score), "{text}");
        }
    }

    #[test]
    fn images_are_judged_by_their_path() {
        let judged = |url| judge(Kind::ImageUrl, url);
        assert_eq!(judged("https://x.test/a/nude-01.png").unwrap()[0].label, "adult");
        assert!(judged("https://bomb.test/a.png?knife=1").unwrap().is_empty());
        assert!(judged("https://x.test/404/a.png").is_err());
        assert!(judged("https://x.test/Missing.png").is_err());
        assert!(judged("ftp://x.test/a.png").is_err());
        assert!(judged("a.png").is_err());
    }

    #[test]
    fn marked_and_empty_texts_fail() {
        assert!(judge(Kind::Text, "a [[error]] b").is_err());
        assert!(judge(Kind::Text, " \n").is_err());
    }
}
