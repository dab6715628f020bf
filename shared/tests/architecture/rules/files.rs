//! Rules on the text of a file: its length, its signatures, and how it is included.

use super::{Violation, sorted};
use crate::source_tree::Tree;
use crate::tokens;
use proc_macro2::TokenStream;
use std::str::FromStr;
use syn::visit::{self, Visit};

/// A longer file holds more than one thing.
const MAX_LINES: usize = 400;
/// `self` is not counted. A function that needs more takes a struct: its fields have names where
/// the function is called.
const MAX_PARAMETERS: usize = 4;

/// No file is longer than [`MAX_LINES`].
pub(crate) fn long_files(tree: &Tree) -> Vec<Violation> {
    let lines = tree.sources.0.iter().map(|(file, text)| (file, text.lines().count()));
    let long = lines.filter(|(_, lines)| *lines > MAX_LINES).map(|(file, lines)| Violation {
        file: file.clone(),
        line: None,
        what: format!("{lines} lines"),
        why: format!("a file has at most {MAX_LINES} lines"),
        rule: "files under 400 lines",
    });
    sorted(long.collect())
}

/// No file is included by `#[path]` or by `include!`.
pub(crate) fn path_inclusions(tree: &Tree) -> Vec<Violation> {
    let found = tree.sources.0.iter().flat_map(|(file, text)| {
        let tokens = TokenStream::from_str(text).unwrap_or_else(|e| panic!("{file} is Rust: {e}"));
        tokens::path_attributes(tokens).into_iter().map(|line| Violation {
            file: file.clone(),
            line: Some(line),
            what: "a file is included by its path".to_owned(),
            why: "a module stands where its name says, and is compiled once".to_owned(),
            rule: "no file is included by #[path]",
        })
    });
    sorted(found.collect())
}

/// No function takes more than [`MAX_PARAMETERS`] parameters.
pub(crate) fn long_signatures(tree: &Tree) -> Vec<Violation> {
    let found = tree.sources.0.iter().flat_map(|(file, text)| {
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file} is Rust: {e}"));
        let mut signatures = Signatures::default();
        signatures.visit_file(&parsed);
        signatures.0.into_iter().map(|(name, parameters, line)| Violation {
            file: file.clone(),
            line: Some(line),
            what: format!("`fn {name}` has {parameters} parameters"),
            why: format!(
                "a function has at most {MAX_PARAMETERS}, `self` not counted; pass a struct instead"
            ),
            rule: "at most four parameters",
        })
    });
    sorted(found.collect())
}

#[derive(Default)]
struct Signatures(Vec<(String, usize, usize)>);

impl<'ast> Visit<'ast> for Signatures {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        let parameters =
            signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_))).count();
        if parameters > MAX_PARAMETERS {
            self.0.push((
                signature.ident.to_string(),
                parameters,
                signature.ident.span().start().line,
            ));
        }
        visit::visit_signature(self, signature);
    }
}
