//! The mapping of a file whose columns have other names, another separator, or no `ref_id` or
//! `type` at all.

use super::kind::Kind;
use super::separator::Separator;
use super::text::trim;
use crate::plan::OnBadRows;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest mapping, in bytes of its JSON. The drop's record keeps it.
pub const MAX_MAPPING_BYTES: usize = 16 * 1024;

/// Where the `ref_id` of a row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefIdFrom {
    /// The column of this name.
    Column(String),
    /// The row's number in its file, counted from 1.
    RowNumber,
}

/// Where the `type` of a row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindFrom {
    /// The column of this name.
    Column(String),
    /// All rows have the same.
    Constant(Kind),
}

/// How the columns of a file are to be read. The default is how a file is read that has no mapping.
///
/// ```
/// use moondrop_shared::csv::mapping::{Mapping, RefIdFrom};
///
/// let json = br#"{"columns": {"content": "body"}, "ref_id": "row_number", "type": "text"}"#;
/// let mapping = Mapping::read(json)?;
/// assert_eq!((mapping.content.as_str(), mapping.ref_id), ("body", RefIdFrom::RowNumber));
///
/// let wrong = Mapping::read(br#"{"columns": {"text": "body"}}"#);
/// assert_eq!(wrong.unwrap_err(), "`columns` has no field `text`: its fields are `ref_id`, `type` and `content`");
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Mapping {
    /// The source of `ref_id`.
    pub ref_id: RefIdFrom,
    /// The source of `type`.
    pub kind: KindFrom,
    /// The name of the column that is sent as `content`.
    pub content: String,
    /// What separates the columns.
    pub separator: Separator,
    /// What to do with invalid rows, in place of the setting.
    pub on_bad_rows: Option<OnBadRows>,
}

impl Default for Mapping {
    fn default() -> Self {
        Mapping {
            ref_id: RefIdFrom::Column("ref_id".to_owned()),
            kind: KindFrom::Column("type".to_owned()),
            content: "content".to_owned(),
            separator: Separator::Comma,
            on_bad_rows: None,
        }
    }
}

impl Mapping {
    /// Reads a mapping's JSON.
    ///
    /// # Errors
    /// What is wrong with it, and with which field or on which line.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        if json.len() > MAX_MAPPING_BYTES {
            return Err(format!("it is longer than {MAX_MAPPING_BYTES} bytes, which is the most"));
        }
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| format!("it is no valid JSON: {error}"))?;
        check_fields(&value)?;
        // From the text once more: it shows a field that stands twice.
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// The column that is taken for `column`, one of the three that a file needs.
    pub(super) fn name_of(&self, column: &str) -> Option<&str> {
        match (column, &self.ref_id, &self.kind) {
            ("ref_id", RefIdFrom::Column(name), _) | ("type", _, KindFrom::Column(name)) => {
                Some(name)
            }
            ("content", ..) => Some(&self.content),
            _ => None,
        }
    }
}

/// The form of a mapping in JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Form {
    columns: Columns,
    #[serde(skip_serializing_if = "Option::is_none")]
    ref_id: Option<Number>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    separator: Separator,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_bad_rows: Option<OnBadRows>,
    #[serde(rename = "$schema", skip_serializing)]
    _schema: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Columns {
    #[serde(skip_serializing_if = "Option::is_none")]
    ref_id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Number {
    RowNumber,
}

impl TryFrom<Form> for Mapping {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let name = |name: Option<String>, own: &str| {
            name.map_or_else(|| own.to_owned(), |name| trim(&name).to_owned())
        };
        let twice = |field: &str, constant: &str| {
            format!("`{field}` is `{constant}`, and `columns.{field}` names a column: keep one")
        };
        let Columns { ref_id, kind, content } = form.columns;
        let mapping = Mapping {
            ref_id: match (form.ref_id, ref_id) {
                (Some(_), Some(_)) => return Err(twice("ref_id", "row_number")),
                (Some(Number::RowNumber), None) => RefIdFrom::RowNumber,
                (None, column) => RefIdFrom::Column(name(column, "ref_id")),
            },
            kind: match (form.kind, kind) {
                (Some(kind), Some(_)) => return Err(twice("type", kind.as_str())),
                (Some(kind), None) => KindFrom::Constant(kind),
                (None, column) => KindFrom::Column(name(column, "type")),
            },
            content: name(content, "content"),
            separator: form.separator,
            on_bad_rows: form.on_bad_rows,
        };
        // A text may well be its own identifier; a type is neither.
        let kind = mapping.name_of("type");
        let same = |role: &&str| kind.is_some() && mapping.name_of(role) == kind;
        if let Some(role) = ["ref_id", "content"].into_iter().find(same) {
            return Err(format!("`type` and `{role}` have the same column: map one of them"));
        }
        Ok(mapping)
    }
}

