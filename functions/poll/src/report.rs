//! Reports the drops that changed, and those whose report another function did not make.

use crate::context::Tick;
use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use moondrop_shared::drop::stack::StackProblems;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::try_report;
use moondrop_shared::services::ledger::reports_since;
use moondrop_shared::source::DropId;
use std::collections::{BTreeSet, HashMap};

/// How many reports are written at the same time. Each holds the records of all parts of its drop.
const REPORTS_AT_ONCE: usize = 4;
/// After how long a function that was to report must have ended: more than a function may run.
const ENDED_AFTER: SignedDuration = SignedDuration::from_mins(20);

/// The drops that are to be reported whether this tick changed them or not: those whose report is
/// due, those of which other parts are collected than when they were reported, and all if the
/// problems of the stack are not those that were reported.
pub(crate) fn due(tick: &Tick<'_>, stack: Option<&StackProblems>) -> Vec<DropId> {
    let is_new = stack.is_some_and(|stack| !is_reported(stack));
    let is_due = |drop: &&DropRecord| {
        let waits = matches!(drop.state, DropState::Uploading | DropState::Evaluating);
        let progressed = drop.reported_open != Some(tick.open_parts(&drop.id));
        !drop.reports_due.is_empty() || (waits && (is_new || progressed))
    };
    tick.drops.iter().filter(is_due).map(|drop| drop.id.clone()).collect()
}

fn is_reported(stack: &StackProblems) -> bool {
    stack.reported.as_deref().unwrap_or_default() == stack.words()
}

/// Writes the `status.json` of these drops, within the time of the invocation.
pub(crate) async fn report(
    tick: &Tick<'_>,
    changed: &BTreeSet<DropId>,
    stack: Option<StackProblems>,
) {
    // Where the time is too short for all, each has its turn.
    let reported: HashMap<_, _> =
        tick.drops.iter().map(|drop| (&drop.id, drop.reported_at)).collect();
    let mut changed: Vec<&DropId> = changed.iter().collect();
    changed.sort_by_key(|id| reported.get(*id).copied().flatten());
    // One that fails holds back no other.
    let reports = stream::iter(changed)
        .map(|id| report_one(tick, id))
        .buffer_unordered(REPORTS_AT_ONCE)
        .fold(true, async |all, is_done| all && is_done);
    match tokio::time::timeout(tick.deadline.last_moment(), reports).await {
        Err(_) => {
            tracing::warn!("some reports were not written: the time of the invocation is over");
        }
        Ok(true) => stack_is_reported(tick, stack).await,
        Ok(false) => {}
    }
}

async fn stack_is_reported(tick: &Tick<'_>, stack: Option<StackProblems>) {
    let Some(stack) = stack.filter(|stack| !is_reported(stack)) else { return };
    if let Err(error) = tick.services.ledger.set_stack_reported(&stack.words()).await {
        tracing::warn!(error = describe(&error), "every drop is reported once more");
    }
}

/// Whether the report was written.
async fn report_one(tick: &Tick<'_>, id: &DropId) -> bool {
    let ledger = &tick.services.ledger;
    if let Some(drop) = tick.drops.iter().find(|drop| drop.id == *id) {
        return try_report(tick.services, drop).await && end_reports(tick, drop).await;
    }
    // The index lags: the drop may not be in it yet.
    match ledger.drop_record(id).await {
        Ok(Some(drop)) => try_report(tick.services, &drop).await && end_reports(tick, &drop).await,
        Ok(None) => true,
        Err(error) => {
            tracing::warn!(drop = %id, error = describe(&error), "status.json was not written");
            false
        }
    }
}

/// Records that this tick's report is made, and those of functions that must have ended by now. One
/// that may still run makes its own.
async fn end_reports(tick: &Tick<'_>, drop: &DropRecord) -> bool {
    let has_ended = |name: &&String| {
        reports_since(name).is_none_or(|since| tick.now.duration_since(since) >= ENDED_AFTER)
    };
    let ended = drop.reports_due.iter().filter(has_ended).cloned();
    let names: Vec<String> = ended.chain([tick.report_name.to_owned()]).collect();
    let open = tick.open_parts(&drop.id);
    let done = tick.services.ledger.end_poll_report(&drop.id, &names, open).await;
    if let Err(error) = &done {
        tracing::warn!(
            drop = %drop.id, error = describe(error),
            "a report that was made stays due; the next tick makes it once more"
        );
    }
    done.is_ok()
}
