//! What `labels` look like: which form, which keys, which scores.

use super::answer::Answer;
use super::assumptions::Topic;
use super::findings::Findings;
use moondrop_shared::results::labels::is_blank;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The keys under which Moondrop looks for a label's name and score; `shared/src/results/labels.rs`.
const NAMES: [&str; 4] = ["label", "name", "label_name", "labelName"];
const SCORES: [&str; 2] = ["score", "confidence"];

/// The labels of all rows.
#[derive(Default)]
struct Seen {
    /// Rows whose labels are not blank.
    rows: usize,
    /// Those of them whose labels are neither a list of objects nor one object of numbers.
    other_forms: usize,
    /// Those of them whose labels are one object.
    maps: usize,
    /// The labels that are objects of their own.
    objects: Vec<Map<String, Value>>,
    scores: Vec<Value>,
}

/// Looks at the labels of all rows.
pub(super) fn examine(answers: &[Answer], findings: &mut Findings) {
    let mut seen = Seen::default();
    for answer in answers.iter().filter(|answer| !is_blank(&answer.labels)) {
        seen.add(&answer.labels);
    }
    if seen.rows > 0 {
        let words = match (seen.other_forms, seen.maps) {
            (0, 0) => format!("lists in {} rows", seen.rows),
            (0, maps) => format!("objects of names and scores in {maps} of {} rows", seen.rows),
            (others, _) => format!("another form in {others} of {} rows", seen.rows),
        };
        findings.judge(Topic::LabelsJson, seen.other_forms == 0, words);
    }
    if seen.objects.is_empty() && seen.maps == 0 {
        for topic in [Topic::LabelName, Topic::LabelScore, Topic::ScoreRange] {
            findings
                .not_seen(topic, "no row has a label: use a policy that applies one to these rows");
        }
        return;
    }
    seen.find_key(Topic::LabelName, &NAMES, findings);
    seen.find_key(Topic::LabelScore, &SCORES, findings);
    if !seen.scores.is_empty() {
        let scores: Vec<Option<f64>> = seen.scores.iter().map(number).collect();
        let inside = |score: &&Option<f64>| score.is_some_and(|n| (0.0..=1.0).contains(&n));
        let good = scores.iter().filter(inside).count();
        let words = format!("{good} of {} are numbers from 0 to 1", scores.len());
        findings.judge(Topic::ScoreRange, good == scores.len(), words);
    }
}

impl Seen {
    fn add(&mut self, labels: &str) {
        self.rows += 1;
        match serde_json::from_str(labels) {
            Ok(Value::Array(values)) if values.iter().all(Value::is_object) => {
                for value in values {
                    let Value::Object(label) = value else { continue };
                    self.scores.extend(SCORES.iter().find_map(|key| label.get(*key)).cloned());
                    self.objects.push(label);
                }
            }
            // One label without a list around it is no form that Moondrop reads.
            Ok(Value::Object(map)) if !NAMES.iter().any(|key| map.contains_key(*key)) => {
                self.maps += 1;
                self.scores.extend(map.into_iter().map(|(_, score)| score));
            }
            _ => self.other_forms += 1,
        }
    }

    /// Whether every label has one of these keys.
    fn find_key(&self, topic: Topic, keys: &[&str], findings: &mut Findings) {
        let found: BTreeSet<&str> = self
            .objects
            .iter()
            .filter_map(|label| keys.iter().find(|key| label.contains_key(**key)).copied())
            .collect();
        let without =
            |label: &&Map<String, Value>| !keys.iter().any(|key| label.contains_key(*key));
        let without = self.objects.iter().filter(without).count();
        let found = found.into_iter().collect::<Vec<_>>().join(", ");
        let seen = match (without, self.objects.len()) {
            (_, 0) => "in an object of names and scores".to_owned(),
            (0, labels) => format!("{found} in {labels} labels"),
            (_, labels) => {
                format!("not in {without} of {labels} labels; keys: {}", self.keys())
            }
        };
        findings.judge(topic, without == 0, seen);
    }

    /// The keys of all labels, those by name that Moondrop knows. Any other may be the name of one of
    /// the policy's labels, and is only counted.
    fn keys(&self) -> String {
        let keys: BTreeSet<&str> =
            self.objects.iter().flat_map(Map::keys).map(String::as_str).collect();
        let known: Vec<&str> = keys
            .iter()
            .copied()
            .filter(|key| NAMES.contains(key) || SCORES.contains(key))
            .collect();
        let others = match keys.len() - known.len() {
            0 => return known.join(", "),
            1 => "1 other".to_owned(),
            others => format!("{others} others"),
        };
        if known.is_empty() { others } else { format!("{} and {others}", known.join(", ")) }
    }
}

/// A score as Moondrop reads it: a number, or one in quotes.
fn number(score: &Value) -> Option<f64> {
    score.as_f64().or_else(|| score.as_str()?.trim().parse().ok())
}
