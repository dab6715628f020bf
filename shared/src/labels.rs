//! The `labels` of a result, read tolerantly: the Batch API's documentation does not show the objects' keys.

use serde_json::Value;

/// The keys a label's name may stand under.
const NAMES: [&str; 4] = ["label", "name", "label_name", "labelName"];

/// A label of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its score, from 0 to 1.
    pub score: f64,
}

/// Reads the `labels` field of a result; empty text means no labels.
///
/// # Errors
/// `Err(())` where it is not a JSON array of objects with a name and a score: the field is then handed on as it is, and
/// counted as unreadable.
#[allow(clippy::result_unit_err)]
pub fn read_labels(text: &str) -> Result<Vec<Label>, ()> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let values = match serde_json::from_str(text) {
        Ok(Value::Array(values)) => values,
        Ok(Value::Null) => return Ok(Vec::new()),
        _ => return Err(()),
    };
    values
        .iter()
        .map(|value| {
            let name = NAMES.iter().find_map(|key| value.get(key)?.as_str()).ok_or(())?;
            let score = value.get("score").and_then(number).filter(|s| s.is_finite()).ok_or(())?;
            Ok(Label { name: name.to_owned(), score })
        })
        .collect()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}
