//! One step out of a state, as every actor's steps are given.

use crate::state::{At, Job, Missing, Phase, State};

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

/// What `BatchApi::cancel` may come to. A job that has not started is cancelled, or the call is refused or lost; one that has
/// may be stopped or not.
pub(crate) fn cancel(state: State, id: u8) -> Vec<Next> {
    let cancelled = |mut state: State| {
        if let Some(job) = &mut state.jobs[id as usize] {
            (job.phase, job.floor) = (Phase::Cancelled, job.floor.min(Phase::Completed));
        }
        state
    };
    match state.job(id).map(|job| job.phase) {
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
pub(crate) fn surroundings(world: &crate::rules::World, state: &State, out: &mut Vec<Next>) {
    for id in 0..state.jobs.len() as u8 {
        let Some(job) = state.job(id).copied() else { continue };
        let with = |change: Job| {
            let mut state = *state;
            state.jobs[id as usize] = Some(change);
            state
        };
        if job.fed && job.phase == Phase::Initialized {
            let mut started = with(Job { phase: Phase::Started, started: true, ..job });
            started.started += u8::from(world.bounded);
            out.push(Next::new("API: the job starts", started));
        }
        if job.phase == Phase::Started {
            out.push(Next::new("API: the job completes", with(Job { phase: Phase::Completed, ..job })));
            if world.failures {
                out.push(Next::fault("API: the job fails", with(Job { phase: Phase::Error, ..job })));
            }
        }
        if job.phase == Phase::Cancelled {
            out.push(Next::new("API: the cancelled job is archived", with(Job { phase: Phase::Gone, ..job })));
        }
        if world.lost_jobs && job.is_live() {
            // What it had evaluated is gone with it: another may begin again.
            let lost = with(Job { phase: Phase::Gone, ..job });
            out.push(Next::fault("API: the job is lost", lost).then(|s| s.started -= s.started.min(u8::from(job.started))));
        }
        if job.age < crate::state::ORPHAN {
            out.extend(older(world, state, id, job));
        }
        sweep(state, id, job, out);
    }
    // GET never leaves out a job that exists for an hour on end; but a note that was left standing grows old all the same.
    let gone = state.record.job.is_some_and(|id| state.job(id).is_none_or(|job| job.phase == Phase::Gone));
    if state.record.missing == Missing::Shown || (gone && state.record.missing == Missing::Lately) {
        out.push(
            Next::new("clock: the note of the missing job is an hour old", *state)
                .then(|s| s.record.missing = Missing::OverAnHour),
        );
    }
}

/// The job's next age. Invocations that took it up more than a step ago are over by then.
fn older(world: &crate::rules::World, state: &State, id: u8, job: Job) -> Option<Next> {
    use crate::state::{GIVEN_UP, ORPHAN, Poll, Worker};
    let waits = job.fed && job.phase == Phase::Initialized;
    if world.bounded && waits && job.age + 1 == GIVEN_UP {
        return None;
    }
    let what = match job.age {
        0 => "clock: the job is 3 h 45 old",
        1 => "clock: the job's address has run out (4 h)",
        2 => "clock: the job is 4 h 30 old",
        _ => "clock: the job is 5 h old",
    };
    let mut next = *state;
    let floor = if world.bounded && job.age + 1 == GIVEN_UP { job.phase } else { job.floor };
    next.jobs[id as usize] = Some(Job { age: job.age + 1, floor, ..job });
    // Within `bounded` one step may be crossed; without, all but the last.
    let over = |since: u8| if world.bounded { since < job.age } else { job.age + 1 == ORPHAN };
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

/// `heal::sweep`: a job that the API, perhaps lagging, lists as INITIALIZED, that is over 5 h old, and not `is_ours`.
fn sweep(state: &State, id: u8, job: Job, out: &mut Vec<Next>) {
    use crate::state::ORPHAN;
    let alive = matches!(state.record.at, At::Created | At::Abandoning | At::Uploaded);
    let waiting = matches!(job.phase, Phase::Initialized | Phase::Started) && job.floor == Phase::Initialized;
    if waiting && job.age == ORPHAN && !(alive && state.record.job == Some(id)) {
        let swept = cancel(*state, id).into_iter();
        out.extend(swept.map(|next| Next { what: "sweep: an orphan is cancelled, if it is not refused", ..next }));
    }
}
