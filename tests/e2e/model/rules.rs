//! What is checked: the protocol, the worlds it is checked in, and what must hold.

use crate::state::{At, Feeding, Phase, State};
use crate::steps::Next;

/// What is done when a job's address has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// CREATED → ABANDONING, cancel, and PLANNED once it is cancelled or gone.
    Claim,
    /// Unsafe: whoever finds the address old plans the part again.
    NewJob,
    /// Unsafe: cancel while CREATED stands, and plan again once it is cancelled.
    CancelUnclaimed,
    /// Unsafe: cancel, and plan again whatever came of it.
    CancelAndForget,
}

/// The protocol, and each rule that can be left out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A job is recorded before anything is uploaded to it; otherwise after.
    pub(crate) record_first: bool,
    /// A job is recorded under `state = PLANNED AND attribute_not_exists(job_id)`; otherwise by who holds a lease that can
    /// expire.
    pub(crate) conditional: bool,
    pub(crate) expiry: Expiry,
    /// A state from poll is recorded only over the state that poll decided by.
    pub(crate) guarded: bool,
    /// A failed condition is not believed before the record was read again: the client's own retry fails the condition of a
    /// write that took effect and whose answer was lost.
    pub(crate) look_after_failure: bool,
    /// A claimed job that GET leaves out counts as gone only after an hour; otherwise at once.
    pub(crate) hold_absent: bool,
}

impl Rules {
    /// All rules.
    pub(crate) const ALL: Rules = Rules {
        record_first: true,
        conditional: true,
        expiry: Expiry::Claim,
        guarded: true,
        look_after_failure: true,
        hold_absent: true,
    };
}

/// What may happen besides crashes, lost creates, refused and lost cancels, expiry and lag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// An invocation lives 15 minutes, less than an age step; and a job with rows has started, and GET shows it, half an hour
    /// after its address ran out. Otherwise an invocation may stall, and its upload be under way, for an hour, and GET lags
    /// without limit.
    pub(crate) bounded: bool,
    /// A second poll runs beside the first.
    pub(crate) polls_overlap: bool,
    /// An answer to GET leaves out a job that exists; but not every answer of an hour does.
    pub(crate) omissions: bool,
    /// The answer to a conditional write is lost, and the AWS client sends it again.
    pub(crate) lost_writes: bool,
    /// The API refuses to make a job, or a job fails, or the source is gone.
    pub(crate) failures: bool,
    /// The API forgets a job for good.
    pub(crate) lost_jobs: bool,
}

impl World {
    /// Crashes, lost creates, refused and lost cancels, expiry and lag.
    pub(crate) const PLAIN: World =
        World { bounded: true, polls_overlap: false, omissions: false, lost_writes: false, failures: false, lost_jobs: false };
    /// And lost answers of writes, failures and lost jobs.
    pub(crate) const FAILING: World = World { lost_writes: true, failures: true, lost_jobs: true, ..World::PLAIN };
    /// Two polls at once, and everything of those but lost jobs, which would make the search too long.
    pub(crate) const OVERLAPPING: World = World { polls_overlap: true, lost_jobs: false, ..World::FAILING };
}

/// What the step from one state to another breaks, if anything.
pub(crate) fn broken(rules: &Rules, world: &World, old: &State, step: &Next) -> Option<&'static str> {
    let fed = |state: &State| state.jobs.iter().flatten().filter(|job| job.fed && job.is_live()).count();
    let new = &step.state;
    let (was, at) = (old.record.at, new.record.at);
    if new.jobs.iter().flatten().any(|job| job.fed && !job.recorded) {
        return Some("a job that is not recorded received rows");
    }
    if fed(new) > 1 {
        return Some("two live jobs have the part's rows");
    }
    // A cancel that hits a started job is excluded by time alone: see `World::bounded`.
    if world.bounded && new.started > 1 {
        return Some("the rows were evaluated by two jobs");
    }
    // The variants have arrows of their own.
    let drawn = rules.conditional && rules.expiry == Expiry::Claim;
    let arrow = |was: At, at: At| was == at || was.may_become(at);
    if drawn && !step.via.map_or(arrow(was, at), |via| arrow(was, via) && arrow(via, at)) {
        return Some("the part's state moved backward");
    }
    if at == At::Collected && !new.record.file {
        return Some("the part is collected, and its rows are deleted");
    }
    None
}

/// Whether the part's story is over: it is collected, and no job is left waiting for rows.
pub(crate) fn is_over(state: &State) -> bool {
    let waits = state.jobs.iter().flatten().any(|job| job.phase == Phase::Initialized);
    let unrecorded = state.workers.iter().any(|w| matches!(w.step, Feeding::Made | Feeding::Loser));
    state.record.at == At::Collected && !waits && !unrecorded
}
