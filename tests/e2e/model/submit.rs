//! The steps of one invocation of submit: `feed_part`, `create`, `upload` and `cancel` of
//! `functions/submit/src`.

use crate::next::Next;
use crate::rules::{Expiry, Mark, Scenario, World};
use crate::state::{
    EXPIRED, Job, OLD, PartState, Phase, Record, Repeat, STARTED, State, Submit, Worker,
};
use crate::surroundings::cancel;

pub(crate) fn steps(scenario: &Scenario, state: &State, me: usize, out: &mut Vec<Next>) {
    let Scenario { rules, world } = scenario;
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
    let Some(id) = job else { return begin(scenario, state, me, out) };
    out.push(Next::fault("dies", idle(*state)));
    match step {
        Submit::Idle => {}
        Submit::Created if !rules.record_first => {
            put(&mut at, id);
            out.push(Next::new("uploads before it records", go(at, Submit::CreatedAndSent)));
        }
        // `Ledger::record_job`: refused, it is answered with the old item, in which another's job
        // stands, or none
        Submit::Created | Submit::CreatedAndSent => {
            let heeds = !state.record.cancelled || !rules.heed_cancel;
            let free = state.record.at == PartState::Planned && state.record.job.is_none() && heeds;
            if free || !rules.conditional {
                record_job(&mut at, id);
                out.push(Next::new("records its job: CREATED", idle(at)));
                if world.lost_writes {
                    let again =
                        if rules.know_writer { Submit::Unsure } else { Submit::NotRecorded };
                    let what =
                        "records its job: CREATED, but is answered that the condition failed";
                    out.push(Next::fault(what, go(at, again)));
                }
            } else {
                out.push(Next::new("does not get its job recorded", go(at, Submit::NotRecorded)));
            }
        }
        Submit::Unsure if state.record.job == Some(id) => {
            out.push(Next::new("sees its job recorded", idle(at)))
        }
        Submit::Unsure => {
            out.push(Next::new("does not see its job recorded", go(at, Submit::NotRecorded)))
        }
        // `cancel`
        Submit::NotRecorded => {
            out.extend(
                cancel(world, at, id)
                    .into_iter()
                    .map(|next| next.then(|s| s.workers[me] = Worker::IDLE)),
            );
        }
        // `Ledger::begin_upload`
        Submit::Read => {
            let heeds = !state.record.cancelled || !rules.heed_cancel;
            let current = state.is(PartState::Created, id) && heeds;
            if current {
                at.record.began |= rules.mark != Mark::None;
            }
            if current || rules.mark != Mark::Conditional {
                let alone = !state.record.began;
                at.workers.iter_mut().filter(|w| w.job == Some(id)).for_each(no_longer_alone);
                let broken = (current && at.record.cancelled)
                    .then_some("an upload began to a cancelled part");
                let begins = go(at, Submit::Sending { alone });
                out.push(Next { broken, ..Next::new("records that its upload begins", begins) });
            } else {
                out.push(Next::new("may not begin its upload", idle(at)));
            }
        }
        Submit::Sending { .. } => send(scenario, state, me, out),
        // `Ledger::record_upload`; whether it was the one to record it does not matter
        Submit::Sent => {
            if state.is(PartState::Created, id) {
                at.record.at = PartState::Uploaded;
            }
            out.push(Next::new("records the upload, if CREATED stands", idle(at)));
        }
        Submit::Repeating => {
            let again = put(&mut at, id);
            if let Some(job) = &mut at.jobs[id as usize] {
                job.repeats += 1;
            }
            out.push(Next { again, ..Next::new("uploads the rows again", idle(at)) });
        }
    }
}

fn no_longer_alone(worker: &mut Worker) {
    if let Submit::Sending { alone } = &mut worker.step {
        *alone = false;
    }
}

