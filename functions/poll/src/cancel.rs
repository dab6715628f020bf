//! Cancelled drops: cancels the parts that submit did not get to, and ends those that have waited for
//! a day.

use crate::apply::{Applied, apply};
use crate::context::Tick;
use anyhow::Result;
use moondrop_shared::lifecycle::{cancel_parts, is_to_be_cancelled};
use moondrop_shared::part::PartRecord;
use moondrop_shared::part::decide::{Action, JobAnswer, decide};
use moondrop_shared::source::DropId;
use std::collections::{BTreeSet, HashSet};

/// Cancels the parts of cancelled drops that are not cancelled yet: the request may have come while
/// a part was planned again, or its submit may have died.
pub(crate) async fn cancel_rest(
    tick: &Tick<'_>,
    parts: &mut [PartRecord],
) -> (BTreeSet<DropId>, Result<()>) {
    let due: Vec<PartRecord> = parts
        .iter()
        .filter(|part| is_to_be_cancelled(part))
        .filter(|part| tick.drop_of(part).is_some_and(|drop| drop.cancelled_at.is_some()))
        .cloned()
        .collect();
    let drops: BTreeSet<DropId> = due.iter().map(|part| part.drop.clone()).collect();
    for drop_id in &drops {
        let begun = tick.services.ledger.begin_report(drop_id, tick.report_name).await;
        if begun.is_err() {
            return (BTreeSet::new(), begun);
        }
    }
    let (mut cancelled, mut outcome) = (Vec::new(), Ok(()));
    for drop in tick.drops.iter().filter(|drop| drops.contains(&drop.id)) {
        let own = due.iter().filter(|part| part.drop == drop.id).cloned().collect();
        let (now, done) = cancel_parts(tick.services, drop, own, tick.now).await;
        cancelled.extend(now);
        outcome = outcome.and(done);
    }
    for now in cancelled {
        let same =
            |part: &&mut PartRecord| part.drop == now.drop && part.plan.number == now.plan.number;
        if let Some(part) = parts.iter_mut().find(same) {
            *part = now;
        }
    }
    (drops, outcome)
}

/// Ends the parts that were cancelled over a day ago, and for which the API gave no answer in this
/// tick: it may never give one.
pub(crate) async fn end_overdue(
    tick: &Tick<'_>,
    parts: &mut [PartRecord],
    unanswered: &HashSet<(DropId, u32)>,
) -> (BTreeSet<DropId>, Result<()>) {
    let (mut changed, mut outcome) = (BTreeSet::new(), Ok(()));
    let when = &tick.when(None);
    let without_answer = |part: &&mut PartRecord| {
        let id = (part.drop.clone(), part.plan.number);
        part.cancelled_at.is_some() && unanswered.contains(&id)
    };
    for part in parts.iter_mut().filter(without_answer) {
        let action = decide(part, &JobAnswer::Nothing, when);
        if action != Action::FailCancelled || tick.deadline.is_near() {
            continue;
        }
        let begun = tick.services.ledger.begin_report(&part.drop, tick.report_name).await;
        if begun.is_err() {
            return (changed, outcome.and(begun));
        }
        match apply(tick, part, action).await {
            Ok(Applied { part: now, .. }) => {
                *part = now;
                changed.insert(part.drop.clone());
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    (changed, outcome)
}
