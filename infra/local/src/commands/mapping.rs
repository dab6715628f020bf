//! The options that say how the columns of files are read.

use crate::exit::UsageError;
use clap::{Args, ValueEnum};
use moondrop_shared::csv::kind::Kind;
use moondrop_shared::csv::mapping::Mapping;
use moondrop_shared::csv::separator::Separator;

/// How the columns of the files are read, for `--map`, `--type` and `--separator`.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct MappingOptions {
    /// Take a column of the files for ref_id, type or content: --map ref_id=id --map content=body.
    /// `ref_id=#` takes the row's number, and an empty name the column without one.
    #[arg(long, value_name = "NAME=COLUMN", value_parser = mapped)]
    map: Vec<Mapped>,
    /// The type of all rows, for files without such a column.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<KindOption>,
    /// What separates the columns of the files [default: comma].
    #[arg(long, value_name = "WHAT")]
    separator: Option<SeparatorOption>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindOption {
    #[value(name = "text")]
    Text,
    #[value(name = "image_url")]
    ImageUrl,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SeparatorOption {
    Comma,
    Semicolon,
    Tab,
}

/// One `--map`.
#[derive(Debug, Clone)]
struct Mapped {
    name: String,
    column: String,
}

/// The number of the row in place of a column.
const ROW_NUMBER: &str = "#";

fn mapped(text: &str) -> Result<Mapped, String> {
    let (name, column) = text.split_once('=').unwrap_or((text, ROW_NUMBER));
    if !["ref_id", "type", "content"].contains(&name) || !text.contains('=') {
        return Err("write ref_id=COLUMN, type=COLUMN or content=COLUMN".to_owned());
    }
    if column == ROW_NUMBER && name != "ref_id" {
        return Err(format!("only ref_id can be the row's number, {ROW_NUMBER}"));
    }
    Ok(Mapped { name: name.to_owned(), column: column.to_owned() })
}

impl MappingOptions {
    /// The mapping that the options make, if there are any.
    pub(super) fn mapping(&self) -> Result<Option<Mapping>, UsageError> {
        if self.map.is_empty() && self.kind.is_none() && self.separator.is_none() {
            return Ok(None);
        }
        let mut columns = serde_json::Map::new();
        let mut form = serde_json::Map::new();
        for Mapped { name, column } in &self.map {
            let is_number = column == ROW_NUMBER;
            let into = if is_number { &mut form } else { &mut columns };
            let value = if is_number { "row_number" } else { column };
            if into.insert(name.clone(), value.into()).is_some() {
                return Err(UsageError(format!("--map {name}=… is given twice")));
            }
        }
        if form.contains_key("ref_id") && columns.contains_key("ref_id") {
            return Err(UsageError("--map ref_id=… is given twice".to_owned()));
        }
        if self.kind.is_some() && columns.contains_key("type") {
            let says =
                "--type gives all rows one type, and --map type=… takes it from a column: keep one";
            return Err(UsageError(says.to_owned()));
        }
        form.insert("columns".to_owned(), columns.into());
        if let Some(kind) = self.kind {
            let kind = match kind {
                KindOption::Text => Kind::Text,
                KindOption::ImageUrl => Kind::ImageUrl,
            };
            form.insert("type".to_owned(), kind.as_str().into());
        }
        if let Some(separator) = self.separator {
            let separator = match separator {
                SeparatorOption::Comma => Separator::Comma,
                SeparatorOption::Semicolon => Separator::Semicolon,
                SeparatorOption::Tab => Separator::Tab,
            };
            form.insert("separator".to_owned(), separator.name().into());
        }
        let read = serde_json::from_value::<Mapping>(form.into());
        let mapping = read.map_err(|error| UsageError(format!("--map: {error}")))?;
        Ok(Some(mapping))
    }
}
