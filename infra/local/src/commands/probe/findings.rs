//! What was found about each assumption. Words never have content, keys or URLs.

use super::assumptions::Topic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How an assumption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Met,
    NotMet,
    NotSeen,
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotSeen => "not seen",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) seen: String,
}

/// The findings so far; what is not in here was not seen.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Findings(BTreeMap<Topic, Finding>);

impl Findings {
    pub(super) fn get(&self, topic: Topic) -> Finding {
        let none = || Finding { verdict: Verdict::NotSeen, seen: String::new() };
        self.0.get(&topic).cloned().unwrap_or_else(none)
    }

    /// Whether anything was found about it.
    pub(super) fn has(&self, topic: Topic) -> bool {
        self.0.contains_key(&topic)
    }

    pub(super) fn met(&mut self, topic: Topic, seen: impl Into<String>) {
        self.0.insert(topic, Finding { verdict: Verdict::Met, seen: seen.into() });
    }

    pub(super) fn not_met(&mut self, topic: Topic, seen: impl Into<String>) {
        self.0.insert(topic, Finding { verdict: Verdict::NotMet, seen: seen.into() });
    }

    pub(super) fn not_seen(&mut self, topic: Topic, why: impl Into<String>) {
        self.0.insert(topic, Finding { verdict: Verdict::NotSeen, seen: why.into() });
    }

    /// Met if `is`, with the same words either way.
    pub(super) fn judge(&mut self, topic: Topic, is: bool, seen: impl Into<String>) {
        if is { self.met(topic, seen) } else { self.not_met(topic, seen) }
    }

    /// How many assumptions stand so.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        super::assumptions::ASSUMPTIONS
            .iter()
            .filter(|known| self.get(known.topic).verdict == verdict)
            .count()
    }
}
