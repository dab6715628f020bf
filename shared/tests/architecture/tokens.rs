//! Paths and names among bare tokens: what stands inside macros and attributes has no other form.

use crate::syntax::{Written, plain, written};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Words after which a name is defined.
const DEFINING: [&str; 9] =
    ["const", "enum", "fn", "macro_rules", "mod", "static", "struct", "trait", "type"];

/// Every path among the tokens, at any depth, as `name` or `name::name`.
pub(crate) fn paths(tokens: TokenStream) -> Vec<Written> {
    let mut found = Vec::new();
    collect(tokens, &[], &mut found);
    found
}

fn collect(tokens: TokenStream, prefix: &[String], found: &mut Vec<Written>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(first) => {
                let (segments, next) = chain(&tokens, at);
                let absolute = prefix.is_empty() && is_absolute(&tokens, at);
                // A field or a method, or the rest of a path such as `<T as Trait>::name`.
                let belongs_to_another = (is_punct(before(&tokens, at, 1), '.')
                    && !is_punct(before(&tokens, at, 2), '.'))
                    || (is_after_colons(&tokens, at) && !absolute);
                let whole = [prefix, &segments].concat();
                match tokens.get(next) {
                    // `use a::{b, c}`
                    Some(TokenTree::Group(group))
                        if is_after_colons(&tokens, next)
                            && group.delimiter() == Delimiter::Brace =>
                    {
                        collect(group.stream(), &whole, found);
                        at = next + 1;
                        continue;
                    }
                    _ if belongs_to_another => {}
                    _ => found.push(Written {
                        segments: whole,
                        absolute,
                        line: first.span().start().line,
                    }),
                }
                at = next;
            }
            TokenTree::Group(group) => {
                collect(group.stream(), &[], found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The segments of the path that begins here, and the place behind it and its last `::`.
fn chain(tokens: &[TokenTree], start: usize) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut at = start;
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        segments.push(plain(name));
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
    }
    (segments, at)
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn before(tokens: &[TokenTree], at: usize, back: usize) -> Option<&TokenTree> {
    at.checked_sub(back).and_then(|i| tokens.get(i))
}

fn is_after_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(before(tokens, at, 1), ':') && is_punct(before(tokens, at, 2), ':')
}

/// `::name` with nothing before it that it could be the rest of.
fn is_absolute(tokens: &[TokenTree], at: usize) -> bool {
    is_after_colons(tokens, at)
        && !is_punct(before(tokens, at, 3), '>')
        && !matches!(before(tokens, at, 3), Some(TokenTree::Ident(_)))
}

/// The paths in an attribute's strings, as in `#[serde(with = "crate::form")]`.
pub(crate) fn quoted_paths(tokens: TokenStream) -> Vec<Written> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => found.extend(quoted_paths(group.stream())),
            TokenTree::Literal(literal) => {
                let line = literal.span().start().line;
                let text = literal.to_string();
                let Ok(path) = syn::parse_str::<syn::Path>(text.trim_matches('"')) else {
                    continue;
                };
                if path.segments.len() > 1 {
                    found.push(Written { line, ..written(&path) });
                }
            }
            _ => {}
        }
    }
    found
}

/// The names that the tokens define: each that follows `struct`, `fn` and the like.
pub(crate) fn defined_names(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    let mut defining = false;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if defining {
                    found.push(plain(&name));
                }
                defining = DEFINING.contains(&name.to_string().as_str());
            }
            TokenTree::Group(group) => {
                found.extend(defined_names(group.stream()));
                defining = false;
            }
            _ => defining = false,
        }
    }
    found
}

/// The lines of every `#[path = …]`, also inside `cfg_attr` and macros, and of every `include!`.
pub(crate) fn path_attributes(tokens: TokenStream) -> Vec<usize> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if is_attribute(&tokens, at) && names_path(group.stream()) => {
                found.push(group.span_open().start().line);
            }
            TokenTree::Group(group) => found.extend(path_attributes(group.stream())),
            TokenTree::Ident(name) if name == "include" && is_punct(tokens.get(at + 1), '!') => {
                found.push(name.span().start().line);
            }
            _ => {}
        }
    }
    found
}

fn is_attribute(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(before(tokens, at, 1), '#')
        || (is_punct(before(tokens, at, 1), '!') && is_punct(before(tokens, at, 2), '#'))
}

/// `path = …`, or `cfg_attr(…, path = …)`.
fn names_path(attribute: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = attribute.into_iter().collect();
    let Some(TokenTree::Ident(name)) = tokens.first() else { return false };
    if name == "cfg_attr" {
        let Some(TokenTree::Group(group)) = tokens.get(1) else { return false };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        return (0..inner.len()).any(|at| is_path_assignment(&inner, at));
    }
    is_path_assignment(&tokens, 0)
}

fn is_path_assignment(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(name)) if name == "path")
        && is_punct(tokens.get(at + 1), '=')
}
