//! The steps of collect: `part::collect` of `functions/collect/src/part.rs`.

use crate::next::Next;
use crate::rules::{Omits, Rules, Scenario, World};
use crate::state::{Collect, Noted, PartState, Phase, STARTED, State};

/// A collector that goes step by step, beside one that does it all at once.
pub(crate) fn steps(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    let Scenario { rules, world } = scenario;
    let with = |collect: Collect| State { collect, ..*state };
    let record = state.record;
    let sees = sees(world, state);
    match state.collect {
        Collect::Idle => {
            if sees.rows {
                let joined = Collect::Joined { was: record.at, job: record.job };
                out.push(Next::new("collect: joins and stores the rows", with(joined)));
            }
            if let Some(job) = sees.lost {
                out.push(Next::new(
                    "collect: finds the lost job reported",
                    with(Collect::Found { job }),
                ));
            }
            // `Ledger::hold`
            if world.bad_results && record.at == PartState::Completed && !record.held && sees.rows {
                let kept = Next::fault("collect: keeps results that it cannot use", *state);
                out.push(kept.then(|s| s.record.held = true));
            }
        }
        // `Ledger::record_collected`; who is not the one to record it deletes its own work file
        Collect::Joined { was, job } => {
            let mut done = with(Collect::Idle);
            if (record.at, record.job) == (was, job) {
                collected(&mut done);
                out.push(Next::new("collect: COLLECTED", done));
                if world.lost_writes {
                    let mut lost = done;
                    let what = "collect: COLLECTED, but is answered that the condition failed";
                    if rules.know_writer {
                        lost.collect = Collect::Unsure;
                    } else {
                        lost.record.file = false;
                    }
                    out.push(Next::fault(what, lost));
                }
            } else {
                out.push(Next::new(
                    "collect: is not the one to record it, and deletes its file",
                    done,
                ));
            }
            out.push(Next::fault("collect: dies", with(Collect::Idle)));
        }
        // `Ledger::restore`
        Collect::Found { job } => {
            let mut done = with(Collect::Idle);
            if record.job == Some(job)
                && ((record.at == PartState::Failed && record.lost) || !rules.restore_checked)
            {
                restore(rules, &mut done);
            }
            out.push(Next::new("collect: the part goes back, if FAILED(lost) stands", done));
            out.push(Next::fault("collect: dies", with(Collect::Idle)));
        }
        Collect::Unsure => {
            let mut done = with(Collect::Idle);
            done.record.file &= record.at == PartState::Collected;
            out.push(Next::new(
                "collect: sees whose file is recorded, and keeps or deletes its own",
                done,
            ));
        }
    }
    if state.collect != Collect::Idle {
        let mut done = *state;
        if sees.rows {
            collected(&mut done);
            out.push(Next::new("second collect: COLLECTED", done));
        }
        if sees.lost.is_some() {
            restore(rules, &mut done);
            out.push(Next::new(
                "second collect: the lost job is reported, and the part goes back",
                done,
            ));
        }
    }
}

struct Sees {
    /// There are rows to be stored: results, kept results, or the reason why there are none.
    rows: bool,
    /// The API reports the job of a part that is lost.
    lost: Option<u8>,
}

fn sees(world: &World, state: &State) -> Sees {
    let record = state.record;
    let phase = record.job.and_then(|job| state.job(job)).map_or(Phase::Gone, |job| job.phase);
    let rows = match record.at {
        PartState::Completed => record.held || phase == Phase::Completed,
        // What is lost and has no rows has none to come.
        PartState::Failed if record.lost && may_be_sent(state) => {
            phase == Phase::Gone || world.omits != Omits::Nothing
        }
        PartState::Failed => true,
        _ => false,
    };
    let lost =
        record.at == PartState::Failed && record.lost && may_be_sent(state) && phase != Phase::Gone;
    Sees { rows, lost: record.job.filter(|_| lost) }
}

fn may_be_sent(state: &State) -> bool {
    state.record.began || state.record.rank >= STARTED
}

fn collected(state: &mut State) {
    (state.record.at, state.record.file) = (PartState::Collected, true);
}

/// Its job is reported: what there is to be done about it, poll decides.
fn restore(rules: &Rules, state: &mut State) {
    let record = &mut state.record;
    let claimed = record.claimed && record.rank < STARTED && rules.restore_claim;
    (record.at, record.lost) =
        (if claimed { PartState::Abandoning } else { PartState::Uploaded }, false);
    (record.rank, record.absent, record.overdue) = (record.rank.min(STARTED), Noted::No, Noted::No);
}
