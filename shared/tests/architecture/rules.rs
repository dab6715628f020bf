//! The rules. Each gives what breaks it, in plain English; none means that it holds.

pub(crate) mod cycles;
pub(crate) mod files;
pub(crate) mod rooms;

use crate::resolve::Target;
use crate::source_tree::{Module, ModuleId, Tree};
use crate::syntax::Written;
use std::fmt;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) file: String,
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        write!(f, "{}{line}: {}: {} [rule: {}]", self.file, self.what, self.why, self.rule)
    }
}

/// A path in a file, with one of the things that it means.
pub(crate) struct Named<'a> {
    pub(crate) from: ModuleId,
    pub(crate) written: &'a Written,
    pub(crate) target: Target,
    /// A `pub use` of an item in a module inside this one. A parent may re-export what its modules
    /// define.
    pub(crate) re_exports_own: bool,
    is_import: bool,
    is_glob: bool,
}

impl Named<'_> {
    pub(crate) fn text(&self) -> String {
        self.written.segments.join("::")
    }

    /// The module that defines the item. A path that only imports a module uses none of its items:
    /// each use has a path of its own. A glob counts as a use of the module that it imports from.
    pub(crate) fn used_module(&self) -> Option<ModuleId> {
        match &self.target {
            Target::Item { module, .. } => Some(*module),
            Target::Module(module) if self.is_glob => Some(*module),
            _ => None,
        }
    }

    /// The module that defines the item, or the module that the path itself names.
    pub(crate) fn named_module(&self) -> Option<ModuleId> {
        match &self.target {
            Target::Module(module) if self.is_import || self.written.segments.len() > 1 => {
                Some(*module)
            }
            _ => self.used_module(),
        }
    }

    /// The path in another crate that this one means. A lone word is not taken for a crate unless
    /// it is imported.
    pub(crate) fn external(&self) -> Option<&[String]> {
        match &self.target {
            Target::External(path) if self.is_import || path.len() > 1 => Some(path),
            _ => None,
        }
    }
}

impl Tree {
    /// Every path of every module, with each of its meanings.
    pub(crate) fn named(&self) -> impl Iterator<Item = Named<'_>> {
        self.modules.iter().enumerate().flat_map(|(from, module)| self.named_in(from, module))
    }

    fn named_in<'a>(
        &'a self,
        from: ModuleId,
        module: &'a Module,
    ) -> impl Iterator<Item = Named<'a>> {
        let contents = &module.contents;
        let imports =
            contents.imports.iter().map(|i| (&i.path, true, i.name.is_none(), i.is_public));
        let mentions = contents.mentions.iter().map(|path| (path, false, false, false));
        imports.chain(mentions).flat_map(move |(written, is_import, is_glob, is_public)| {
            self.resolve(from, written).into_iter().map(move |target| {
                let inside = match target {
                    Target::Item { module, .. } | Target::Module(module) => {
                        self.is_inside(module, from)
                    }
                    _ => false,
                };
                Named {
                    from,
                    written,
                    target,
                    re_exports_own: is_public && inside,
                    is_import,
                    is_glob,
                }
            })
        })
    }

    pub(crate) fn file(&self, module: ModuleId) -> &str {
        &self.modules[module].file
    }
}

/// In the order of files and lines.
pub(crate) fn sorted(mut found: Vec<Violation>) -> Vec<Violation> {
    found.sort();
    found.dedup();
    found
}

/// Every path into our modules can be followed; one that cannot be followed is a blind spot of the
/// other rules.
pub(crate) fn unresolved(tree: &Tree) -> Vec<Violation> {
    let rule = "every path into our own modules can be followed";
    let missing = tree.missing.iter().map(|missing| Violation {
        file: missing.split(':').next().unwrap_or_default().to_owned(),
        line: None,
        what: missing.clone(),
        why: "the module's file was not found".to_owned(),
        rule,
    });
    let unknown = tree.named().filter_map(|named| {
        let Target::Unknown(segment) = &named.target else { return None };
        Some(Violation {
            file: tree.file(named.from).to_owned(),
            line: Some(named.written.line),
            what: named.text(),
            why: format!(
                "`{segment}` was not found, so that the rules on imports cannot be checked here"
            ),
            rule,
        })
    });
    sorted(missing.chain(unknown).collect())
}
