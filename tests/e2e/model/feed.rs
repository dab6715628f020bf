//! The steps of one invocation of submit: `feed_part`, `create`, `upload` and `cancel` of `functions/submit/src/feed.rs`.

use crate::rules::{Expiry, Rules, World};
use crate::state::{At, EXPIRED, Feeding, Job, Missing, OLD, Phase, State, Worker};
use crate::steps::{Next, cancel};

pub(crate) fn steps(rules: &Rules, world: &World, state: &State, me: usize, out: &mut Vec<Next>) {
    let Worker { step, job, .. } = state.workers[me];
    let mut at = *state;
    let go = |mut state: State, step| {
        state.workers[me].step = step;
        state
    };
    let idle = |mut state: State| {
        state.workers[me] = Worker::IDLE;
        state
    };
    let Some(id) = job else { return begin(rules, world, state, me, out) };
    out.push(Next::fault("dies", idle(*state)));
    match step {
        Feeding::Idle => {}
        Feeding::Made if !rules.record_first => {
            put(&mut at, id);
            out.push(Next::new("uploads before it records", go(at, Feeding::MadeAndFed)));
        }
        // `Ledger::record_job`
        Feeding::Made | Feeding::MadeAndFed => {
            let free = state.record.at == At::Planned && state.record.job.is_none();
            if free || !rules.conditional {
                record_job(&mut at, id);
                out.push(Next::new("records its job: CREATED", idle(at)));
                if world.lost_writes {
                    let failed = if rules.look_after_failure { Feeding::Unsure } else { Feeding::Loser };
                    let what = "records its job: CREATED, but is answered that the condition failed";
                    out.push(Next::fault(what, go(at, failed)));
                }
            } else if rules.look_after_failure {
                out.push(Next::new("does not get its job recorded", go(at, Feeding::Unsure)));
            } else {
                out.push(Next::new("does not get its job recorded", go(at, Feeding::Loser)));
            }
        }
        Feeding::Unsure if state.record.job == Some(id) => out.push(Next::new("sees its job recorded", idle(at))),
        Feeding::Unsure => {
            out.push(Next::new("sees another's job recorded", go(at, Feeding::Loser)));
            // It goes on with the record as it read it. That it cancels its own job first is no one else's business.
            if let Some(other) = to_be_fed(state) {
                let cancelled =
                    cancel(at, id).into_iter().map(|next| next.then(|s| s.workers[me] = took(s, other, Feeding::Sending)));
                out.extend(
                    cancelled.map(|next| Next { what: "sees another's job recorded, and begins to upload to that", ..next }),
                );
            }
        }
        // `cancel`
        Feeding::Loser => out.extend(cancel(at, id).into_iter().map(|next| next.then(|s| s.workers[me] = Worker::IDLE))),
        Feeding::Sending => send(world, state, me, id, out),
        // `Ledger::record_upload`; whether it was the one to record it does not matter
        Feeding::Fed => {
            if state.is(At::Created, id) {
                at.record.at = At::Uploaded;
            }
            out.push(Next::new("records the upload, if CREATED stands", idle(at)));
        }
    }
}

/// `feed_part`: the part's state says what to do. That the record may be an old one by then is in what follows: a job may be
/// recorded, and an upload may arrive, at any later time.
fn begin(rules: &Rules, world: &World, state: &State, me: usize, out: &mut Vec<Next>) {
    let mut next = *state;
    match (state.record.at, state.record.job) {
        (At::Planned, _) => match state.record.lease {
            Some(other) if other != me as u8 => {
                next.record.lease = None;
                out.push(Next::new("finds another's lease run out", next));
            }
            _ => {
                next.record.lease = (!rules.conditional).then_some(me as u8);
                create(world, &next, me, out);
            }
        },
        (At::Created, Some(id)) if to_be_fed(state).is_some() => {
            next.workers[me] = took(state, id, Feeding::Sending);
            out.push(Next::new("reads CREATED and begins to upload", next));
        }
        (At::Created, Some(_)) if rules.expiry == Expiry::NewJob => {
            (next.record.at, next.record.job) = (At::Planned, None);
            out.push(Next::new("finds the address old: PLANNED again", next));
        }
        _ => {}
    }
}

/// The job whose upload `upload` begins: CREATED, and not `age > URL_USED_FOR`.
fn to_be_fed(state: &State) -> Option<u8> {
    let job = state.record.job.filter(|_| state.record.at == At::Created)?;
    state.job(job).filter(|job| job.age < OLD).map(|_| job)
}

fn took(state: &State, id: u8, step: Feeding) -> Worker {
    Worker { step, job: Some(id), since: state.job(id).map_or(0, |job| job.age) }
}

/// `create`: a job is made, and its answer may be lost; or the API refuses (`Ledger::refuse_part`).
fn create(world: &World, state: &State, me: usize, out: &mut Vec<Next>) {
    if let Some(id) = state.jobs.iter().position(Option::is_none) {
        let mut made = *state;
        made.jobs[id] = Some(Job::NEW);
        out.push(Next::fault("reads PLANNED and creates a job, and the answer is lost", made));
        made.workers[me] = took(&made, id as u8, Feeding::Made);
        out.push(Next::new("reads PLANNED and creates a job", made));
    }
    if world.failures && state.record.job.is_none() {
        out.push(Next::fault("is refused a job: FAILED", *state).then(|s| s.record.at = At::Failed));
    }
}

pub(crate) fn record_job(state: &mut State, id: u8) {
    (state.record.at, state.record.job) = (At::Created, Some(id));
    (state.record.rank, state.record.missing, state.record.lease) = (0, Missing::No, None);
    if let Some(job) = &mut state.jobs[id as usize] {
        job.recorded = true;
    }
}

/// The upload arrives. Storage takes it for a cancelled job as well, of which nothing comes. Whether the job had rows before.
fn put(state: &mut State, id: u8) -> bool {
    let Some(job) = &mut state.jobs[id as usize] else { return false };
    let again = job.fed;
    job.fed |= job.phase == Phase::Initialized;
    again
}

fn send(world: &World, state: &State, me: usize, id: u8, out: &mut Vec<Next>) {
    let refused = state.workers[me];
    let mut left = *state;
    left.workers[me] = Worker::IDLE;
    // An upload that began in time may arrive after the address has run out, if an invocation lives long enough.
    let expired = state.job(id).is_none_or(|job| job.age >= EXPIRED);
    if expired {
        out.push(Next::new("is refused the upload: the address has run out", left));
    }
    if !expired || !world.bounded {
        let mut fed = *state;
        let again = put(&mut fed, id);
        fed.workers[me] = Worker { step: Feeding::Fed, ..refused };
        out.push(Next { again, ..Next::new("uploads the rows", fed) });
    }
    if world.failures {
        // `Ledger::fail_unfed`, then `cancel`
        if state.is(At::Created, id) {
            left.record.at = At::Failed;
            left.workers[me] = Worker { step: Feeding::Loser, ..refused };
        }
        out.push(Next::fault("finds the source gone: FAILED, if CREATED stands", left));
    }
}
