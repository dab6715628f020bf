//! Every file of the fuzz targets' corpus, run through the same bodies on stable Rust.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::Path;

fn run(target: &str, at_least: usize, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        // The last line printed names the file that a panic is about.
        println!("{}", file.display());
        let bytes = std::fs::read(file).unwrap();
        body(&bytes);
        // Every beginning of it is one more.
        (0..bytes.len()).for_each(|end| body(&bytes[..end]));
    }
    assert!(files.len() >= at_least, "{} files", files.len());
}

#[test]
fn the_strict_check_its_uploads_and_its_joins_hold_over_the_corpus() {
    run("check", 15, moondrop_properties::check);
}

#[test]
fn the_results_reader_holds_over_the_corpus() {
    run("results", 12, moondrop_properties::results);
}

#[test]
fn event_decoding_holds_over_the_corpus() {
    run("events", 12, moondrop_properties::event);
}
