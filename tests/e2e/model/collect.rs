//! The steps of collect: `part::collect` of `functions/collect/src/part.rs`.

use crate::rules::{Rules, World};
use crate::state::{At, Collect, State};
use crate::steps::Next;

/// A collector that goes step by step, beside one that does it all at once.
pub(crate) fn steps(rules: &Rules, world: &World, state: &State, out: &mut Vec<Next>) {
    let with = |collect: Collect| State { collect, ..*state };
    let record = state.record;
    let ended = matches!(record.at, At::Completed | At::Failed);
    match state.collect {
        Collect::Idle if ended => {
            let joined = Collect::Joined { was: record.at, job: record.job };
            out.push(Next::new("collect: joins and stores the rows", with(joined)));
        }
        Collect::Idle => {}
        // `Ledger::record_collected`; who is not the one to record it deletes its own work file
        Collect::Joined { was, job } => {
            let mut done = with(Collect::Idle);
            if (record.at, record.job) == (was, job) {
                collected(&mut done);
                out.push(Next::new("collect: COLLECTED", done));
                if world.lost_writes {
                    let mut lost = done;
                    let what = "collect: COLLECTED, but is answered that the condition failed";
                    if rules.look_after_failure {
                        lost.collect = Collect::Unsure;
                    } else {
                        lost.record.file = false;
                    }
                    out.push(Next::fault(what, lost));
                }
            } else if rules.look_after_failure {
                out.push(Next::new("collect: is not the one to record it", with(Collect::Unsure)));
            } else {
                out.push(Next::new("collect: is not the one to record it, and deletes its file", done));
            }
            out.push(Next::fault("collect: dies", with(Collect::Idle)));
        }
        Collect::Unsure => {
            let mut done = with(Collect::Idle);
            done.record.file &= record.at == At::Collected;
            out.push(Next::new("collect: sees whose file is recorded, and keeps or deletes its own", done));
        }
    }
    if ended && state.collect != Collect::Idle {
        let mut done = *state;
        collected(&mut done);
        out.push(Next::new("second collect: COLLECTED", done));
    }
}

fn collected(state: &mut State) {
    (state.record.at, state.record.file) = (At::Collected, true);
}
