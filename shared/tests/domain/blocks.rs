//! Whatever blocks a file comes in, the check says the same of it. Rows that come byte by byte are read
//! byte by byte; in larger blocks most of them are found by the index, 64 bytes at a time. So each
//! is held against the other: on sound files of many shapes, and with damage anywhere.

use crate::support;
use moondrop_shared::check::Refusal;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::csv::scan::{Rows, Scanner};
use moondrop_shared::csv::separator::Separator;
use moondrop_shared::plan::PartLimits;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Texts that come to lie on the edges of 64 bytes in every way.
fn text() -> impl Strategy<Value = String> {
    let piece =
        select(vec!["a", "some words ", "é", "漢字", "😀", " ", "\u{a0}", "x-1", "1234567"]);
    let few = vec(piece.clone(), 0..4_usize);
    prop_oneof![4 => few, 2 => vec(piece.clone(), 4..30_usize), 1 => vec(piece, 30..120_usize)]
        .prop_map(|pieces| pieces.concat())
}

/// A field as it stands in a file: bare, or in quotes with whatever needs them.
fn field() -> impl Strategy<Value = String> {
    let needs = select(vec!["", ",", "\"\"", "\n", "\r\n", "\r", "\"\"\"\"", ",\n\"\""]);
    let quoted = vec((text(), needs), 1..4).prop_map(|pieces| {
        let inner: String =
            pieces.into_iter().flat_map(|(text, needs)| [text, needs.to_owned()]).collect();
        format!("\"{inner}\"")
    });
    prop_oneof![3 => text(), 1 => quoted]
}

fn row(number: usize, kind: u8, (content, extra): (String, String)) -> [String; 4] {
    let kind = match kind {
        0 => "\"text\"",
        1 => " text ",
        2 => "image",
        _ => "text",
    };
    // Some rows have the same.
    let ref_id = if number % 61 == 60 { "twice".to_owned() } else { format!("id{number}") };
    [extra, kind.to_owned(), content, ref_id]
}

fn sound_files() -> impl Strategy<Value = Vec<u8>> {
    let rows = vec((any::<u8>(), (field(), field())), 0..150_usize);
    let shape = (select(vec!["\n", "\r\n"]), select(vec![",", ",", ", "]), any::<[bool; 3]>());
    (rows, shape).prop_map(|(rows, (line_end, comma, [has_bom, has_blanks, has_last_end]))| {
        let mut lines = vec![["\"the extra\"", "type", "content", "ref_id"].join(comma)];
        for (number, (kind, fields)) in rows.into_iter().enumerate() {
            lines.push(row(number, kind % 60, fields).join(comma));
            if has_blanks && kind % 7 == 0 {
                lines.push(String::new());
            }
        }
        let mark = if has_bom { "\u{feff}" } else { "" };
        let last = if has_last_end { line_end } else { "" };
        format!("{mark}{}{last}", lines.join(line_end)).into_bytes()
    })
}

/// What is put into a file, or cut off it.
fn damage() -> impl Strategy<Value = Vec<(Index, &'static [u8])>> {
    let pieces: [&[u8]; 14] = [
        b"\"",
        b",",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xe2\x80",
        b"\"\"",
        b"\\\"",
        b"\x1a\n",
        b" \"",
        b"\" ",
        "\u{feff}\"".as_bytes(),
        b"\nthe extra,type,content,ref_id\n",
    ];
    vec((any::<Index>(), select(pieces.to_vec())), 0..3)
}

#[test]
fn the_last_block_completes_the_row_that_was_cut() {
    let file = b"a,b\n1,\"te\nxt\"\r\n2,x\r\n3,last";
    let read = |cut: usize| {
        let mut scanner = Scanner::new(0, 1, false);
        let mut found = Vec::new();
        let mut take = |mut rows: Rows<'_>| {
            while let Some(row) = rows.next_row().unwrap() {
                let values = (0..row.len()).map(|i| row.raw(i).to_vec());
                found.push((row.line, row.offset, row.end, values.collect::<Vec<_>>()));
            }
        };
        take(scanner.rows(&file[..cut]));
        take(scanner.last_rows(&file[cut..]));
        found
    };
    let whole = read(0);
    assert_eq!(whole.len(), 4);
    (0..=file.len()).for_each(|cut| assert_eq!(read(cut), whole, "cut at {cut}"));
}

/// Rows that lie on the edges of groups (64 bytes) and chunks (32 KiB), and one that spans chunks.
#[test]
fn rows_on_the_edges_of_groups_and_chunks_are_where_they_are() {
    let long = format!("\"{}\"", "a line, and another\r\n".repeat(4000));
    for separator in [Separator::Comma, Separator::Semicolon, Separator::Tab] {
        let between = char::from(separator.byte());
        for shift in (0..70).chain([32_700, 32_767, 32_768, 65_535]) {
            let first = format!("{}{between}x\n", "p".repeat(shift));
            let file =
                format!("{first}1{between}{long}\n2{between}\"q\"\r\n{between}\n4{between}z\n");
            let read = |chunk: usize| {
                let mut scanner = Scanner::new(0, 1, false);
                scanner.set_separator(separator);
                let mut found = Vec::new();
                for block in file.as_bytes().chunks(chunk) {
                    let mut rows = scanner.rows(block);
                    while let Some(row) = rows.next_row().unwrap() {
                        let values: Vec<_> = (0..row.len()).map(|i| row.raw(i).to_vec()).collect();
                        found.push((row.line, row.offset, row.end, values));
                    }
                }
                found
            };
            let one_by_one = read(1);
            assert_eq!(one_by_one.len(), 5);
            assert_eq!(one_by_one[2].0, 4003, "the line below the long field");
            for chunk in [64, 4095, 32_768, 65_536, usize::MAX] {
                assert!(read(chunk) == one_by_one, "in blocks of {chunk}, {shift} bytes before");
            }
        }
    }
}

#[test]
fn a_file_is_read_alike_in_any_blocks() {
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcomes = RefCell::new(BTreeMap::<String, u32>::new());
    let cases = (sound_files(), damage(), 2..3000_usize, any::<bool>());
    let agree = |(mut file, damage, chunk, small): (Vec<u8>, Vec<(Index, &[u8])>, _, _)| {
        for (at, piece) in damage {
            let at = at.index(file.len() + 1);
            file.splice(at..at, piece.iter().copied());
        }
        let limits = if small { PartLimits { rows: 7, bytes: 900 } } else { PartLimits::default() };
        for rules in [Rules::One, Rules::Two] {
            let read = |chunk| match support::check_by(rules, &file, chunk, limits) {
                Ok(taken) => (format!("{taken:?}"), "taken".to_owned()),
                Err(refusal @ Refusal { .. }) => {
                    (format!("{refusal:?}"), refusal.error.code.as_str().to_owned())
                }
            };
            let (byte_by_byte, outcome) = read(1);
            for chunk in [chunk, usize::MAX] {
                prop_assert_eq!(&read(chunk).0, &byte_by_byte, "in blocks of {}", chunk);
            }
            *outcomes.borrow_mut().entry(outcome).or_default() += 1;
        }
        Ok(())
    };
    runner.run(&cases, agree).unwrap();
    let outcomes = outcomes.into_inner();
    let wanted = ["taken", "E_ENCODING", "E_QUOTE", "E_FIELDS"];
    assert!(
        wanted.iter().all(|outcome| outcomes.get(*outcome).is_some_and(|n| *n >= 30)),
        "{outcomes:?}"
    );
}
