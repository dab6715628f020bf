//! Event patterns as EventBridge matches them: every field named has to match, by any of its
//! values.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A compiled event pattern.
#[derive(Debug)]
pub(crate) struct Pattern(Vec<(String, Field)>);

#[derive(Debug)]
enum Field {
    Nested(Pattern),
    AnyOf(Vec<Matcher>),
}

#[derive(Debug)]
enum Matcher {
    Exact(Value),
    Prefix(String),
    Suffix(String),
    EqualsIgnoreCase(String),
    Wildcard(String),
    AnythingBut(Vec<Matcher>),
    Exists(bool),
    Numeric(Vec<(Comparison, f64)>),
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Pattern {
    /// Compiles a pattern; what is not understood is refused, rather than never matched.
    pub(crate) fn new(pattern: &Value) -> Result<Self> {
        let fields = pattern.as_object().context("a pattern is an object")?;
        let compile = |(name, field): (&String, &Value)| {
            let field = match field {
                Value::Object(_) => Pattern::new(field).map(Field::Nested),
                Value::Array(values) => {
                    values.iter().map(Matcher::new).collect::<Result<_>>().map(Field::AnyOf)
                }
                _ => Err(anyhow::anyhow!("a field is an object or an array")),
            };
            Ok((name.clone(), field.with_context(|| format!("in \"{name}\""))?))
        };
        fields.iter().map(compile).collect::<Result<_>>().map(Pattern)
    }

    /// Whether an event matches.
    pub(crate) fn matches(&self, event: &Value) -> bool {
        self.0.iter().all(|(name, field)| {
            let mut found = Vec::new();
            collect(event, name, &mut found);
            match field {
                Field::Nested(pattern) => match found.is_empty() {
                    // `exists: false` inside an object that is not there has to be able to match.
                    true => pattern.matches(&Value::Null),
                    false => found.iter().any(|value| pattern.matches(value)),
                },
                Field::AnyOf(matchers) => {
                    matchers.iter().any(|matcher| matcher.matches_any(&found))
                }
            }
        })
    }
}

/// All values of the field `name`; an array, of values or of objects, counts as each of its
/// elements.
fn collect<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, name, found)),
        Value::Object(fields) => match fields.get(name) {
            Some(Value::Array(values)) => found.extend(values),
            Some(value) => found.push(value),
            None => {}
        },
        _ => {}
    }
}

impl Matcher {
    fn new(value: &Value) -> Result<Self> {
        let Value::Object(fields) = value else {
            return match value {
                Value::Array(_) => bail!("a value is a scalar or one comparison"),
                scalar => Ok(Matcher::Exact(scalar.clone())),
            };
        };
        let mut fields = fields.iter();
        let (Some((name, operand)), None) = (fields.next(), fields.next()) else {
            bail!("a comparison has one name");
        };
        let text = || {
            operand
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("\"{name}\" takes a string"))
        };
        Ok(match name.as_str() {
            "prefix" => Matcher::Prefix(text()?),
            "suffix" => Matcher::Suffix(text()?),
            "equals-ignore-case" => Matcher::EqualsIgnoreCase(text()?),
            "wildcard" => Matcher::Wildcard(text()?),
            "exists" => {
                Matcher::Exists(operand.as_bool().context("\"exists\" takes true or false")?)
            }
            "anything-but" => Matcher::AnythingBut(match operand {
                Value::Array(values) => values.iter().map(Matcher::new).collect::<Result<_>>()?,
                one => vec![Matcher::new(one)?],
            }),
            "numeric" => Matcher::Numeric(numeric(operand)?),
            other => bail!("\"{other}\" is not a comparison known here"),
        })
    }

    fn matches_any(&self, found: &[&Value]) -> bool {
        match self {
            Matcher::Exists(wanted) => found.iter().any(|value| !value.is_object()) == *wanted,
            _ => found.iter().any(|value| self.matches(value)),
        }
    }

    fn matches(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Matcher::Exact(wanted) => match (wanted.as_f64(), value.as_f64()) {
                (Some(wanted), Some(value)) => wanted == value,
                _ => wanted == value,
            },
            Matcher::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Matcher::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Matcher::EqualsIgnoreCase(wanted) => {
                text.is_some_and(|text| text.to_lowercase() == wanted.to_lowercase())
            }
            Matcher::Wildcard(pattern) => text.is_some_and(|text| wildcard(pattern, text)),
            Matcher::AnythingBut(matchers) => {
                !value.is_object() && !matchers.iter().any(|m| m.matches(value))
            }
            Matcher::Exists(wanted) => *wanted,
            Matcher::Numeric(bounds) => value.as_f64().is_some_and(|value| {
                bounds.iter().all(|(comparison, bound)| match comparison {
                    Comparison::Less => value < *bound,
                    Comparison::LessOrEqual => value <= *bound,
                    Comparison::Equal => value == *bound,
                    Comparison::GreaterOrEqual => value >= *bound,
                    Comparison::Greater => value > *bound,
                })
            }),
        }
    }
}

