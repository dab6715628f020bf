//! The bytes of uploads, which no release may change for files that were checked before it: a part
//! that is uploaded twice must be the same twice.

use crate::support;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::plan::PartLimits;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A file of all that can stand in a field, with the three columns alone or among others.
fn long_file(header: &str, line_end: &str) -> Vec<u8> {
    let contents = [
        "plain",
        "\"needless quotes\"",
        "\"a, comma\"",
        "\"two\nlines\"",
        "\"two\r\nlines\"",
        "\"the \"\"one\"\"\"",
        " spaces ",
        "\" quoted spaces \"",
        "schöne 漢字 😀",
        "\u{a0}no-break",
        "https://x.io/a.jpg",
        "-",
    ];
    let (mut file, mut state) = (format!("{header}{line_end}").into_bytes(), 1_u64);
    for number in 0..3000 {
        // Any numbers will do that are the same each time.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let [kind, content, id] = [60, 50, 40].map(|shift| (state >> shift) as usize);
        let ref_id = match id % 12 {
            0 => format!("\"{number}\""),
            1 => format!(" {number} "),
            2 => format!("\"{number},\""),
            3 => "again".to_owned(),
            _ => format!("id-{number}"),
        };
        let kind = ["text", "\"text\"", " text", "text", "text", "image"][kind % 6];
        let content = contents[content % contents.len()];
        let more = if header.contains("more") { ",\"more\"" } else { "" };
        file.extend(format!("{ref_id},{kind},{content}{more}{line_end}").into_bytes());
    }
    file
}

fn files() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/check");
    let mut paths: Vec<_> =
        std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files: Vec<_> = paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    for header in ["ref_id,type,content", "ref_id,type,content,more", "ref_id, type, content"] {
        files.extend(["\n", "\r\n"].map(|line_end| long_file(header, line_end)));
    }
    files
}

#[test]
fn uploads_are_the_same_bytes_in_every_release() {
    let files = files();
    for chunk in [7, 5000, usize::MAX] {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        for file in &files {
            for (rules, limits) in [Rules::One, Rules::Two].into_iter().flat_map(|rules| {
                let few = PartLimits { rows: 50, bytes: 2000 };
                [(rules, few), (rules, PartLimits::default())]
            }) {
                let Ok(taken) = support::check_by(rules, file, usize::MAX, limits) else {
                    continue;
                };
                for part in &taken.checked.parts {
                    let (header, rejections) =
                        (taken.checked.header.clone(), taken.rejections(part));
                    let mut encoder = UploadEncoder::new(header, part.clone(), rejections);
                    let source = &file[part.offset as usize..part.end as usize];
                    let upload = support::encode(&mut encoder, source, chunk);
                    digest.update(&upload);
                    bytes += upload.len();
                }
            }
        }
        assert_eq!(
            (bytes, hex::encode(digest.finalize()).as_str()),
            (1_469_094, "44904388c9468f2b7375a196244ae15cc81282c0b534e59689f6102e39ff9f76"),
            "in blocks of {chunk}"
        );
    }
}
