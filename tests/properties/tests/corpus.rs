//! Every file of the fuzz targets' corpus, run through the same bodies on stable Rust.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::Path;

fn run(target: &str, at_least: usize, body: impl Fn(&[u8])) {
    let files = run_whole(target, |bytes| {
        body(bytes);
        // Every beginning of it is one more.
        (0..bytes.len()).for_each(|end| body(&bytes[..end]));
    });
    assert!(files >= at_least, "{files} files");
}

fn run_whole(target: &str, body: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        // The last line printed names the file that a panic is about.
        println!("{}", file.display());
        body(&std::fs::read(file).unwrap());
    }
    files.len()
}

#[test]
fn the_strict_check_its_uploads_and_its_joins_hold_over_the_corpus() {
    run("check", 15, moondrop_properties::check);
}

#[test]
fn a_check_that_goes_on_elsewhere_finds_the_same_over_the_corpus() {
    run("check", 15, moondrop_properties::resumed_check);
}

/// What changes how the rest of a file is read, wherever it is put in.
const PIECES: [&str; 9] =
    ["\"", ",", "\n", "\r", " ", "\u{feff}", "\u{1a}", "\"\"", "\nref_id,type,content\n"];

#[test]
fn the_strict_check_holds_with_anything_put_in_anywhere() {
    run_whole("check", |bytes| {
        for (at, piece) in (0..=bytes.len().min(160)).flat_map(|at| PIECES.map(|piece| (at, piece)))
        {
            moondrop_properties::check(&[&bytes[..at], piece.as_bytes(), &bytes[at..]].concat());
        }
    });
}

#[test]
fn the_results_reader_holds_over_the_corpus() {
    run("results", 12, moondrop_properties::results);
}

#[test]
fn event_decoding_holds_over_the_corpus() {
    run("events", 12, moondrop_properties::event);
}
