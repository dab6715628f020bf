//! The steps of the API, its clock and the sweep; and what a cancel may come to.

use crate::next::Next;
use crate::rules::{Scenario, World};
use crate::state::{
    DAY, EARLY_DAY, EXPIRED, Job, Noted, ORPHAN, OVERDUE, PartState, Phase, Poll, State, Worker,
};

/// What `BatchApi::cancel` may come to, whatever it is answered. A job that has not started is
/// cancelled, or the call is refused or lost; one that has may be stopped or not.
pub(crate) fn cancel(world: &World, state: State, id: u8) -> Vec<Next> {
    let cancelled = |mut state: State| {
        if let Some(job) = &mut state.jobs[id as usize] {
            (job.phase, job.by_us) = (Phase::Cancelled, true);
        }
        state
    };
    match state.job(id).map(|job| job.phase) {
        Some(Phase::Initialized | Phase::Started) if world.refuses => {
            vec![Next::new("cancels it: refused", state)]
        }
        Some(Phase::Initialized) => {
            vec![
                Next::new("cancels it", cancelled(state)),
                Next::fault("cancels it: refused or lost", state),
            ]
        }
        Some(Phase::Started) => {
            vec![
                Next::new("cancels it: a started job is stopped", cancelled(state)),
                Next::new("cancels it: refused", state),
            ]
        }
        _ => vec![Next::new("cancels it: it has ended", state)],
    }
}

/// What the API, its clock and the sweep do by themselves.
pub(crate) fn steps(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    let world = &scenario.world;
    for id in 0..state.jobs.len() as u8 {
        let Some(job) = state.job(id).copied() else { continue };
        let with = |change: Job| {
            let mut state = *state;
            state.jobs[id as usize] = Some(change);
            state
        };
        if world.starts
            && job.has_rows
            && job.phase == Phase::Initialized
            && (world.lag || job.age < DAY)
        {
            let started = with(Job { phase: Phase::Started, started: true, ..job });
            out.push(Next::new("API: the job starts", started).then(|s| s.started += 1));
        }
        if job.phase == Phase::Started {
            out.push(Next::new(
                "API: the job completes",
                with(Job { phase: Phase::Completed, ..job }),
            ));
        }
        // What befalls a job before it is recorded might as well befall it after; one that never is
        // concerns only the sweep.
        if job.recorded {
            ends(world, state, id, out);
        }
        out.extend(older(scenario, state, id));
        out.extend(sweep(scenario, state, id));
    }
    let mut later = *state;
    if state.record.overdue == Noted::Lately {
        later.record.overdue = Noted::ADay;
        out.push(Next::new("clock: a day after the overdue job was first asked for", later));
    }
    if state.record.at == PartState::Abandoning && !state.record.began && !state.record.claimed_long
    {
        later = *state;
        later.record.claimed_long = true;
        out.push(Next::new("clock: an hour after the claim", later));
    }
}

/// How the API ends a job by itself.
fn ends(world: &World, state: &State, id: u8, out: &mut Vec<Next>) {
    let Some(job) = state.job(id).copied() else { return };
    let mut fault = |what, phase| {
        let mut state = *state;
        state.jobs[id as usize] = Some(Job { phase, ..job });
        out.push(Next::fault(what, state));
    };
    if world.failures && matches!(job.phase, Phase::Initialized | Phase::Started) {
        fault("API: the job fails", Phase::Error);
    }
    if world.failures && job.phase == Phase::Initialized && !job.has_rows && job.age >= EXPIRED {
        fault("API: cancels a job without rows", Phase::Cancelled);
    }
    if world.bad_results && job.phase == Phase::Completed {
        fault("API: the completed job fails after all", Phase::Error);
    }
    if world.lost_jobs && job.phase != Phase::Gone {
        fault("API: the job is lost", Phase::Gone);
    }
}

/// The job's next age. Invocations that began with it more than a step ago are over by then.
fn older(scenario: &Scenario, state: &State, id: u8) -> Option<Next> {
    let (Scenario { rules, world }, job) = (scenario, *state.job(id)?);
    let age = match job.age {
        ORPHAN if rules.whole_day => DAY,
        age => age + 1,
    };
    let (what, age, phase) = match age {
        1 => ("clock: the job is 3 h 45 old", age, job.phase),
        2 => ("clock: the job's URL has run out (4 h)", age, job.phase),
        3 => ("clock: the job is 4 h 30 old", age, job.phase),
        ORPHAN => ("clock: the job is 5 h old", age, job.phase),
        EARLY_DAY => ("clock: a day after the first upload to the job began", age, job.phase),
        DAY => ("clock: a day after the job's URL ran out", age, job.phase),
        // With a witness, absence does the same, and sooner.
        OVERDUE if job.phase == Phase::Initialized && world.witness => {
            ("API: the job is archived", DAY, Phase::Gone)
        }
        OVERDUE
            if job.phase == Phase::Initialized || (job.phase == Phase::Gone && !world.witness) =>
        {
            ("API: the job is archived (35 days)", OVERDUE, Phase::Gone)
        }
        _ => return None,
    };
    let mut next = *state;
    let floor = if age == DAY && !world.lag { job.phase } else { job.floor };
    next.jobs[id as usize] = Some(Job { age, phase, floor, ..job });
    // An invocation that lives 15 minutes may cross one step of those that are close together; one
    // that stalls, all of them.
    let over =
        |since: u8| if world.stalls { age >= ORPHAN } else { since < job.age || age > ORPHAN };
    for worker in &mut next.workers {
        if worker.job == Some(id) && over(worker.since) {
            *worker = Worker::IDLE;
        }
    }
    if next.poll.holds().is_some_and(|(job, since)| job == id && over(since)) {
        next.poll = Poll::Idle;
    }
    Some(Next::new(what, next))
}

/// `sweep` of `functions/poll/src/sweep.rs`: a job that the API, perhaps lagging, lists as
/// INITIALIZED, that is over 5 h old, and that is no part's.
fn sweep(scenario: &Scenario, state: &State, id: u8) -> Vec<Next> {
    let (Scenario { rules, world }, record) = (scenario, state.record);
    let waited_for =
        matches!(record.at, PartState::Created | PartState::Abandoning | PartState::Uploaded);
    let alive =
        waited_for || (rules.sweep_spares_lost && record.at == PartState::Failed && record.lost);
    let is_orphan = |job: &&Job| {
        let waiting = matches!(job.phase, Phase::Initialized | Phase::Started)
            && job.floor == Phase::Initialized;
        waiting && job.age >= ORPHAN && !(alive && record.job == Some(id))
    };
    if state.job(id).filter(is_orphan).is_none() {
        return Vec::new();
    }
    let cancelled = cancel(world, *state, id).into_iter();
    cancelled
        .map(|next| Next { what: "sweep: an orphan is cancelled, if it is not refused", ..next })
        .collect()
}
