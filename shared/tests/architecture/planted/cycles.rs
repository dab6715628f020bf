//! Planted cycles.

use super::assert_one;
use crate::rules::cycles::cycles;
use crate::source_tree::Tree;

const RULE: &str = "no cycle";

#[test]
fn two_files_that_need_each_other_are_found() {
    let tree = Tree::of(&[
        ("functions/poll/src/lib.rs", "mod apply; mod sweep;"),
        (
            "functions/poll/src/apply.rs",
            "use crate::sweep; pub(crate) fn apply() { sweep::sweep() }",
        ),
        ("functions/poll/src/sweep.rs", "pub(crate) fn sweep() { super::apply::apply() }"),
    ]);
    let message = assert_one(&cycles(&tree), "functions/poll/src/apply.rs", RULE);
    assert!(
        message
            .contains("apply.rs:1 names `sweep::sweep`, which functions/poll/src/sweep.rs defines"),
        "{message}"
    );
    assert!(
        message.contains(
            "sweep.rs:1 names `super::apply::apply`, which functions/poll/src/apply.rs defines"
        ),
        "{message}"
    );
}

#[test]
fn a_ring_of_three_is_one_cycle() {
    let tree = Tree::of(&[
        ("infra/local/src/lib.rs", "mod clock; mod job; mod store;"),
        ("infra/local/src/clock.rs", "use super::store::Store; pub struct Clock(Store);"),
        ("infra/local/src/store.rs", "use super::job::Job; pub struct Store(Job);"),
        ("infra/local/src/job.rs", "pub struct Job; fn later() -> crate::clock::Clock { todo!() }"),
    ]);
    assert_one(&cycles(&tree), "infra/local/src/clock.rs", RULE);
}

#[test]
fn a_re_export_hides_no_cycle() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod check; pub use check::Checker as Front;"),
        ("shared/src/csv.rs", "pub struct Scanner; use crate::Front; fn f(_: Front) {}"),
        ("shared/src/check.rs", "pub struct Checker; fn g(_: crate::csv::Scanner) {}"),
    ]);
    let message = assert_one(&cycles(&tree), "shared/src/check.rs", RULE);
    assert!(
        message.contains(
            "shared/src/csv.rs:1 names `crate::Front`, which shared/src/check.rs defines"
        ),
        "{message}"
    );
}

#[test]
fn an_alias_and_a_glob_hide_no_cycle() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod check; mod names;"),
        ("shared/src/names.rs", "pub type Front = crate::check::Checker; pub use crate::check::*;"),
        ("shared/src/csv.rs", "pub struct Scanner; fn f(_: crate::names::Front) {}"),
        ("shared/src/check.rs", "pub struct Checker; use crate::csv::*; fn g(_: Scanner) {}"),
    ]);
    let message = assert_one(&cycles(&tree), "shared/src/check.rs", RULE);
    assert!(
        message.contains("names `crate::names::Front`, which shared/src/check.rs defines"),
        "{message}"
    );
}

#[test]
fn a_macro_hides_no_cycle() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod check;"),
        (
            "shared/src/csv.rs",
            "pub const LIMIT: u8 = 1; fn f() { println!(\"{}\", crate::check::LIMIT) }",
        ),
        (
            "shared/src/check.rs",
            "pub const LIMIT: u8 = 2; fn g() { assert!(g(crate::csv::{LIMIT})) }",
        ),
    ]);
    assert_one(&cycles(&tree), "shared/src/check.rs", RULE);
}

#[test]
fn a_child_that_needs_its_parent_is_found() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv;"),
        ("shared/src/csv.rs", "mod scan; pub struct Place; fn scan() { scan::scan() }"),
        ("shared/src/csv/scan.rs", "pub(super) fn scan() -> super::Place { super::Place }"),
    ]);
    assert_one(&cycles(&tree), "shared/src/csv.rs", RULE);
}

#[test]
fn a_parent_may_show_what_its_modules_hold() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv;"),
        (
            "shared/src/csv/mod.rs",
            "mod row; mod scan; pub use row::Row; pub use scan::{self as scanning, Scanner}; pub struct Place;",
        ),
        ("shared/src/csv/row.rs", "pub struct Row(super::Place);"),
        ("shared/src/csv/scan.rs", "use super::Row; pub struct Scanner(Row);"),
    ]);
    assert_eq!(cycles(&tree), []);
}

#[test]
fn the_tests_of_a_file_make_no_cycle() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod check;"),
        (
            "shared/src/csv.rs",
            "pub struct Scanner; #[cfg(test)] mod tests { use crate::check::Checker; }",
        ),
        ("shared/src/check.rs", "pub struct Checker(crate::csv::Scanner);"),
    ]);
    assert_eq!(cycles(&tree), []);
}
