//! Planted files that are too long, take too much, or are included by their path.

use super::assert_one;
use crate::rules::files;
use crate::source_tree::Tree;

#[test]
fn a_long_file_is_found_wherever_it_stands() {
    let line = "// One more.\n";
    let tree = Tree::of(&[
        ("shared/src/lib.rs", &line.repeat(400)),
        ("tests/e2e/long.rs", &line.repeat(401)),
    ]);
    let message =
        assert_one(&files::long_files(&tree), "tests/e2e/long.rs", "files under 400 lines");
    assert!(message.contains("401 lines"), "{message}");
}

#[test]
fn a_long_signature_is_found() {
    let source = "pub fn four(a: u8, b: u8, c: u8, d: u8) {}
        struct S; impl S {
            fn with_self(&self, a: u8, b: u8, c: u8, d: u8) {}
            fn five(&self, a: u8, b: u8, c: u8, d: u8, e: u8) {}
        }";
    let tree = Tree::of(&[("functions/poll/src/lib.rs", source)]);
    let message = assert_one(
        &files::long_signatures(&tree),
        "functions/poll/src/lib.rs:4",
        "at most four parameters",
    );
    assert!(message.contains("`fn five` has 5 parameters"), "{message}");
}

#[test]
fn a_long_signature_is_found_in_tests_traits_and_functions() {
    let six = "a: u8, b: u8, c: u8, d: u8, e: u8, f: u8";
    let source = format!(
        "trait T {{ fn in_trait({six}); }}
        fn outer() {{ async fn in_function({six}) {{}} }}
        #[cfg(test)] mod tests {{ fn in_tests({six}) {{}} }}"
    );
    let found = files::long_signatures(&Tree::of(&[("shared/src/lib.rs", &source)]));
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn a_file_included_by_its_path_is_found_in_every_form() {
    for source in [
        "#[path = \"../other.rs\"] mod other;",
        "#[cfg(test)] mod tests { #[path = \"../other.rs\"] mod other; }",
        "#[cfg_attr(unix, path = \"../other.rs\")] mod other;",
        "with_other! { #[path = \"../other.rs\"] mod other; }",
        "include!(\"../other.rs\");",
    ] {
        let tree = Tree::of(&[("infra/local/src/lib.rs", source)]);
        assert_one(
            &files::path_inclusions(&tree),
            "infra/local/src/lib.rs:1",
            "no file is included by #[path]",
        );
    }
}

#[test]
fn other_paths_are_no_inclusions() {
    let source = "#[serde(path = \"x\")] struct S { path: u8 } fn f(path: u8) -> bool { path == 1 && include_str!(\"x\").is_empty() }";
    assert_eq!(files::path_inclusions(&Tree::of(&[("shared/src/lib.rs", source)])), []);
}