impl From<Mapping> for Form {
    fn from(mapping: Mapping) -> Self {
        let (ref_id, number) = match mapping.ref_id {
            RefIdFrom::Column(name) => (Some(name), None),
            RefIdFrom::RowNumber => (None, Some(Number::RowNumber)),
        };
        let (column, kind) = match mapping.kind {
            KindFrom::Column(name) => (Some(name), None),
            KindFrom::Constant(kind) => (None, Some(kind)),
        };
        Form {
            columns: Columns { ref_id, kind: column, content: Some(mapping.content) },
            ref_id: number,
            kind,
            separator: mapping.separator,
            on_bad_rows: mapping.on_bad_rows,
            _schema: None,
        }
    }
}

/// The fields of a mapping, and the values that each may have; any text if none is listed.
const FIELDS: [(&str, &[&str]); 6] = [
    ("columns", &[]),
    ("ref_id", &["row_number"]),
    ("type", &["text", "image_url"]),
    ("separator", &["comma", "semicolon", "tab"]),
    ("on_bad_rows", &["submit_valid", "reject_file"]),
    ("$schema", &[]),
];

/// Names the field that is wrong.
fn check_fields(value: &Value) -> Result<(), String> {
    let Value::Object(fields) = value else {
        return Err("it is no JSON object: write `{…}`".to_owned());
    };
    for (field, value) in fields {
        let Some((_, values)) = FIELDS.iter().find(|(name, _)| name == field) else {
            return Err(format!(
                "there is no field `{field}`: the fields are `columns`, `ref_id`, `type`, `separator` and `on_bad_rows`"
            ));
        };
        if field == "columns" {
            check_columns(value)?;
            continue;
        }
        let text = value.as_str().ok_or_else(|| format!("`{field}` is no text: quote it"))?;
        if !values.is_empty() && !values.contains(&text) {
            return Err(format!("`{field}` is none of `{}`", values.join("`, `")));
        }
    }
    Ok(())
}

fn check_columns(value: &Value) -> Result<(), String> {
    let Value::Object(columns) = value else {
        return Err("`columns` is no JSON object: write `{\"content\": \"…\"}`".to_owned());
    };
    for (column, name) in columns {
        if !["ref_id", "type", "content"].contains(&column.as_str()) {
            return Err(format!(
                "`columns` has no field `{column}`: its fields are `ref_id`, `type` and `content`"
            ));
        }
        if !name.is_string() {
            return Err(format!("`columns.{column}` is no text: write the name of a column"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_reads_back_as_it_was_written() {
        let whole =
            br#"{"$schema": "x", "columns": {"ref_id": " id ", "content": ""}, "type": "image_url",
            "separator": "tab", "on_bad_rows": "reject_file"}"#;
        let mapping = Mapping::read(whole).unwrap();
        assert_eq!(mapping.ref_id, RefIdFrom::Column("id".to_owned()));
        assert_eq!(mapping.kind, KindFrom::Constant(Kind::ImageUrl));
        assert_eq!((mapping.content.as_str(), mapping.separator), ("", Separator::Tab));
        assert_eq!(mapping.on_bad_rows, Some(OnBadRows::RejectFile));
        for mapping in [mapping, Mapping::default()] {
            let json = serde_json::to_vec(&mapping).unwrap();
            assert_eq!(Mapping::read(&json).unwrap(), mapping);
        }
        assert_eq!(Mapping::read(b"\xef\xbb\xbf{}").unwrap(), Mapping::default());
    }

    #[test]
    fn an_invalid_mapping_is_refused_by_field_or_line() {
        let cases: [(&str, &str); 11] = [
            ("", "it is no valid JSON: EOF while parsing a value at line 1 column 0"),
            ("{\n\"type\": }", "it is no valid JSON: expected value at line 2 column 9"),
            ("[]", "it is no JSON object: write `{…}`"),
            (
                r#"{"seperator": "tab"}"#,
                "there is no field `seperator`: the fields are `columns`, `ref_id`, `type`, `separator` and `on_bad_rows`",
            ),
            (r#"{"separator": "|"}"#, "`separator` is none of `comma`, `semicolon`, `tab`"),
            (r#"{"type": 1}"#, "`type` is no text: quote it"),
            (r#"{"columns": []}"#, "`columns` is no JSON object: write `{\"content\": \"…\"}`"),
            (
                r#"{"columns": {"ref_id": 1}}"#,
                "`columns.ref_id` is no text: write the name of a column",
            ),
            (
                r#"{"columns": {"ref_id": "id"}, "ref_id": "row_number"}"#,
                "`ref_id` is `row_number`, and `columns.ref_id` names a column: keep one",
            ),
            (
                r#"{"columns": {"content": "a", "type": "a"}}"#,
                "`type` and `content` have the same column: map one of them",
            ),
            (r#"{"type": "text", "type": "image_url"}"#, "duplicate field `type`"),
        ];
        for (json, says) in cases {
            let error = Mapping::read(json.as_bytes()).unwrap_err();
            assert!(error.starts_with(says), "{json}: {error}");
        }
        let long = format!("{{}}{}", " ".repeat(MAX_MAPPING_BYTES));
        assert!(Mapping::read(long.as_bytes()).unwrap_err().contains("16384 bytes"));
    }
}