fn numeric(operand: &Value) -> Result<Vec<(Comparison, f64)>> {
    let operand =
        operand.as_array().filter(|list| !list.is_empty()).context("\"numeric\" takes a list")?;
    let bound = |pair: &[Value]| {
        let comparison = match pair.first().and_then(Value::as_str) {
            Some("<") => Comparison::Less,
            Some("<=") => Comparison::LessOrEqual,
            Some("=") => Comparison::Equal,
            Some(">=") => Comparison::GreaterOrEqual,
            Some(">") => Comparison::Greater,
            _ => bail!("\"numeric\" compares by <, <=, =, >= or >"),
        };
        Ok((
            comparison,
            pair.get(1).and_then(Value::as_f64).context("\"numeric\" compares with a number")?,
        ))
    };
    operand.chunks(2).map(bound).collect()
}

/// Whether `text` is `pattern` with each `*` standing for any characters, or none.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // Taking each piece where it is first found leaves the most text for the pieces after it.
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(at) = text.find(piece) else {
            return false;
        };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(pattern: Value, event: Value) -> bool {
        Pattern::new(&pattern).unwrap().matches(&event)
    }

    #[test]
    fn every_field_has_to_match_by_any_of_its_values() {
        let pattern = json!({"source": ["a", "b"], "detail": {"n": [1]}});
        assert!(matches(pattern.clone(), json!({"source": "b", "detail": {"n": 1, "more": 2}})));
        assert!(matches(pattern.clone(), json!({"source": "a", "detail": {"n": 1.0}})));
        assert!(!matches(pattern.clone(), json!({"source": "c", "detail": {"n": 1}})));
        assert!(!matches(pattern.clone(), json!({"source": "a", "detail": {"n": "1"}})));
        assert!(!matches(pattern.clone(), json!({"source": "a", "detail": "n"})));
        assert!(!matches(pattern, json!({"source": "a"})));
        assert!(matches(json!({"x": [null, true]}), json!({"x": null})));
        assert!(matches(json!({"x": [null, true]}), json!({"x": true})));
    }

    #[test]
    fn an_array_in_the_event_matches_by_any_element() {
        assert!(matches(json!({"x": ["b"]}), json!({"x": ["a", "b"]})));
        assert!(matches(json!({"x": {"y": ["b"]}}), json!({"x": [{"y": "a"}, {"y": "b"}]})));
        assert!(!matches(json!({"x": ["c"]}), json!({"x": ["a", "b"]})));
        assert!(!matches(json!({"x": ["c"]}), json!({"x": []})));
    }

    #[test]
    fn text_is_compared_by_its_ends() {
        assert!(matches(json!({"k": [{"prefix": "in/"}]}), json!({"k": "in/a.csv"})));
        assert!(!matches(json!({"k": [{"prefix": "in/"}]}), json!({"k": "out/in/"})));
        assert!(matches(json!({"k": [{"suffix": ".csv"}]}), json!({"k": "in/a.csv"})));
        assert!(!matches(json!({"k": [{"suffix": ".csv"}]}), json!({"k": 1})));
        assert!(matches(json!({"k": [{"equals-ignore-case": "ABC"}]}), json!({"k": "aBc"})));
    }

    #[test]
    fn wildcards_stand_for_anything() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("ab*ba", "aba", false),
            ("*b*b*", "abab", true),
            ("*bb*", "abab", false),
            ("*", "", true),
            ("abc", "abc", true),
            ("a*b*b", "ab", false),
            ("é*", "été", true),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn anything_but_needs_a_value() {
        assert!(matches(json!({"s": [{"anything-but": ["a", "b"]}]}), json!({"s": "c"})));
        assert!(!matches(json!({"s": [{"anything-but": ["a", "b"]}]}), json!({"s": "b"})));
        assert!(!matches(json!({"s": [{"anything-but": "a"}]}), json!({})));
        assert!(!matches(json!({"s": [{"anything-but": {"prefix": "a"}}]}), json!({"s": "ab"})));
    }

    #[test]
    fn a_field_may_have_to_be_there_or_not() {
        assert!(matches(json!({"s": [{"exists": true}]}), json!({"s": null})));
        assert!(!matches(json!({"s": [{"exists": true}]}), json!({})));
        assert!(matches(json!({"d": {"s": [{"exists": false}]}}), json!({"d": {}})));
        assert!(matches(json!({"d": {"s": [{"exists": false}]}}), json!({})));
        assert!(!matches(json!({"s": [{"exists": false}]}), json!({"s": 1})));
        assert!(matches(json!({"s": ["x", {"exists": false}]}), json!({})));
    }

    #[test]
    fn numbers_are_compared_within_bounds() {
        let pattern = json!({"n": [{"numeric": [">", 0, "<=", 5]}]});
        assert!(matches(pattern.clone(), json!({"n": 5})));
        assert!(!matches(pattern.clone(), json!({"n": 0})));
        assert!(!matches(pattern.clone(), json!({"n": 5.1})));
        assert!(!matches(pattern, json!({"n": "3"})));
        assert!(matches(json!({"n": [{"numeric": ["=", 3]}]}), json!({"n": 3.0})));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (pattern, word) in [
            (json!([]), "object"),
            (json!({"a": "b"}), "\"a\""),
            (json!({"a": [{"cidr": "10.0.0.0/8"}]}), "cidr"),
            (json!({"a": [{"prefix": 1}]}), "prefix"),
            (json!({"a": [{"prefix": "a", "suffix": "b"}]}), "one name"),
            (json!({"a": {"b": [{"numeric": [">"]}]}}), "\"b\""),
        ] {
            let error = format!("{:#}", Pattern::new(&pattern).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
