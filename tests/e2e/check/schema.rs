//! The JSON of `moondrop check` against its documented schema: the keywords that the schema uses, and
//! any other fails the test. The validators `boon` and `jsonschema` depend on a crate whose licence
//! `.deny.toml` does not allow.

use serde_json::{Value, json};

/// Keywords that validate nothing.
const WORDS: [&str; 4] = ["$schema", "$defs", "title", "description"];

/// The schema, and whether it forbids fields that it does not describe.
struct Schema {
    root: Value,
    closed: bool,
}

/// What is wrong with the JSON, if anything is. With `closed`, so is a field that is not described.
pub(super) fn validate(found: &Value, closed: bool) -> Result<(), String> {
    let root = include_str!("../../../infra/local/check.schema.json");
    let schema = Schema { root: serde_json::from_str(root).unwrap(), closed };
    schema.holds(&schema.root, found, "")
}

impl Schema {
    fn holds(&self, rules: &Value, found: &Value, place: &str) -> Result<(), String> {
        for (keyword, rule) in rules.as_object().expect("a schema is an object") {
            self.keyword((keyword, rule), found, place)?;
        }
        let (Some(described), Some(fields)) = (rules["properties"].as_object(), found.as_object())
        else {
            return Ok(());
        };
        match fields.keys().find(|name| self.closed && !described.contains_key(*name)) {
            Some(name) => Err(format!("{place}/{name} is not described")),
            None => Ok(()),
        }
    }

    fn keyword(
        &self,
        (keyword, rule): (&str, &Value),
        found: &Value,
        place: &str,
    ) -> Result<(), String> {
        let number = || rule.as_f64().expect("the rule is a number");
        let below = |rules: &Value, found: &Value, name: &str| {
            self.holds(rules, found, &format!("{place}/{name}"))
        };
        let is = match keyword {
            "const" => found == rule,
            "enum" => rule.as_array().unwrap().contains(found),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|one| is_a(found, one)),
                one => is_a(found, one),
            },
            // As JSON Schema has it: a rule for another type of value holds.
            "minimum" => found.as_f64().is_none_or(|found| found >= number()),
            "maximum" => found.as_f64().is_none_or(|found| found <= number()),
            "minItems" => found.as_array().is_none_or(|found| found.len() as f64 >= number()),
            "maxItems" => found.as_array().is_none_or(|found| found.len() as f64 <= number()),
            "minLength" => found.as_str().is_none_or(|found| found.len() as f64 >= number()),
            "required" => found.as_object().is_none_or(|found| {
                rule.as_array()
                    .unwrap()
                    .iter()
                    .all(|name| found.contains_key(name.as_str().unwrap()))
            }),
            "$ref" => {
                let place_of_rule = rule.as_str().unwrap().strip_prefix('#').expect("a local one");
                return self.holds(self.root.pointer(place_of_rule).unwrap(), found, place);
            }
            "anyOf" => {
                rule.as_array().unwrap().iter().any(|one| self.holds(one, found, place).is_ok())
            }
            "items" => {
                let mut items = found.as_array().into_iter().flatten().enumerate();
                return items.try_for_each(|(i, item)| below(rule, item, &i.to_string()));
            }
            "properties" => {
                let mut rules = rule.as_object().unwrap().iter();
                return rules.try_for_each(|(name, rules)| {
                    found.get(name).map_or(Ok(()), |found| below(rules, found, name))
                });
            }
            // Where the schema has it, it has no `properties`.
            "additionalProperties" => {
                let mut fields = found.as_object().into_iter().flatten();
                return fields.try_for_each(|(name, field)| below(rule, field, name));
            }
            "propertyNames" => {
                let mut names = found.as_object().into_iter().flatten();
                return names.try_for_each(|(name, _)| below(rule, &json!(name), name));
            }
            other => {
                assert!(WORDS.contains(&other), "the schema says {other}: validate it, too");
                true
            }
        };
        if is { Ok(()) } else { Err(format!("{place}: {keyword} is {rule}, and this is {found}")) }
    }
}

fn is_a(found: &Value, what: &Value) -> bool {
    match what.as_str().unwrap() {
        "object" => found.is_object(),
        "array" => found.is_array(),
        "string" => found.is_string(),
        "integer" => found.is_i64() || found.is_u64(),
        "number" => found.is_number(),
        "null" => found.is_null(),
        other => panic!("the schema names the type {other}"),
    }
}
