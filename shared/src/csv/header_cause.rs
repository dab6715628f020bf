//! Why a header lacks a column: by its names alone, since they are no content. A name is shown only
//! if it is one that Moondrop knows but for its spelling.

use super::mapping::Mapping;
use super::separator::Separator;
use super::text::{code_point, is_invisible, trim};
use icu_normalizer::ComposingNormalizerBorrowed;

/// Why the column `name` is missing among these.
pub(super) fn missing(name: &str, names: &[String]) -> String {
    if names.iter().any(|n| matches!(n.as_str(), "text" | "image_url"))
        && !names.iter().any(|n| ["ref_id", "type", "content"].contains(&n.as_str()))
    {
        return "the file has no header: write `ref_id,type,content`, in the order of your columns, above its rows".to_owned();
    }
    let alike = names.iter().position(|n| skeleton(n) == skeleton(name));
    match alike {
        Some(at) => {
            format!("the column `{name}` is missing: {}", misspelt(name, &names[at], at + 1))
        }
        None => format!(
            "the column `{name}` is missing; a file needs `ref_id`, `type` and `content`, in any order: rename a column, or add it"
        ),
    }
}

/// What is different in a name that looks like `name`.
fn misspelt(name: &str, found: &str, column: usize) -> String {
    let inner = trim(found);
    if let Some(c) = inner.chars().find(|c| is_invisible(*c) || (c.is_whitespace() && *c != ' ')) {
        return format!(
            "the name of column {column} has the invisible character {} in it; write `{name}`",
            code_point(c)
        );
    }
    if let Some(c) = inner.chars().find(|c| !c.is_ascii()) {
        let like = skeleton(&c.to_string());
        return format!(
            "the name of column {column} has the character {}, which only looks like `{like}`; write `{name}`",
            code_point(c)
        );
    }
    if inner.eq_ignore_ascii_case(name) {
        return format!(
            "column {column} is named `{inner}`, and names must be lower-case; write `{name}`"
        );
    }
    format!("column {column} is named `{inner}`; write `{name}`")
}

/// A name as the eye takes it: in small Latin letters, without what separates or cannot be seen.
fn skeleton(name: &str) -> String {
    let folded = ComposingNormalizerBorrowed::new_nfkc().normalize(name).to_lowercase();
    let seen = folded.chars().filter(|c| !is_invisible(*c) && !c.is_whitespace());
    seen.filter(|c| !matches!(c, '_' | '-' | '\u{2010}' | '\u{2011}')).map(latin).collect()
}

/// The Latin letter that a letter of the columns' names is mistaken for.
fn latin(c: char) -> char {
    match c {
        '\u{0435}' | '\u{03b5}' | '\u{0451}' => 'e',
        '\u{043e}' | '\u{03bf}' | '\u{0585}' => 'o',
        '\u{0441}' | '\u{03f2}' => 'c',
        '\u{0440}' | '\u{03c1}' => 'p',
        '\u{0443}' | '\u{03b3}' => 'y',
        '\u{0456}' | '\u{03b9}' | '\u{0131}' => 'i',
        '\u{0442}' | '\u{03c4}' => 't',
        '\u{0433}' => 'r',
        '\u{043f}' | '\u{0578}' => 'n',
        '\u{0501}' => 'd',
        other => other,
    }
}

/// Why a column is missing that a mapping asks for.
pub(super) fn missing_mapped(name: &str, mapping: &Mapping, names: &[String]) -> String {
    let mut roles = ["ref_id", "type", "content"]
        .into_iter()
        .filter(|role| mapping.name_of(role) == Some(name));
    let role = roles.next_back().unwrap_or("content");
    let which = if name.is_empty() {
        "a column without a name".to_owned()
    } else {
        format!("the column `{name}`")
    };
    if let Some(at) = names.iter().position(|n| !name.is_empty() && skeleton(n) == skeleton(name)) {
        return format!("{which} is missing: {}", misspelt(name, &names[at], at + 1));
    }
    let advice = match role {
        "ref_id" => "map another with `--map ref_id=…`, or number the rows with `--map ref_id=#`",
        "type" => "map another with `--map type=…`, or give all rows one with `--type`",
        _ => "map another with `--map content=…`",
    };
    format!("{which} is missing, which the mapping takes for `{role}`: {advice}")
}

/// Another separator than the mapping's, in a header that lacks a column.
pub(crate) fn other_separator(line: &str, mapping: &Mapping) -> Option<String> {
    let has = |separator: Separator| line.bytes().any(|b| b == separator.byte());
    if has(mapping.separator) {
        return None;
    }
    let other = Separator::ALL.into_iter().find(|other| has(*other))?;
    let (found, name, mapped) = (other.plural(), other.name(), mapping.separator.plural());
    Some(format!(
        "the columns are separated by {found}, and the mapping says {mapped}: give `--separator {name}`, or `\"separator\": \"{name}\"` in the mapping"
    ))
}
