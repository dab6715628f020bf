//! Small questions about syntax.

use syn::{Attribute, Ident, Item, Visibility};

/// A path as it is written: `crate::part::PartRecord`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) segments: Vec<String>,
    /// It begins with `::`, so that its first segment is a crate.
    pub(crate) absolute: bool,
    pub(crate) line: usize,
}

/// A path of the syntax tree, its arguments left out.
pub(crate) fn written(path: &syn::Path) -> Written {
    let line = path.segments.first().map_or(0, |s| s.ident.span().start().line);
    let segments = path.segments.iter().map(|s| plain(&s.ident)).collect();
    Written { segments, absolute: path.leading_colon.is_some(), line }
}

/// A name without the `r#` of a raw identifier.
pub(crate) fn plain(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").map_or_else(|| name.clone(), str::to_owned)
}

/// Whether an item is compiled for its crate's own tests alone.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|a| a.path().is_ident("cfg")).any(|a| {
        let syn::Meta::List(list) = &a.meta else { return false };
        let condition = list.tokens.to_string();
        condition == "test"
            || (condition.starts_with("all")
                && condition.contains("test")
                && !condition.contains("not"))
    })
}

pub(crate) fn is_included_by_path(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("path"))
}

pub(crate) fn is_visible(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::ExternCrate(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}
