//! The problems of a drop, gravest first: its own, its parts', and the stack's.

use super::stack::{StackProblem, StackProblems};
use super::{DropRecord, SafeResults};
use crate::part::PartRecord;
use crate::problem::Problem;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most problems that are listed.
pub const MOST_PROBLEMS: usize = 20;

/// What has a problem. Only who has it can be rid of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Every drop of the stack waits for it.
    Stack,
    /// The drop.
    Drop,
    /// One of its parts.
    Part,
}

/// A problem, and what has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedProblem {
    /// The problem: `code`, `message` and `next_step`.
    #[serde(flatten)]
    pub problem: Problem,
    /// What has it.
    pub owner: Owner,
    /// The part that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// When it was last met, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
}

/// All problems of a drop, gravest first.
#[must_use]
pub fn problems(
    drop: &DropRecord,
    parts: &[PartRecord],
    stack: &StackProblems,
) -> Vec<OwnedProblem> {
    let of_drop = [
        drop.problem.clone(),
        drop.check_problem.clone(),
        drop.create_problem.clone(),
        drop.publish_problem.clone(),
        drop.is_being_cancelled().then(Problem::being_cancelled),
    ];
    let of_drop = of_drop
        .into_iter()
        .flatten()
        .chain(warnings(drop, parts))
        .map(|problem| OwnedProblem { problem, owner: Owner::Drop, part: None, seen_at: None });
    let of_stack = stack.concerning(drop, parts).into_iter().map(
        |StackProblem { problem, seen_at, .. }| OwnedProblem {
            problem: problem.clone(),
            owner: Owner::Stack,
            part: None,
            seen_at: Some(*seen_at),
        },
    );
    // Of jobs that do not start since none does, the stack's problem says all.
    let is_of_stack = |part: &PartRecord| {
        stack.not_started.is_some() && part.not_started.is_some_and(|noted| noted.none_started)
    };
    let of_parts = parts.iter().filter(|part| !is_of_stack(part)).filter_map(|part| {
        let (problem, part) = (part.problem()?, Some(part.plan.number));
        Some(OwnedProblem { problem, owner: Owner::Part, part, seen_at: None })
    });
    let mut all: Vec<_> = of_drop.chain(of_stack).chain(of_parts).collect();
    // Stable: parts stay in order.
    all.sort_by_key(|one| (one.problem.code.gravity(), one.owner));
    all
}

/// The versions of the policy by which parts' jobs were judged, as far as the API reports them.
#[must_use]
pub fn policy_versions(parts: &[PartRecord]) -> Vec<String> {
    // Jobs without results judged nothing.
    let judged = parts.iter().filter(|part| part.failure.is_none());
    let versions = judged.filter_map(|part| part.provenance.as_ref()?.policy_version.clone());
    versions.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What should be known of a drop's results: that the parts were judged by different versions of the
/// policy, or that `results.safe.csv` is missing.
#[must_use]
pub fn warnings(drop: &DropRecord, parts: &[PartRecord]) -> Vec<Problem> {
    let versions = policy_versions(parts).len().max(drop.policy_versions.len());
    let mixed = (versions > 1).then(|| Problem::mixed_versions(versions));
    let failed = (drop.safe == Some(SafeResults::Failed)).then(Problem::format_failed);
    mixed.into_iter().chain(failed).collect()
}
