//! The `labels` of a result. Several forms are accepted: the Batch API's documentation does not
//! show the objects' keys.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The possible keys of a label's name.
const NAMES: [&str; 4] = ["label", "name", "label_name", "labelName"];

/// The possible keys of a label's score.
const SCORES: [&str; 2] = ["score", "confidence"];

/// A label of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Label<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
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
pub fn read_labels(text: &str) -> Result<Vec<Label<'_>>, ()> {
    if is_blank(text) {
        return Ok(Vec::new());
    }
    let Of(json) = serde_json::from_str(text).map_err(drop)?;
    match json {
        Json::List(labels) => labels.into_iter().collect::<Option<_>>().ok_or(()),
        // A single label without a list around it.
        Json::Map(map) if has_one_of(&map, &NAMES) && has_one_of(&map, &SCORES) => Err(()),
        Json::Map(map) => {
            let label = |(name, score): (Cow<'_, str>, Scalar<'_>)| {
                Ok(Label { name: Cow::Owned(name.into_owned()), score: score.number().ok_or(())? })
            };
            map.into_iter().map(label).collect()
        }
        Json::Other => Err(()),
    }
}

fn has_one_of(map: &BTreeMap<Cow<'_, str>, Scalar<'_>>, keys: &[&str]) -> bool {
    keys.iter().any(|key| map.contains_key(*key))
}

/// A JSON text, as far as labels need it: read at once, without a tree of all its values.
enum Json<'a> {
    /// The labels of a list; `None` for what is no label.
    List(Vec<Option<Label<'a>>>),
    Map(BTreeMap<Cow<'a, str>, Scalar<'a>>),
    Other,
}

/// A value that may be a name or a score.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Other,
}

impl<'a> Scalar<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        if let Scalar::Text(text) = self { Some(text) } else { None }
    }

    /// A finite number, or one in quotes.
    fn number(&self) -> Option<f64> {
        let number = match self {
            Scalar::Text(text) => text.trim().parse().ok(),
            Scalar::Number(number) => Some(*number),
            Scalar::Other => None,
        };
        number.filter(|number| number.is_finite())
    }
}

/// What a JSON value of any type is read as.
trait ReadAs<'de>: Sized {
    /// Neither text, nor a number, a list or a map.
    fn other() -> Self;

    fn text(_text: Cow<'de, str>) -> Self {
        Self::other()
    }

    fn number(_number: f64) -> Self {
        Self::other()
    }

    /// Reads to the end, as strictly as what is needed.
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Of<Scalar<'_>>>()?.is_some() {}
        Ok(Self::other())
    }

    /// As [`ReadAs::list`].
    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Of<Scalar<'_>>, Of<Scalar<'_>>>()?.is_some() {}
        Ok(Self::other())
    }
}

impl<'de> ReadAs<'de> for Scalar<'de> {
    fn other() -> Self {
        Scalar::Other
    }

    fn text(text: Cow<'de, str>) -> Self {
        Scalar::Text(text)
    }

    fn number(number: f64) -> Self {
        Scalar::Number(number)
    }
}

impl<'de> ReadAs<'de> for Option<Label<'de>> {
    fn other() -> Self {
        None
    }

    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let (mut names, mut scores) = ([const { None }; NAMES.len()], [None; SCORES.len()]);
        while let Some((Of(key), Of(value))) = map.next_entry::<Of<Scalar<'_>>, Of<Scalar<'_>>>()? {
            let Scalar::Text(key) = key else { continue };
            // Of two values of one key, the second counts.
            if let Some(at) = NAMES.iter().position(|name| *name == key) {
                names[at] = value.text();
            } else if let Some(at) = SCORES.iter().position(|score| *score == key) {
                scores[at] = value.number();
            }
        }
        let (name, score) =
            (names.into_iter().flatten().next(), scores.into_iter().flatten().next());
        Ok(name.zip(score).map(|(name, score)| Label { name, score }))
    }
}

impl<'de> ReadAs<'de> for Json<'de> {
    fn other() -> Self {
        Json::Other
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut labels = Vec::new();
        while let Some(Of(label)) = list.next_element()? {
            labels.push(label);
        }
        Ok(Json::List(labels))
    }

    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut scalars = BTreeMap::new();
        while let Some((Of(key), Of(value))) = map.next_entry::<Of<Scalar<'_>>, _>()? {
            if let Scalar::Text(key) = key {
                scalars.insert(key, value);
            }
        }
        Ok(Json::Map(scalars))
    }
}

/// Reads a value through [`ReadAs`].
struct Of<T>(T);

impl<'de, T: ReadAs<'de>> Deserialize<'de> for Of<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue(PhantomData)).map(Of)
    }
}

struct AnyValue<T>(PhantomData<T>);

impl<'de, T: ReadAs<'de>> Visitor<'de> for AnyValue<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::map(map)
    }
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
fn sorted(mut labels: Vec<Label<'_>>) -> Vec<Label<'_>> {
    let order = |a: &Label<'_>, b: &Label<'_>| {
        a.name.cmp(&b.name).then(a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal))
    };
    labels.sort_by(order);
    labels.dedup();
    labels
}
