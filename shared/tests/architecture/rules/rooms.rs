//! Rules on who may name whom: the rooms of the shared crate, its adapters, the functions, and the
//! S3 client.

use super::{Named, Violation, sorted};
use crate::resolve::Target;
use crate::source_tree::Tree;
use std::collections::BTreeSet;

const SHARED: &str = "shared/src/";
const SERVICES: &str = "shared/src/services/";
/// What builds all services and holds them: a room of its own, by either name of its file.
const COMPOSITION: [&str; 2] = ["shared/src/services.rs", "shared/src/services/mod.rs"];

/// A floor of the shared crate: its rooms, whether they do no I/O, and why they stand where they
/// do.
struct Floor {
    rooms: &'static [&'static str],
    is_pure: bool,
    why: &'static str,
}

/// From the ground upwards. A room may name what is below it, not what is beside it or above. On
/// the floor of the composition alone rooms may name each other: it holds some of the lifecycle,
/// and the rest of the lifecycle is given what it holds.
const FLOORS: [Floor; 10] = [
    Floor {
        rooms: &["error_chain", "form", "plan", "problem", "source"],
        is_pure: true,
        why: "plain records and words that every other room names",
    },
    Floor {
        rooms: &["object_key"],
        is_pure: true,
        why: "every object key, made of what a drop is known by",
    },
    Floor {
        rooms: &["csv", "job"],
        is_pure: true,
        why: "the two formats, of files and of the API's jobs, know no drop",
    },
    Floor {
        rooms: &["check", "results"],
        is_pure: true,
        why: "a file is read on the way in and on the way out, each by itself",
    },
    Floor {
        rooms: &["part"],
        is_pure: true,
        why: "a part joins what was checked with its results",
    },
    Floor { rooms: &["drop"], is_pure: true, why: "a drop is made of parts" },
    Floor { rooms: &["event"], is_pure: true, why: "an event reports a drop" },
    Floor {
        rooms: &["services"],
        is_pure: false,
        why: "adapters carry what the rooms decide, and decide nothing",
    },
    Floor {
        rooms: &["composition", "lifecycle"],
        is_pure: false,
        why: "what works with several services at once",
    },
    Floor { rooms: &["lib"], is_pure: false, why: "it declares the rooms and holds nothing" },
];

/// Crates and modules that do I/O or log. `std::io` is not among them: the pure rooms take readers
/// and writers.
const IMPURE: [&str; 12] = [
    "aws_*",
    "lambda_runtime",
    "reqwest",
    "serde_dynamo",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "tokio",
    "tokio_*",
    "tracing",
    "tracing_*",
];

/// The adapters that every adapter may name.
const GROUND_FLOOR: [&str; 2] = ["settings", "metrics"];

/// The room of a file of the shared crate: its folder or its own name.
fn room(file: &str) -> Option<&str> {
    if is_composition(file) { Some("composition") } else { first_part(file, SHARED) }
}

fn adapter(file: &str) -> Option<&str> {
    first_part(file, SERVICES).filter(|_| !is_composition(file))
}

fn is_composition(file: &str) -> bool {
    COMPOSITION.contains(&file)
}

fn first_part<'a>(file: &'a str, folder: &str) -> Option<&'a str> {
    let inside = file.strip_prefix(folder)?;
    let part = inside.split('/').next()?;
    Some(part.strip_suffix(".rs").unwrap_or(part))
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.rooms.contains(&room))
}

/// Pure rooms name no SDK, no HTTP client, no runtime and no log.
pub(crate) fn impure_rooms(tree: &Tree) -> Vec<Violation> {
    check(tree, "pure rooms do no I/O", |from, named| {
        let room = room(from)?;
        let is_pure = floor(room).is_some_and(|floor| FLOORS[floor].is_pure);
        let path = named.external().filter(|_| is_pure)?.join("::");
        let impure = IMPURE.iter().find(|impure| begins_with(&path, impure))?;
        Some(format!("it means `{path}`; the room `{room}` does no I/O and names no `{impure}`"))
    })
}

fn begins_with(path: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => {
            path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        }
    }
}

