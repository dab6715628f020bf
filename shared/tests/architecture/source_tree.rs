//! The repository's sources as text, and the module tree that rustc would make of them.
//!
//! A tree is made from a map of paths to texts, so that a test can plant one as plain strings.

use crate::imports::{self, Contents};
use crate::syntax::{is_included_by_path, is_test_only, plain};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use syn::{Attribute, Item};

/// The folders of the repository that hold Rust.
pub(crate) const FOLDERS: [&str; 4] = ["functions", "shared", "infra/local", "tests"];

/// Every Rust file: its path from the repository's root, and its text.
#[derive(Debug, Default)]
pub(crate) struct Sources(pub(crate) BTreeMap<String, String>);

impl Sources {
    /// Reads every Rust file below the repository's folders.
    pub(crate) fn read(repository: &Path) -> Sources {
        let mut sources = Sources::default();
        for folder in FOLDERS {
            sources.read_folder(repository, folder);
        }
        sources
    }

    fn read_folder(&mut self, repository: &Path, folder: &str) {
        let entries = fs::read_dir(repository.join(folder))
            .unwrap_or_else(|e| panic!("{folder} can be listed: {e}"));
        for entry in entries {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().expect("a file's name is UTF-8");
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    self.read_folder(repository, &path);
                }
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(entry.path())
                    .unwrap_or_else(|e| panic!("{path} can be read: {e}"));
                self.0.insert(path, text);
            }
        }
    }

    /// A planted tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Sources {
        Sources(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

/// A module's place in [`Tree::modules`].
pub(crate) type ModuleId = usize;

/// What is compiled as one: a library, a program or a test binary.
#[derive(Debug)]
pub(crate) struct CrateRoot {
    /// The name that others import it by; none for a program or a test binary.
    pub(crate) name: Option<String>,
    pub(crate) root: ModuleId,
}

/// A module, in a file of its own or inside another's. Modules under `#[cfg(test)]` are left out.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) crate_id: usize,
    pub(crate) parent: Option<ModuleId>,
    pub(crate) file: String,
    pub(crate) children: BTreeMap<String, ModuleId>,
    pub(crate) contents: Contents,
}

/// The crates of the repository with their modules, as plain data.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) sources: Sources,
    pub(crate) crates: Vec<CrateRoot>,
    pub(crate) modules: Vec<Module>,
    /// `file: module` for every `mod name;` whose file was not found.
    pub(crate) missing: Vec<String>,
}

impl Tree {
    /// The real tree, from the repository's root.
    pub(crate) fn read(repository: &Path) -> Tree {
        Tree::new(Sources::read(repository))
    }

    /// A planted tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree::new(Sources::of(files))
    }

    fn new(sources: Sources) -> Tree {
        let parsed: BTreeMap<String, Vec<Item>> =
            sources.0.iter().map(|(path, text)| (path.clone(), parse(path, text))).collect();
        let declared: BTreeSet<String> =
            parsed.iter().flat_map(|(path, items)| declared_files(path, items, &sources)).collect();
        let mut tree = Tree { sources, ..Tree::default() };
        for (path, items) in &parsed {
            // A file that no other declares as its module is the root of a crate.
            if declared.contains(path) {
                continue;
            }
            let crate_id = tree.crates.len();
            tree.crates.push(CrateRoot { name: library_name(path), root: tree.modules.len() });
            let place =
                Place { crate_id, parent: None, file: path.clone(), folder: folder_of(path) };
            tree.add(&place, items, &parsed);
        }
        tree
    }

    fn add(
        &mut self,
        place: &Place,
        items: &[Item],
        parsed: &BTreeMap<String, Vec<Item>>,
    ) -> ModuleId {
        let id = self.modules.len();
        self.modules.push(Module {
            crate_id: place.crate_id,
            parent: place.parent,
            file: place.file.clone(),
            children: BTreeMap::new(),
            contents: imports::read(items),
        });
        for (module, attributes) in items.iter().filter_map(declaration) {
            if is_test_only(attributes) || is_included_by_path(attributes) {
                continue;
            }
            let name = plain(&module.ident);
            let inside = Place { crate_id: place.crate_id, parent: Some(id), ..place.child(&name) };
            let child = if let Some((_, items)) = &module.content {
                Some(self.add(&Place { file: place.file.clone(), ..inside }, items, parsed))
            } else {
                let found = module_files(&place.folder, &name)
                    .into_iter()
                    .find_map(|f| parsed.get_key_value(&f));
                if found.is_none() {
                    self.missing.push(format!("{}: mod {name}", place.file));
                }
                found.map(|(file, items)| {
                    self.add(&Place { file: file.clone(), ..inside }, items, parsed)
                })
            };
            if let Some(child) = child {
                self.modules[id].children.insert(name, child);
            }
        }
        id
    }

    /// Whether one module stands in the other, at any depth.
    pub(crate) fn is_inside(&self, inner: ModuleId, outer: ModuleId) -> bool {
        let mut above = self.modules[inner].parent;
        while let Some(module) = above {
            if module == outer {
                return true;
            }
            above = self.modules[module].parent;
        }
        false
    }
}

/// Where a module is put, and the folder where the files of its own modules are.
struct Place {
    crate_id: usize,
    parent: Option<ModuleId>,
    file: String,
    folder: String,
}

impl Place {
    fn child(&self, name: &str) -> Place {
        Place {
            crate_id: self.crate_id,
            parent: None,
            file: String::new(),
            folder: format!("{}/{name}", self.folder),
        }
    }
}

fn parse(path: &str, text: &str) -> Vec<Item> {
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{path} is Rust: {e}"));
    parsed.items
}

fn declaration(item: &Item) -> Option<(&syn::ItemMod, &[Attribute])> {
    if let Item::Mod(module) = item { Some((module, &module.attrs)) } else { None }
}

/// The files that a file's `mod name;` may mean: it is not known yet whether that file is a crate's
/// root.
fn declared_files(path: &str, items: &[Item], sources: &Sources) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let mut folders = vec![stem.to_owned()];
    if path.ends_with("/mod.rs") || library_name(path).is_some() || is_root_by_name(path) {
        folders = vec![folder_of(path)];
    } else if path.starts_with("tests/") || path.contains("/tests/") {
        folders.push(folder_of(path));
    }
    let mut found = Vec::new();
    for folder in folders {
        declared_below(&folder, items, &mut found);
    }
    found.retain(|file| sources.0.contains_key(file));
    found
}

fn declared_below(folder: &str, items: &[Item], found: &mut Vec<String>) {
    for (module, _) in items.iter().filter_map(declaration) {
        let name = plain(&module.ident);
        match &module.content {
            Some((_, items)) => declared_below(&format!("{folder}/{name}"), items, found),
            None => found.extend(module_files(folder, &name)),
        }
    }
}

fn module_files(folder: &str, name: &str) -> [String; 2] {
    [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]
}

fn folder_of(path: &str) -> String {
    path.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
}

fn is_root_by_name(path: &str) -> bool {
    path.ends_with("/main.rs") || path.ends_with("/lib.rs")
}

/// The name of the library whose root this file is: `moondrop_` and the package's folder.
fn library_name(path: &str) -> Option<String> {
    let package = path.strip_suffix("/src/lib.rs")?;
    let folder = package.rsplit('/').next()?;
    Some(format!("moondrop_{folder}"))
}
