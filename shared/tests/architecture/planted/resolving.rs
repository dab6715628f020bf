//! Planted trees that show how paths are followed, and that a path which cannot be followed is not
//! passed over.

use super::assert_one;

use crate::resolve::Target;
use crate::rules::unresolved;
use crate::source_tree::{ModuleId, Tree};
use crate::syntax::Written;

const RULE: &str = "every path into our own modules can be followed";

fn module(tree: &Tree, file: &str) -> ModuleId {
    tree.modules.iter().position(|m| m.file == file).unwrap()
}

/// The files of the items and modules that a path means in a file.
fn files_of(tree: &Tree, file: &str, path: &str) -> Vec<String> {
    let segments = path.split("::").map(str::to_owned).collect();
    let targets = tree.resolve(module(tree, file), &Written { segments, absolute: false, line: 1 });
    let module_of = |target| match target {
        Target::Item { module, .. } | Target::Module(module) => Some(tree.file(module).to_owned()),
        _ => None,
    };
    targets.into_iter().filter_map(module_of).collect()
}

#[test]
fn a_module_and_a_function_of_one_name_are_both_meant() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod results;"),
        ("shared/src/results/mod.rs", "mod judge; pub use judge::judge;"),
        ("shared/src/results/judge.rs", "pub fn judge() {}"),
    ]);
    let judge = "shared/src/results/judge.rs";
    assert_eq!(files_of(&tree, "shared/src/lib.rs", "results::judge"), [judge, judge]);
    assert_eq!(files_of(&tree, "shared/src/lib.rs", "crate::results::judge::judge"), [judge]);
    assert_eq!(unresolved(&tree), []);
}

#[test]
fn imports_that_name_each_other_end() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod a; mod b;"),
        ("shared/src/a.rs", "pub use crate::b::*; pub use crate::b::Gone;"),
        ("shared/src/b.rs", "pub use crate::a::*; pub use crate::a::Gone; pub struct Here;"),
    ]);
    assert_eq!(files_of(&tree, "shared/src/a.rs", "Here"), ["shared/src/b.rs"]);
    assert_eq!(files_of(&tree, "shared/src/a.rs", "super::b::Here::new"), ["shared/src/b.rs"]);
}

#[test]
fn modules_are_found_in_every_layout() {
    let tree = Tree::of(&[
        ("tests/e2e/faults/main.rs", "mod sweep; mod inside { pub mod deep; }"),
        ("tests/e2e/faults/sweep.rs", "pub fn sweep() { super::inside::deep::dive() }"),
        ("tests/e2e/faults/inside/deep.rs", "pub fn dive() {}"),
        ("shared/tests/status.rs", "mod support; use moondrop_shared::drop::Drop;"),
        ("shared/tests/support/mod.rs", ""),
        ("shared/src/lib.rs", "pub mod drop;"),
        (
            "shared/src/drop.rs",
            "pub mod record; macro_rules! drops { () => { pub struct Drop; } } drops!();",
        ),
        ("shared/src/drop/record.rs", "use super::super::drop;"),
    ]);
    assert_eq!(unresolved(&tree), []);
    assert_eq!(
        files_of(&tree, "tests/e2e/faults/sweep.rs", "super::inside::deep::dive"),
        ["tests/e2e/faults/inside/deep.rs"]
    );
    assert_eq!(files_of(&tree, "shared/tests/status.rs", "Drop"), ["shared/src/drop.rs"]);
    assert_eq!(files_of(&tree, "shared/src/drop/record.rs", "drop::Drop"), ["shared/src/drop.rs"]);
}

#[test]
fn a_path_that_cannot_be_followed_is_found() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv;"),
        ("shared/src/csv.rs", "use crate::hidden::Thing;"),
    ]);
    assert_one(&unresolved(&tree), "shared/src/csv.rs:1", RULE);
    assert_one(
        &unresolved(&Tree::of(&[("shared/src/lib.rs", "mod gone;")])),
        "shared/src/lib.rs",
        RULE,
    );
}
