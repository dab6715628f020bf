//! The header of a file, and where its columns are.

use super::fields::Row;
use super::scan::Scanner;
use crate::csv::error::InputError;
use crate::csv::rules::Rules;
use crate::problem::Code;

/// The longest header, in bytes. The drop's record keeps it, and a DynamoDB item holds 400 KB.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The columns that a file needs.
pub const INPUT_COLUMNS: [&str; 3] = ["ref_id", "type", "content"];

/// The first columns of the results. A file cannot have those of them that are no
/// [`INPUT_COLUMNS`].
pub const RESULT_COLUMNS: [&str; 5] = ["ref_id", "type", "labels", "content", "error"];

/// What the header says about the rows below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The number of columns.
    pub columns: usize,
    /// The column `ref_id`, counted from 0.
    pub ref_id: usize,
    /// The column `type`.
    pub kind: usize,
    /// The column `content`.
    pub content: usize,
    /// The other columns, in their order.
    pub extra: Vec<usize>,
    /// The rules that the file is read by.
    pub rules: Rules,
    /// Whether the header has spaces after its commas: they are then skipped in the whole file.
    pub skip_spaces: bool,
    /// The header's fields as they are in the file, for the extra columns of the results.
    pub raw: Vec<Vec<u8>>,
}

impl Header {
    /// Reads a header row that was scanned with `skip_spaces`.
    ///
    /// # Errors
    /// `E_HEADER` for a missing or duplicate column, another delimiter, or a name the results need;
    /// `E_LIMIT` for a header over [`MAX_HEADER_BYTES`].
    pub fn read(row: &Row<'_>, rules: Rules) -> Result<Self, InputError> {
        let error = |code, message: String| InputError {
            code,
            line: row.line,
            offset: row.offset,
            message,
        };
        let header = |message: String| error(Code::Header, message);
        let raw: Vec<Vec<u8>> = (0..row.len()).map(|i| row.raw(i).to_vec()).collect();
        let bytes = raw.iter().map(|f| f.len() + 1).sum::<usize>();
        if bytes > MAX_HEADER_BYTES {
            return Err(error(
                Code::Limit,
                format!("the header is {bytes} bytes long; at most {MAX_HEADER_BYTES} are allowed"),
            ));
        }
        let names: Vec<String> = (0..row.len())
            .map(|i| String::from_utf8_lossy(&row.value(i)).trim().to_owned())
            .collect();
        if let Some(delimiter) = other_delimiter(&names) {
            return Err(header(format!("the columns are separated by {delimiter}, not by commas")));
        }
        let find = |name: &str| -> Result<usize, InputError> {
            let mut at = names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i);
            match (at.next(), at.next()) {
                (Some(first), None) => Ok(first),
                (Some(first), Some(second)) => Err(header(format!(
                    "the column `{name}` stands twice, as columns {} and {}",
                    first + 1,
                    second + 1
                ))),
                (None, _) if names.iter().any(|n| n.eq_ignore_ascii_case(name)) => {
                    Err(header(format!("the column `{name}` is missing: names must be lower-case")))
                }
                (None, _) => Err(header(format!(
                    "the column `{name}` is missing; a file needs `ref_id`, `type` and `content`, in any order"
                ))),
            }
        };
        let (ref_id, kind, content) = (find("ref_id")?, find("type")?, find("content")?);
        for reserved in RESULT_COLUMNS.into_iter().filter(|name| !INPUT_COLUMNS.contains(name)) {
            if names.iter().any(|n| n == reserved) {
                return Err(header(format!(
                    "a column is named `{reserved}`, which is a column of the results: rename it"
                )));
            }
        }
        for (i, name) in names.iter().enumerate() {
            if let Some(first) = names[..i].iter().position(|n| n == name && !name.is_empty()) {
                return Err(header(format!(
                    "columns {} and {} have the same name",
                    first + 1,
                    i + 1
                )));
            }
        }
        let extra = (0..names.len()).filter(|i| ![ref_id, kind, content].contains(i)).collect();
        Ok(Header {
            columns: names.len(),
            ref_id,
            kind,
            content,
            extra,
            rules,
            skip_spaces: row.spaced_fields() > 0,
            raw,
        })
    }

    /// Reads a header from the line that [`Header::line`] wrote.
    ///
    /// # Errors
    /// As [`Header::read`]; `E_EMPTY` if there is no row.
    pub fn parse(line: &str, rules: Rules) -> Result<Self, InputError> {
        let mut scanner = Scanner::new(0, 1, true);
        scanner.set_rules(rules);
        scanner.push(line.as_bytes());
        scanner.finish();
        let Some(row) = scanner.next_row()? else {
            return Err(InputError::of_file(Code::Empty, "the file has no header"));
        };
        Header::read(&row, rules)
    }

    /// The header as one line without its newline, for the drop's record.
    #[must_use]
    pub fn line(&self) -> String {
        let comma: &[u8] = if self.skip_spaces { b", " } else { b"," };
        // The scanner accepts only UTF-8.
        String::from_utf8_lossy(&self.raw.join(comma)).into_owned()
    }
}

/// The delimiter of a header that has all names in one field: it is not a comma.
fn other_delimiter(names: &[String]) -> Option<&'static str> {
    let [only] = names else { return None };
    let all = INPUT_COLUMNS.iter().all(|n| only.contains(n));
    [(';', "semicolons"), ('\t', "tabs"), ('|', "vertical bars")]
        .into_iter()
        .find_map(|(c, name)| (all && only.contains(c)).then_some(name))
}
