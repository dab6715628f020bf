//! The header of a file, and where its columns are.

use super::columns::{Columns, advise};
use super::fields::Row;
use super::mapping::Mapping;
use super::scan::Scanner;
use super::separator::Separator;
use super::text::{has_edge_mark, trim, trim_bytes};
use super::value::Value;
use crate::csv::error::InputError;
use crate::csv::rules::Rules;
use crate::problem::Code;

pub use super::columns::{INPUT_COLUMNS, KindOf, RESULT_COLUMNS, RefId};

/// The longest header, in bytes. The drop's record keeps it, and a DynamoDB item holds 400 KB.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The columns of `rejected.csv`.
const REJECTED_COLUMNS: [&str; 5] = ["line", "byte_offset", "ref_id", "code", "message"];

/// What the header says about the rows below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The number of columns.
    pub columns: usize,
    /// Where `ref_id` is.
    pub ref_id: RefId,
    /// Where `type` is.
    pub kind: KindOf,
    /// The column `content`, counted from 0.
    pub content: usize,
    /// The columns that the results have after [`RESULT_COLUMNS`], in their order: every column of
    /// the file but for those that are among the first ones under their own names.
    pub extra: Vec<usize>,
    /// What separates the columns.
    pub separator: Separator,
    /// Whether the file has a mapping: a repeated header may then pass for a row.
    pub is_mapped: bool,
    /// The rules that the file is read by.
    pub rules: Rules,
    /// Whether the file begins with a byte-order mark, which its results then have, too.
    pub has_bom: bool,
    /// Whether the header has spaces after its commas, by the second rules after each of them: they
    /// are then skipped in the whole file.
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
    pub fn read(
        row: &Row<'_>,
        rules: Rules,
        mapping: Option<&Mapping>,
    ) -> Result<Self, InputError> {
        let header = |message: String| row.error(Code::Header, message);
        let mut raw: Vec<Vec<u8>> = (0..row.len()).map(|i| row.raw(i).to_vec()).collect();
        let has_bom = take_bom(row, rules, &mut raw);
        let bytes = raw.iter().map(|f| f.len() + 1).sum::<usize>();
        if bytes > MAX_HEADER_BYTES {
            return Err(row.error(
                Code::Limit,
                advise(
                    rules,
                    format!(
                        "the header is {bytes} bytes long; at most {MAX_HEADER_BYTES} are allowed"
                    ),
                    ": shorten its names",
                ),
            ));
        }
        let names = names(row, rules);
        if rules >= Rules::Two && names.starts_with(&RESULT_COLUMNS.map(str::to_owned)) {
            return Err(header(
                "the file is a results.csv of Moondrop: drop the file that it is the results of, or remove its columns `labels` and `error`"
                    .to_owned(),
            ));
        }
        if rules >= Rules::Two && names == REJECTED_COLUMNS {
            return Err(header(
                "the file is a rejected.csv of Moondrop: drop the file that it is about, once its rows are corrected"
                    .to_owned(),
            ));
        }
        if let Some(delimiter) = other_delimiter(&names).filter(|_| rules == Rules::One) {
            return Err(header(format!("the columns are separated by {delimiter}, not by commas")));
        }
        let columns = Columns::find(&names, rules, mapping).map_err(header)?;
        let Columns { ref_id, kind, content, extra } = columns;
        Ok(Header {
            columns: names.len(),
            ref_id,
            kind,
            content,
            extra,
            separator: separator(mapping),
            is_mapped: mapping.is_some(),
            rules,
            has_bom,
            skip_spaces: match rules {
                Rules::One => row.spaced_fields() > 0,
                Rules::Two => row.spaced_fields() + 1 == row.len(),
            },
            raw,
        })
    }

    /// Reads a header from the line that [`Header::line`] wrote.
    ///
    /// # Errors
    /// As [`Header::read`]; `E_EMPTY` if there is no row.
    pub fn parse(line: &str, rules: Rules) -> Result<Self, InputError> {
        Header::parse_mapped(line, rules, None)
    }

    /// [`Header::parse`] for a file with a mapping.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub fn parse_mapped(
        line: &str,
        rules: Rules,
        mapping: Option<&Mapping>,
    ) -> Result<Self, InputError> {
        let mut scanner = Scanner::new(0, 1, true);
        scanner.set_rules(rules);
        scanner.set_separator(separator(mapping));
        match scanner.last_rows(line.as_bytes()).next_row()? {
            Some(row) => Header::read(&row, rules, mapping),
            None => Err(InputError::of_file(Code::Empty, "the file has no header")),
        }
    }

    /// The header as one line without its newline, for the drop's record.
    #[must_use]
    pub fn line(&self) -> String {
        let separator = self.separator.byte();
        let between = if self.skip_spaces { vec![separator, b' '] } else { vec![separator] };
        // The scanner accepts only UTF-8.
        let line = String::from_utf8_lossy(&self.raw.join(between.as_slice())).into_owned();
        if self.has_bom { format!("{BYTE_ORDER_MARK}{line}") } else { line }
    }

    /// Whether its columns are those of an upload, in their order.
    pub(super) fn is_as_uploaded(&self) -> bool {
        let Header { columns, ref_id, kind, content, separator, .. } = *self;
        (columns, content, separator) == (3, 2, Separator::Comma)
            && (ref_id, kind) == (RefId::Column(0), KindOf::Column(1))
    }

    /// Whether a name has a byte-order mark or a zero-width space at an edge.
    pub(crate) fn has_marked_name(&self) -> bool {
        self.raw.iter().any(|raw| has_edge_mark(&String::from_utf8_lossy(&Value::of(raw).bytes())))
    }

    /// Whether a row may have the header's names, by its content alone: few rows do.
    pub(super) fn may_be_in(&self, row: &Row<'_>) -> bool {
        let value = row.value(self.content);
        let value = trim_bytes(&value);
        self.raw.iter().any(|raw| trim_bytes(&Value::of(raw).bytes()) == value)
    }

    /// Whether a row has the header's names: a file that others were joined to has it again.
    #[must_use]
    pub fn is_repeated_by(&self, row: &Row<'_>) -> bool {
        let name = |value: &[u8]| trim(&String::from_utf8_lossy(value)).to_owned();
        let same =
            |(i, raw): (usize, &Vec<u8>)| name(&row.value(i)) == name(&Value::of(raw).bytes());
        row.len() == self.columns && self.raw.iter().enumerate().all(same)
    }

    /// Whether a row has the header's names, but in another order.
    pub(super) fn is_reordered_by(&self, row: &Row<'_>) -> bool {
        if row.len() != self.columns || !self.may_be_in(row) {
            return false;
        }
        let name = |value: &[u8]| trim(&String::from_utf8_lossy(value)).to_owned();
        let mut names: Vec<_> = self.raw.iter().map(|raw| name(&Value::of(raw).bytes())).collect();
        let mut others: Vec<_> = (0..row.len()).map(|i| name(&row.value(i))).collect();
        names.sort_unstable();
        others.sort_unstable();
        names == others
    }
}

