//! Which column of a file is which, by the names in its header and by its mapping.

use super::fields::Row;
use super::header_cause;
use super::kind::Kind;
use super::mapping::{KindFrom, Mapping, RefIdFrom};
use super::rules::Rules;
use std::borrow::Cow;

/// The columns that a file needs.
pub const INPUT_COLUMNS: [&str; 3] = ["ref_id", "type", "content"];

/// The first columns of the results. A file cannot have those of them that are no
/// [`INPUT_COLUMNS`].
pub const RESULT_COLUMNS: [&str; 5] = ["ref_id", "type", "labels", "content", "error"];

/// Where the `ref_id` of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefId {
    /// In this column, counted from 0.
    Column(usize),
    /// It is the row's number.
    RowNumber,
}

impl RefId {
    /// The `ref_id` of a row that has this number in its file.
    #[must_use]
    pub fn value<'a>(self, row: &Row<'a>, number: u64) -> Cow<'a, [u8]> {
        match self {
            RefId::Column(column) => row.value(column),
            RefId::RowNumber => Cow::Owned(number.to_string().into_bytes()),
        }
    }

    /// Its column, if it has one.
    #[must_use]
    pub fn column(self) -> Option<usize> {
        match self {
            RefId::Column(column) => Some(column),
            RefId::RowNumber => None,
        }
    }
}

/// Where the `type` of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindOf {
    /// In this column, counted from 0.
    Column(usize),
    /// All rows have this one.
    Constant(Kind),
}

impl KindOf {
    /// Its column, if it has one.
    #[must_use]
    pub fn column(self) -> Option<usize> {
        match self {
            KindOf::Column(column) => Some(column),
            KindOf::Constant(_) => None,
        }
    }
}

/// The columns of a file.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) ref_id: RefId,
    pub(super) kind: KindOf,
    pub(super) content: usize,
    /// The columns that the results have after [`RESULT_COLUMNS`], in the file's order.
    pub(super) extra: Vec<usize>,
}

impl Columns {
    /// Finds the columns among these names; an error says what is wrong with the header.
    pub(super) fn find(
        names: &[String],
        rules: Rules,
        mapping: Option<&Mapping>,
    ) -> Result<Self, String> {
        let column = |name: &str| find(names, name, rules, mapping);
        let default = Mapping::default();
        let from = mapping.unwrap_or(&default);
        let columns = Columns {
            ref_id: match &from.ref_id {
                RefIdFrom::Column(name) => RefId::Column(column(name)?),
                RefIdFrom::RowNumber => RefId::RowNumber,
            },
            kind: match &from.kind {
                KindFrom::Column(name) => KindOf::Column(column(name)?),
                KindFrom::Constant(kind) => KindOf::Constant(*kind),
            },
            content: column(&from.content)?,
            extra: Vec::new(),
        };
        columns.check_reserved(names, mapping)?;
        for (i, name) in names.iter().enumerate() {
            if let Some(first) = names[..i].iter().position(|n| n == name && !name.is_empty()) {
                let says = format!("columns {} and {} have the same name", first + 1, i + 1);
                return Err(advise(rules, says, ": rename one"));
            }
        }
        let extra = (0..names.len()).filter(|i| !columns.is_under_its_name(*i, &names[*i]));
        Ok(Columns { extra: extra.collect(), ..columns })
    }

    /// The column that is taken for one of the three, if one is.
    fn taken_for(&self, name: &str) -> Option<usize> {
        match name {
            "ref_id" => self.ref_id.column(),
            "type" => self.kind.column(),
            "content" => Some(self.content),
            _ => None,
        }
    }

    /// Whether one of the results' first columns already is this one under its own name.
    fn is_under_its_name(&self, column: usize, name: &str) -> bool {
        self.taken_for(name) == Some(column)
    }

    /// The results must not have two columns of one name.
    fn check_reserved(&self, names: &[String], mapping: Option<&Mapping>) -> Result<(), String> {
        for reserved in RESULT_COLUMNS {
            let Some(at) = names.iter().position(|name| name == reserved) else { continue };
            if self.is_under_its_name(at, reserved) {
                continue;
            }
            if mapping.is_none() {
                return Err(format!(
                    "a column is named `{reserved}`, which is a column of the results: rename it"
                ));
            }
            let says = format!(
                "column {} is named `{reserved}`, which is a column of the results",
                at + 1
            );
            let roles = INPUT_COLUMNS.iter().filter(|role| self.taken_for(role) == Some(at));
            let is_taken = roles.count() > 0;
            return Err(if is_taken || !INPUT_COLUMNS.contains(&reserved) {
                format!("{says}: rename it")
            } else {
                format!(
                    "{says}, and it is not mapped: map it with `--map {reserved}={reserved}`, or with `\"columns\": {{\"{reserved}\": \"{reserved}\"}}` in the mapping, or rename it"
                )
            });
        }
        Ok(())
    }
}

fn find(
    names: &[String],
    name: &str,
    rules: Rules,
    mapping: Option<&Mapping>,
) -> Result<usize, String> {
    let mut at = names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i);
    match (at.next(), at.next()) {
        (Some(first), None) => Ok(first),
        (Some(first), Some(second)) => {
            let (first, second) = (first + 1, second + 1);
            let which = if name.is_empty() {
                "a column without a name".to_owned()
            } else {
                format!("the column `{name}`")
            };
            let says = format!("{which} stands twice, as columns {first} and {second}");
            Err(advise(rules, says, ": rename one"))
        }
        (None, _) => Err(match mapping {
            Some(mapping) => header_cause::missing_mapped(name, mapping, names),
            None if rules >= Rules::Two => header_cause::missing(name, names),
            None if names.iter().any(|n| n.eq_ignore_ascii_case(name)) => {
                format!("the column `{name}` is missing: names must be lower-case")
            }
            None => format!(
                "the column `{name}` is missing; a file needs `ref_id`, `type` and `content`, in any order"
            ),
        }),
    }
}

/// The second rules also say what to do.
pub(super) fn advise(rules: Rules, says: String, advice: &str) -> String {
    if rules == Rules::One { says } else { says + advice }
}