/// `feed_part`: the part's state says what to do. That the record may be an old one by then is in
/// what follows: a job may be recorded, and an upload may arrive, at any later time.
fn begin(scenario: &Scenario, state: &State, me: usize, out: &mut Vec<Next>) {
    let Scenario { rules, world } = scenario;
    let mut next = *state;
    let Record { at, job, rank, repeat, lease, cancelled, .. } = state.record;
    if cancelled {
        return;
    }
    let young = job.filter(|&id| state.job(id).is_some_and(|job| job.age < OLD));
    match (at, job) {
        (PartState::Planned, _) => match lease {
            Some(other) if other != me as u8 => {
                next.record.lease = None;
                out.push(Next::new("finds another's lease run out", next));
            }
            _ => {
                next.record.lease = (!rules.conditional).then_some(me as u8);
                create(world, &next, me, out);
            }
        },
        (PartState::Created, Some(id)) if young.is_some() => {
            next.workers[me] = took(state, id, Submit::Read);
            out.push(Next::new("reads CREATED", next));
        }
        (PartState::Created, Some(_)) if rules.expiry == Expiry::NewJob => {
            next.record = Record { at: PartState::Planned, ..next.record.without_job() };
            out.push(Next::new("finds the URL old: PLANNED again", next));
        }
        // `Ledger::begin_repeat`
        (PartState::Uploaded, Some(id))
            if young.is_some() && repeat == Repeat::Due && rank < STARTED =>
        {
            if rules.repeat_once {
                next.record.repeat = Repeat::Began;
            }
            next.workers[me] = took(state, id, Submit::Repeating);
            out.push(Next::new("records that it repeats the upload", next));
        }
        _ => {}
    }
}

fn took(state: &State, id: u8, step: Submit) -> Worker {
    Worker { step, job: Some(id), since: state.job(id).map_or(0, |job| job.age) }
}

/// `create`: a job is made, and its answer may be lost; or the API refuses (`Ledger::refuse_part`).
fn create(world: &World, state: &State, me: usize, out: &mut Vec<Next>) {
    if let Some(id) = state.jobs.iter().position(Option::is_none) {
        let mut made = *state;
        made.jobs[id] = Some(Job::NEW);
        out.push(Next::fault("reads PLANNED and creates a job, and the answer is lost", made));
        made.workers[me] = took(&made, id as u8, Submit::Created);
        out.push(Next::new("reads PLANNED and creates a job", made));
    }
    if world.failures && state.record.job.is_none() {
        out.push(
            Next::fault("is refused a job: FAILED", *state)
                .then(|s| s.record.at = PartState::Failed),
        );
    }
}

fn record_job(state: &mut State, id: u8) {
    state.record =
        Record { at: PartState::Created, job: Some(id), lease: None, ..state.record.without_job() };
    if let Some(job) = &mut state.jobs[id as usize] {
        job.recorded = true;
    }
}

/// The upload arrives. Storage takes it for a cancelled job as well, of which nothing comes.
/// Whether the job had rows before.
fn put(state: &mut State, id: u8) -> bool {
    let Some(job) = &mut state.jobs[id as usize] else { return false };
    let again = job.has_rows;
    job.has_rows |= job.phase == Phase::Initialized;
    again
}

fn send(scenario: &Scenario, state: &State, me: usize, out: &mut Vec<Next>) {
    let (Scenario { rules, world }, sending) = (scenario, state.workers[me]);
    let Worker { step: Submit::Sending { alone }, job: Some(id), .. } = sending else { return };
    let mut left = *state;
    left.workers[me] = Worker::IDLE;
    // An upload that began in time may arrive after the URL has run out, if an invocation lives
    // long enough.
    let expired = state.job(id).is_none_or(|job| job.age >= EXPIRED);
    if expired {
        out.push(Next::new("is refused the upload: the URL has run out", left));
    }
    if !expired || world.stalls {
        let mut fed = *state;
        let again = put(&mut fed, id);
        fed.workers[me] = Worker { step: Submit::Sent, ..sending };
        out.push(Next { again, ..Next::new("uploads the rows", fed) });
    }
    if world.failures {
        // `Ledger::fail_unfed`, then `cancel`
        let fails = state.is(PartState::Created, id) && (alone || !rules.fail_alone);
        let has_rows = state.job(id).is_some_and(|job| job.has_rows);
        if fails {
            left.record.at = PartState::Failed;
            left.workers[me] = Worker { step: Submit::NotRecorded, ..sending };
        }
        let broken = (fails && has_rows).then_some("a part failed whose rows are with its job");
        out.push(Next {
            broken,
            ..Next::fault("finds the source gone: FAILED, if no other upload began", left)
        });
    }
}
