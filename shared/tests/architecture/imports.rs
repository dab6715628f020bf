//! Every name that a module defines, imports or mentions: in `use`, types, expressions, patterns,
//! attributes and macros.

use crate::syntax::{Written, attributes, is_test_only, is_visible, plain, written};
use crate::tokens;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, UseTree};

/// One name that a `use` brings into a module.
#[derive(Debug)]
pub(crate) struct Import {
    /// The name in this module; none for a glob.
    pub(crate) name: Option<String>,
    pub(crate) path: Written,
    /// Whether others can import it from here.
    pub(crate) is_public: bool,
}

/// What stands in a module, that of its own modules left out.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) defined: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Written>,
    /// The types that others can reach: those of visible fields and of what visible functions
    /// return, each with its owner.
    pub(crate) shown: Vec<(String, Written)>,
}

/// Reads a module's items; what is compiled for tests alone is left out.
pub(crate) fn read(items: &[Item]) -> Contents {
    let mut collector = Collector::default();
    for item in items {
        if matches!(item, Item::Mod(_)) || is_test_only(attributes(item)) {
            continue;
        }
        collector.define(item);
        collector.visit_item(item);
    }
    collector.0
}

#[derive(Default)]
struct Collector(Contents);

impl Collector {
    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(i) => &i.ident,
            Item::Enum(i) => &i.ident,
            Item::Fn(i) => &i.sig.ident,
            Item::Static(i) => &i.ident,
            Item::Struct(i) => &i.ident,
            Item::Trait(i) => &i.ident,
            Item::TraitAlias(i) => &i.ident,
            Item::Type(i) => {
                self.alias(i);
                &i.ident
            }
            Item::Union(i) => &i.ident,
            Item::Macro(i) => {
                // What a macro makes is named in its rules or where it is called.
                self.0.defined.extend(tokens::defined_names(i.mac.tokens.clone()));
                self.0.defined.extend(i.ident.as_ref().map(plain));
                return;
            }
            _ => return,
        };
        self.0.defined.insert(plain(name));
    }

    /// Another name for a type hides it no better than an import that renames it.
    fn alias(&mut self, item: &syn::ItemType) {
        if let syn::Type::Path(aliased) = &*item.ty {
            self.0.imports.push(Import {
                name: Some(plain(&item.ident)),
                path: written(&aliased.path),
                is_public: false,
            });
        }
    }

    fn show(&mut self, owner: &Ident, show: impl FnOnce(&mut Collector)) {
        let mut inside = Collector::default();
        show(&mut inside);
        self.0.shown.extend(inside.0.mentions.into_iter().map(|path| (plain(owner), path)));
    }

    fn import(&mut self, tree: &UseTree, walk: &Walk) {
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &walk.with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, walk)),
            UseTree::Glob(_) => self.push_import(None, walk),
            UseTree::Name(name) if name.ident == "self" => {
                self.push_import(walk.prefix.last().cloned(), walk)
            }
            UseTree::Name(name) => {
                self.push_import(Some(plain(&name.ident)), &walk.with(&name.ident))
            }
            UseTree::Rename(rename) => {
                let walk = if rename.ident == "self" && !walk.prefix.is_empty() {
                    walk.clone()
                } else {
                    walk.with(&rename.ident)
                };
                self.push_import(Some(plain(&rename.rename)), &walk);
            }
        }
    }

    fn push_import(&mut self, name: Option<String>, walk: &Walk) {
        let path =
            Written { segments: walk.prefix.clone(), absolute: walk.absolute, line: walk.line };
        self.0.imports.push(Import { name, path, is_public: walk.is_public });
    }
}

/// The way into the tree of a `use`.
#[derive(Clone)]
struct Walk {
    prefix: Vec<String>,
    absolute: bool,
    is_public: bool,
    line: usize,
}

impl Walk {
    fn with(&self, segment: &Ident) -> Walk {
        let mut walk = self.clone();
        walk.prefix.push(plain(segment));
        walk.line = segment.span().start().line;
        walk
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        for field in item.fields.iter().filter(|field| is_visible(&field.vis)) {
            self.show(&item.ident, |inside| inside.visit_type(&field.ty));
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if is_visible(&function.vis) {
            self.show(&function.sig.ident, |inside| inside.visit_return_type(&function.sig.output));
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test_only(&function.attrs) {
            if is_visible(&function.vis) {
                self.show(&function.sig.ident, |inside| {
                    inside.visit_return_type(&function.sig.output)
                });
            }
            visit::visit_impl_item_fn(self, function);
        }
    }

    // What is visible where is left to rustc.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    // Those inside a function's body are taken for the whole module's.
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let walk = Walk {
            prefix: Vec::new(),
            absolute: item.leading_colon.is_some(),
            is_public: is_visible(&item.vis),
            line: item.use_token.span.start().line,
        };
        self.import(&item.tree, &walk);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
        let walk =
            Walk { prefix: Vec::new(), absolute: true, is_public: is_visible(&item.vis), line: 0 };
        self.push_import(Some(plain(name)), &walk.with(&item.ident));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.mentions.push(written(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.0.mentions.extend(tokens::paths(mac.tokens.clone()));
        visit::visit_macro(self, mac);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        if let syn::Meta::List(list) = &attribute.meta {
            self.0.mentions.extend(tokens::paths(list.tokens.clone()));
            self.0.mentions.extend(tokens::quoted_paths(list.tokens.clone()));
        }
        visit::visit_attribute(self, attribute);
    }
}
