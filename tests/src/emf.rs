//! Metrics as CloudWatch takes them out of the functions' logs.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A line in the embedded metric format.
#[derive(Debug, Clone)]
pub struct Line {
    /// The values of its metrics, by name.
    pub values: BTreeMap<String, u64>,
    /// Their units, by name.
    pub units: BTreeMap<String, String>,
    /// All that stands at its root.
    pub root: Value,
}

/// The lines of a log that are in the embedded metric format. Fails the test for one that
/// CloudWatch would not take as it is meant, by the rules of the format's specification.
#[must_use]
pub fn lines(log: &str) -> Vec<Line> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("_aws").is_some()).map(read).collect()
}

/// What the lines of a log come to, by metric.
#[must_use]
pub fn sums(log: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, value) in lines(log).into_iter().flat_map(|line| line.values) {
        *sums.entry(name).or_default() += value;
    }
    sums
}

fn read(root: Value) -> Line {
    let at = root["_aws"]["Timestamp"].as_i64().unwrap();
    let now = jiff::Timestamp::now().as_millisecond();
    assert!((now - 3_600_000..=now).contains(&at), "milliseconds since the epoch: {at}");
    let directives = root["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert_eq!(directives.len(), 1, "{root}");
    let directive = &directives[0];
    assert_eq!(directive["Namespace"], "Moondrop");
    assert_eq!(
        directive["Dimensions"],
        serde_json::json!([["Stack"]]),
        "one dimension, and not a drop or a job"
    );
    assert!(root["Stack"].as_str().is_some_and(|stack| !stack.is_empty()), "{root}");
    let declared = directive["Metrics"].as_array().unwrap();
    assert!((1..=100).contains(&declared.len()), "{root}");
    let (mut values, mut units) = (BTreeMap::new(), BTreeMap::new());
    for metric in declared {
        let (name, unit) = (metric["Name"].as_str().unwrap(), metric["Unit"].as_str().unwrap());
        assert!(["Count", "Seconds"].contains(&unit), "{unit}");
        let value =
            root[name].as_u64().unwrap_or_else(|| panic!("{name} has a value at the root: {root}"));
        assert!(values.insert(name.to_owned(), value).is_none(), "{name} is declared once");
        units.insert(name.to_owned(), unit.to_owned());
    }
    let known: BTreeSet<&str> = ["_aws", "Stack", "request_id"]
        .into_iter()
        .chain(values.keys().map(String::as_str))
        .collect();
    for name in root.as_object().unwrap().keys() {
        assert!(known.contains(name.as_str()), "{name} is no metric and no dimension");
    }
    Line { values, units, root }
}
