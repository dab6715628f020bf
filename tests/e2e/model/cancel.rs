//! The steps of a cancellation: the user's request, and what `cancel_part` of
//! `shared/src/services/ledger/parts/cancel.rs` makes of the part. The rest is poll's: see
//! `shared/src/part/decide.rs`.

use crate::next::Next;
use crate::rules::Scenario;
use crate::state::{PartState, State};

pub(crate) fn steps(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    let Scenario { rules, world } = scenario;
    let record = state.record;
    if !world.cancels || record.has_ended() {
        return;
    }
    if !state.requested {
        out.push(Next::new("user: cancels the drop", *state).then(|s| s.requested = true));
        return;
    }
    // The part may have been read before its upload began: the condition looks again.
    let open = matches!(record.at, PartState::Planned | PartState::Created | PartState::Abandoning);
    if open && (record.is_unsent() || !rules.cancel_checks_mark) {
        let has_rows = record.job.and_then(|job| state.job(job)).is_some_and(|job| job.has_rows);
        let broken = has_rows.then_some("a part failed whose rows are with its job");
        let failed = Next::new("cancel: FAILED, since nothing was sent", *state);
        out.push(Next { broken, ..failed.then(|s| s.record.at = PartState::Failed) });
    }
    // Also a part that is in another state by now than it was read in.
    if !record.cancelled {
        out.push(
            Next::new("cancel: marks the part as cancelled", *state)
                .then(|s| s.record.cancelled = true),
        );
    }
    if record.cancelled && !record.cancelled_long && record.at != PartState::Failed {
        out.push(
            Next::new("clock: a day after the part was cancelled", *state)
                .then(|s| s.record.cancelled_long = true),
        );
    }
}
