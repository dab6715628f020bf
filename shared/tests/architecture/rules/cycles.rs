//! No cycle: a file depends on each file that defines what it names, and never on itself by way of
//! others.

use super::Violation;
use crate::source_tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// From a file to each that defines what it names, with one place where it does.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, (usize, String)>>;

/// Every ring of files, as one violation that lists its imports. A ring of several cycles counts
/// once.
pub(crate) fn cycles(tree: &Tree) -> Vec<Violation> {
    let edges = edges(tree);
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (*file, reach(&edges, file))).collect();
    let in_cycle = |a: &str, b: &str| {
        reached.get(a).is_some_and(|r| r.contains(b))
            && reached.get(b).is_some_and(|r| r.contains(a))
    };
    let mut rings: BTreeSet<Vec<&str>> = BTreeSet::new();
    for file in edges.keys() {
        let ring: Vec<&str> = edges.keys().copied().filter(|other| in_cycle(file, other)).collect();
        if !ring.is_empty() {
            rings.insert(ring);
        }
    }
    rings.into_iter().map(|ring| violation(&edges, &ring)).collect()
}

/// The edges within each crate; Cargo refuses those that would go round between crates.
fn edges(tree: &Tree) -> Edges<'_> {
    let mut edges = Edges::new();
    for named in tree.named().filter(|named| !named.re_exports_own) {
        let Some(used) = named.used_module() else { continue };
        let (from, to) = (tree.file(named.from), tree.file(used));
        if from != to && tree.modules[used].crate_id == tree.modules[named.from].crate_id {
            edges
                .entry(from)
                .or_default()
                .entry(to)
                .or_insert_with(|| (named.written.line, named.text()));
        }
    }
    edges
}

fn reach<'a>(edges: &Edges<'a>, start: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![start];
    while let Some(file) = open.pop() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys).copied() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

fn violation(edges: &Edges<'_>, ring: &[&str]) -> Violation {
    let mut lines = Vec::new();
    for from in ring {
        for (to, (line, path)) in
            edges.get(from).into_iter().flatten().filter(|(to, _)| ring.contains(to))
        {
            lines.push(format!("\n    {from}:{line} names `{path}`, which {to} defines"));
        }
    }
    Violation {
        file: ring.first().copied().unwrap_or_default().to_owned(),
        line: None,
        what: format!("{} files depend on each other", ring.len()),
        why: format!("data flows one way{}\n   ", lines.concat()),
        rule: "no cycle",
    }
}
