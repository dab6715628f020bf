//! The rules of the architecture, held by reading the sources: who may name whom, no cycles, small
//! files, short signatures.
//!
//! Each rule is tested twice: on the repository, and on a planted tree that breaks it. The numbers,
//! one line a rule: `cargo test -p moondrop-shared --test architecture -- --nocapture counts`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod imports;
mod planted;
mod resolve;
mod rules;
mod source_tree;
mod syntax;
mod tokens;

use rules::{Violation, cycles, files, rooms, unresolved};
use source_tree::Tree;
use std::path::Path;
use std::sync::LazyLock;

/// The repository, from this crate's folder.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

static REAL: LazyLock<Tree> = LazyLock::new(|| Tree::read(Path::new(REPOSITORY)));

#[track_caller]
fn assert_none(violations: &[Violation]) {
    assert!(violations.is_empty(), "{} violations\n{}", violations.len(), list(violations));
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|v| format!("  {v}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_rooms_do_no_io() {
    assert_none(&rooms::impure_rooms(&REAL));
}

#[test]
fn rooms_name_only_what_is_below_them() {
    assert_none(&rooms::room_order(&REAL));
    assert_eq!(
        rooms::empty_rooms(&REAL),
        Vec::<&str>::new(),
        "rooms of the table that are not in the tree"
    );
}

#[test]
fn adapters_do_not_import_each_other() {
    assert_none(&rooms::adapters(&REAL));
}

#[test]
fn functions_do_not_import_each_other() {
    assert_none(&rooms::functions(&REAL));
}

#[test]
fn no_raw_s3_client_outside_its_adapter() {
    assert_none(&rooms::raw_s3(&REAL));
}

#[test]
fn there_is_no_cycle() {
    assert_none(&cycles::cycles(&REAL));
}

#[test]
fn no_file_is_included_by_its_path() {
    assert_none(&files::path_inclusions(&REAL));
}

#[test]
fn files_are_short() {
    assert_none(&files::long_files(&REAL));
}

#[test]
fn signatures_are_short() {
    assert_none(&files::long_signatures(&REAL));
}

/// What the resolver cannot follow, or does not see at all, the rules would not guard.
#[test]
fn every_path_can_be_followed() {
    assert_none(&unresolved(&REAL));
    for name in [
        "moondrop_shared",
        "moondrop_submit",
        "moondrop_poll",
        "moondrop_collect",
        "moondrop_local",
    ] {
        assert!(REAL.crates.iter().any(|c| c.name.as_deref() == Some(name)), "no library {name}");
    }
}

/// Prints how often each rule is broken, and where.
#[test]
fn counts() {
    for (name, found) in [
        ("cycles", cycles::cycles(&REAL)),
        ("files over 400 lines", files::long_files(&REAL)),
        ("signatures over four parameters", files::long_signatures(&REAL)),
        ("#[path]", files::path_inclusions(&REAL)),
        ("I/O in pure rooms", rooms::impure_rooms(&REAL)),
        ("rooms out of order", rooms::room_order(&REAL)),
        ("adapters that import each other", rooms::adapters(&REAL)),
        ("functions that import each other", rooms::functions(&REAL)),
        ("raw S3 clients", rooms::raw_s3(&REAL)),
        ("paths that cannot be followed", unresolved(&REAL)),
    ] {
        println!("{name}: {}", found.len());
    }
}