/// What separates the columns of a file with this mapping.
pub(crate) fn separator(mapping: Option<&Mapping>) -> Separator {
    mapping.map_or_else(Separator::default, |mapping| mapping.separator)
}

/// The byte-order mark that a file may begin with.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Takes a byte-order mark off the header's first field; whether there was one.
fn take_bom(row: &Row<'_>, rules: Rules, raw: &mut [Vec<u8>]) -> bool {
    if rules == Rules::One {
        return false;
    }
    if row.mark().starts_with(BYTE_ORDER_MARK.as_bytes()) {
        return true;
    }
    let Some(first) = raw.first_mut() else { return false };
    let found = first.starts_with(BYTE_ORDER_MARK.as_bytes());
    if found {
        first.drain(..BYTE_ORDER_MARK.len());
    }
    found
}

/// The names of the columns, without spaces at their ends.
fn names(row: &Row<'_>, rules: Rules) -> Vec<String> {
    let name = |i: usize| {
        let value = row.value(i);
        let text = String::from_utf8_lossy(&value);
        let name = if rules == Rules::One { text.trim() } else { trim(&text) };
        name.to_owned()
    };
    (0..row.len()).map(name).collect()
}

/// The delimiter of a header that has all names in one field: it is not a comma.
fn other_delimiter(names: &[String]) -> Option<&'static str> {
    let [only] = names else { return None };
    let all = INPUT_COLUMNS.iter().all(|n| only.contains(n));
    [(';', "semicolons"), ('\t', "tabs"), ('|', "vertical bars")]
        .into_iter()
        .find_map(|(c, name)| (all && only.contains(c)).then_some(name))
}
