//! One step out of a state, as every actor's steps are given; and the steps of the API, its clock and the sweep.

use crate::rules::{Rules, World};
use crate::state::{At, DAY, EARLY_DAY, EXPIRED, Job, Noted, ORPHAN, OVERDUE, Phase, Poll, State, Worker};

/// A step: where it leads, and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    pub(crate) state: State,
    pub(crate) what: &'static str,
    /// A fault, which a fair continuation has none of.
    pub(crate) fault: bool,
    /// What it breaks by itself.
    pub(crate) broken: Option<&'static str>,
    /// The same bytes were uploaded once more to a job that has them: allowed, and counted.
    pub(crate) again: bool,
    /// The part's state in between, of a step that is two writes.
    pub(crate) via: Option<At>,
}

impl Next {
    pub(crate) fn new(what: &'static str, state: State) -> Next {
        Next { state, what, fault: false, broken: None, again: false, via: None }
    }

    pub(crate) fn fault(what: &'static str, state: State) -> Next {
        Next { fault: true, ..Next::new(what, state) }
    }

    /// The same step, with more done to the state.
    pub(crate) fn then(mut self, change: impl FnOnce(&mut State)) -> Next {
        change(&mut self.state);
        self
    }
}

/// What `BatchApi::cancel` may come to, whatever it is answered. A job that has not started is cancelled, or the call is
/// refused or lost; one that has may be stopped or not.
pub(crate) fn cancel(world: &World, state: State, id: u8) -> Vec<Next> {
    let cancelled = |mut state: State| {
        if let Some(job) = &mut state.jobs[id as usize] {
            (job.phase, job.by_us) = (Phase::Cancelled, true);
        }
        state
    };
    match state.job(id).map(|job| job.phase) {
        Some(Phase::Initialized | Phase::Started) if world.refuses => vec![Next::new("cancels it: refused", state)],
        Some(Phase::Initialized) => {
            vec![Next::new("cancels it", cancelled(state)), Next::fault("cancels it: refused or lost", state)]
        }
        Some(Phase::Started) => {
            vec![Next::new("cancels it: a started job is stopped", cancelled(state)), Next::new("cancels it: refused", state)]
        }
        _ => vec![Next::new("cancels it: it has ended", state)],
    }
}

/// What the API, its clock and the sweep do by themselves.
pub(crate) fn surroundings(rules: &Rules, world: &World, state: &State, out: &mut Vec<Next>) {
    for id in 0..state.jobs.len() as u8 {
        let Some(job) = state.job(id).copied() else { continue };
        let with = |change: Job| {
            let mut state = *state;
            state.jobs[id as usize] = Some(change);
            state
        };
        if world.starts && job.fed && job.phase == Phase::Initialized && (world.lag || job.age < DAY) {
            let started = with(Job { phase: Phase::Started, started: true, ..job });
            out.push(Next::new("API: the job starts", started).then(|s| s.started += 1));
        }
        if job.phase == Phase::Started {
            out.push(Next::new("API: the job completes", with(Job { phase: Phase::Completed, ..job })));
        }
        // What befalls a job before it is recorded might as well befall it after; one that never is concerns only the sweep.
        if job.recorded {
            ends(world, state, id, job, out);
        }
        out.extend(older(rules, world, state, id, job));
        sweep(rules, world, state, id, job, out);
    }
    let mut later = *state;
    if state.record.overdue == Noted::Lately {
        later.record.overdue = Noted::ADay;
        out.push(Next::new("clock: a day after the overdue job was first asked for", later));
    }
    if state.record.at == At::Abandoning && !state.record.began && !state.record.claimed_long {
        later = *state;
        later.record.claimed_long = true;
        out.push(Next::new("clock: an hour after the claim", later));
    }
}

/// How the API ends a job by itself.
fn ends(world: &World, state: &State, id: u8, job: Job, out: &mut Vec<Next>) {
    let mut fault = |what, phase| {
        let mut state = *state;
        state.jobs[id as usize] = Some(Job { phase, ..job });
        out.push(Next::fault(what, state));
    };
    if world.failures && matches!(job.phase, Phase::Initialized | Phase::Started) {
        fault("API: the job fails", Phase::Error);
    }
    if world.failures && job.phase == Phase::Initialized && !job.fed && job.age >= EXPIRED {
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
fn older(rules: &Rules, world: &World, state: &State, id: u8, job: Job) -> Option<Next> {
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
        OVERDUE if job.phase == Phase::Initialized && world.witness => ("API: the job is archived", DAY, Phase::Gone),
        OVERDUE if job.phase == Phase::Initialized || (job.phase == Phase::Gone && !world.witness) => {
            ("API: the job is archived (35 days)", OVERDUE, Phase::Gone)
        }
        _ => return None,
    };
    let mut next = *state;
    let floor = if age == DAY && !world.lag { job.phase } else { job.floor };
    next.jobs[id as usize] = Some(Job { age, phase, floor, ..job });
    // An invocation that lives 15 minutes may cross one step of those that are close together; one that stalls, all of them.
    let over = |since: u8| if world.stalls { age >= ORPHAN } else { since < job.age || age > ORPHAN };
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

/// `sweep`: a job that the API, perhaps lagging, lists as INITIALIZED, that is over 5 h old, and that is no part's.
fn sweep(rules: &Rules, world: &World, state: &State, id: u8, job: Job, out: &mut Vec<Next>) {
    let record = state.record;
    let waited_for = matches!(record.at, At::Created | At::Abandoning | At::Uploaded);
    let alive = waited_for || (rules.sweep_spares_lost && record.at == At::Failed && record.lost);
    let waiting = matches!(job.phase, Phase::Initialized | Phase::Started) && job.floor == Phase::Initialized;
    if waiting && job.age >= ORPHAN && !(alive && record.job == Some(id)) {
        let swept = cancel(world, *state, id).into_iter();
        out.extend(swept.map(|next| Next { what: "sweep: an orphan is cancelled, if it is not refused", ..next }));
    }
}