/// A room names only rooms below it, and every file of the shared crate stands in a room of
/// [`FLOORS`].
pub(crate) fn room_order(tree: &Tree) -> Vec<Violation> {
    let rule = "rooms name only what is below them";
    let mut found = check(tree, rule, |from, named| {
        let to = tree.file(named.named_module()?);
        let (from, to) = (room(from)?, room(to)?);
        let (here, there) = (floor(from)?, floor(to)?);
        let is_open = here == there && FLOORS[here].rooms.contains(&"composition");
        // The root and the composition declare modules; only what they hold besides is theirs.
        let is_only_passed = ["lib", "composition"].contains(&to) && named.used_module().is_none();
        if from == "lib" || from == to || there < here || is_open || is_only_passed {
            return None;
        }
        Some(format!(
            "it is of the room `{to}` ({}); `{from}` is not above it ({})",
            FLOORS[there].why, FLOORS[here].why
        ))
    });
    for file in tree.sources.0.keys() {
        if let Some(room) = room(file).filter(|room| floor(room).is_none()) {
            let why =
                "add it to the table of floors, at the place that says what it may name".to_owned();
            found.push(Violation {
                file: file.clone(),
                line: None,
                what: format!("`{room}` is no room of the table"),
                why,
                rule,
            });
        }
    }
    sorted(found)
}

/// The rooms of [`FLOORS`] that no file stands in: the table would guard nothing.
pub(crate) fn empty_rooms(tree: &Tree) -> Vec<&'static str> {
    let rooms = FLOORS.iter().flat_map(|floor| floor.rooms).copied();
    rooms.filter(|wanted| !tree.sources.0.keys().any(|file| room(file) == Some(wanted))).collect()
}

/// An adapter names no other, nor the composition that holds them all.
pub(crate) fn adapters(tree: &Tree) -> Vec<Violation> {
    check(tree, "adapters do not import each other", |from, named| {
        let here = adapter(from)?;
        let to = tree.file(named.named_module()?);
        if is_composition(to) && named.used_module().is_some() {
            return Some(format!(
                "it is of the composition, which holds `{here}` and is not known to it"
            ));
        }
        let there = adapter(to).filter(|there| *there != here && !GROUND_FLOOR.contains(there))?;
        Some(format!(
            "it is of the adapter `{there}`; `{here}` names no adapter but the ground floor's, settings and metrics"
        ))
    })
}

/// A function's crate names no other's.
pub(crate) fn functions(tree: &Tree) -> Vec<Violation> {
    check(tree, "functions do not import each other", |from, named| {
        let here = first_part(from, "functions/")?;
        let there = first_part(tree.file(named.named_module()?), "functions/")
            .filter(|there| *there != here)?;
        Some(format!(
            "it is of the function `{there}`; what `{here}` shares with it stands in the shared crate"
        ))
    })
}

/// S3's client is used in its adapter and made in the composition, which hands it to nobody else.
pub(crate) fn raw_s3(tree: &Tree) -> Vec<Violation> {
    let rule = "no raw S3 client outside services/s3";
    let found = check(tree, rule, |from, named| {
        let is_guarded =
            from.starts_with(SHARED) || (from.starts_with("functions/") && from.contains("/src/"));
        if !is_guarded || is_composition(from) || adapter(from) == Some("s3") {
            return None;
        }
        let path = named.external()?.join("::");
        begins_with(&path, "aws_sdk_s3")
            .then(|| format!("it means `{path}`; only the S3 adapter speaks to S3's client"))
    });
    let handed_out = tree
        .modules
        .iter()
        .enumerate()
        .filter(|(_, module)| is_composition(&module.file))
        .flat_map(|(id, module)| {
            let shown = module.contents.shown.iter().filter(move |(owner, path)| {
                owner != "AwsClients" && tree.resolve(id, path).iter().any(is_s3_client)
            });
            shown.map(|(owner, path)| Violation {
                file: module.file.clone(),
                line: Some(path.line),
                what: format!("`{}`", path.segments.join("::")),
                why: format!(
                    "`{owner}` shows it to all; the composition hands out adapters, not clients"
                ),
                rule,
            })
        });
    sorted(found.into_iter().chain(handed_out).collect())
}

/// The client itself, or the struct of all clients that the composition is built from.
fn is_s3_client(target: &Target) -> bool {
    match target {
        Target::External(path) => path.first().is_some_and(|first| first == "aws_sdk_s3"),
        Target::Item { name, .. } => name == "AwsClients",
        _ => false,
    }
}

/// Checks every path of the tree; `why` answers with the reason if the path breaks the rule.
fn check(
    tree: &Tree,
    rule: &'static str,
    why: impl Fn(&str, &Named<'_>) -> Option<String>,
) -> Vec<Violation> {
    // What a file imports is not reported again at every use.
    let mut seen = BTreeSet::new();
    let found = tree.named().filter_map(|named| {
        let file = tree.file(named.from);
        let why = why(file, &named).filter(|_| seen.insert((file, named.target.clone())))?;
        Some(Violation {
            file: file.to_owned(),
            line: Some(named.written.line),
            what: format!("`{}`", named.text()),
            why,
            rule,
        })
    });
    sorted(found.collect())
}
