//! The `labels` of a result. Several forms are accepted: the Batch API's documentation does not
//! show the objects' keys.

use serde_json::Value;
use std::cmp::Ordering;

/// The possible keys of a label's name.
const NAMES: [&str; 4] = ["label", "name", "label_name", "labelName"];

/// The possible keys of a label's score.
const SCORES: [&str; 2] = ["score", "confidence"];

/// A label of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its score, from 0 to 1.
    pub score: f64,
}

/// Reads the `labels` field of a result: a JSON array of objects, each with a name and a score, or
/// one object that maps each name to its score. Empty text and `null` have no labels; such a row
/// may not have been evaluated, see [`is_blank`].
///
/// # Errors
/// `Err(())` for any other form: the field is then written as it is, and counted as unreadable.
#[allow(clippy::result_unit_err)]
pub fn read_labels(text: &str) -> Result<Vec<Label>, ()> {
    if is_blank(text) {
        return Ok(Vec::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(values)) => values.iter().map(read_label).collect(),
        // A single label without a list around it.
        Ok(value) if has_one_of(&value, &NAMES) && has_one_of(&value, &SCORES) => Err(()),
        Ok(Value::Object(map)) => {
            let label = |(name, score): (&String, &Value)| {
                Ok(Label { name: name.clone(), score: number(score).ok_or(())? })
            };
            map.iter().map(label).collect()
        }
        _ => Err(()),
    }
}

fn read_label(value: &Value) -> Result<Label, ()> {
    let name = NAMES.iter().find_map(|key| value.get(key)?.as_str()).ok_or(())?;
    let score = SCORES.iter().find_map(|key| number(value.get(key)?)).ok_or(())?;
    Ok(Label { name: name.to_owned(), score })
}

fn has_one_of(value: &Value, keys: &[&str]) -> bool {
    keys.iter().any(|key| value.get(key).is_some())
}

/// A finite number, or one in quotes.
fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())
        .filter(|number| number.is_finite())
}

/// Whether the field is empty or `null`.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    matches!(text.trim(), "" | "null")
}

/// Whether the field is an empty list, `[]` or `{}`: no label applies.
#[must_use]
pub fn is_empty_list(text: &str) -> bool {
    let text = text.trim();
    let inner = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    inner('[', ']').or_else(|| inner('{', '}')).is_some_and(|inner| inner.trim().is_empty())
}

/// Whether two `labels` fields are equal: the same names with the same scores in any order or, if
/// one cannot be read, the same text.
#[must_use]
pub fn say_the_same(one: &str, other: &str) -> bool {
    match (read_labels(one), read_labels(other)) {
        (Ok(one), Ok(other)) => sorted(one) == sorted(other),
        _ => one.trim() == other.trim(),
    }
}

/// Sorted, without duplicates.
fn sorted(mut labels: Vec<Label>) -> Vec<Label> {
    let order = |a: &Label, b: &Label| {
        a.name.cmp(&b.name).then(a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal))
    };
    labels.sort_by(order);
    labels.dedup();
    labels
}
