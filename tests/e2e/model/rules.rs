//! What is checked: the protocol, the worlds it is checked in, and what must hold.

use crate::next::Next;
use crate::record::may_become;
use crate::state::{PartState, Phase, State, Submit};

/// What is done when a job's URL has run out and nothing was uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// CREATED → ABANDONING, cancel, and PLANNED.
    Claim,
    /// Unsafe: whoever finds the URL old plans the part again.
    NewJob,
    /// Unsafe: cancel while CREATED stands, and plan again once it is cancelled.
    CancelUnclaimed,
    /// Unsafe: cancel, and plan again whatever came of it.
    CancelAndForget,
}

/// What is recorded before an upload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// `upload_began_at`, under a condition, and without it nothing is sent.
    Conditional,
    /// Unsafe: the same, but the upload begins whatever became of the write.
    Unheeded,
    /// Unsafe: nothing.
    None,
}

/// The protocol, and each rule that can be left out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A job is recorded before anything is uploaded to it; otherwise after.
    pub(crate) record_first: bool,
    /// A job is recorded under `state = PLANNED AND attribute_not_exists(job_id)`; otherwise by who
    /// holds a lease that can expire.
    pub(crate) conditional: bool,
    pub(crate) expiry: Expiry,
    pub(crate) mark: Mark,
    /// A part with nothing sent is claimed only if no upload has begun since it was read.
    pub(crate) claim_checks_mark: bool,
    /// A part whose source is gone is failed only by the one attempt that began an upload;
    /// otherwise by any.
    pub(crate) fail_alone: bool,
    /// A state from poll is recorded only over the state that poll decided by.
    pub(crate) guarded: bool,
    /// A refused condition is compared with the old item: the client's own retry fails the
    /// condition of a write that took effect and whose answer was lost.
    pub(crate) know_writer: bool,
    /// A claimed job that may have rows and that GET leaves out is waited for; otherwise the part
    /// is planned again.
    pub(crate) hold_absent: bool,
    /// And it is planned again only when GET reports CANCELLED; otherwise whatever the cancel came
    /// to.
    pub(crate) await_cancelled: bool,
    /// The day that a job is given to start counts from when its URL has run out; otherwise from
    /// the first upload's beginning.
    pub(crate) whole_day: bool,
    /// A part is planned again once after an upload began; otherwise as often as its jobs do not
    /// start.
    pub(crate) replan_once: bool,
    /// An upload is repeated once, under the condition of its mark.
    pub(crate) repeat_once: bool,
    /// A part is lost only if what was noted of the absence is what poll decided by.
    pub(crate) lose_unseen: bool,
    /// FAILED(lost) goes back under `state = FAILED AND failure.lost`; otherwise without.
    pub(crate) restore_checked: bool,
    /// A lost part that had been claimed goes back to ABANDONING; otherwise to UPLOADED.
    pub(crate) restore_claim: bool,
    /// The sweep leaves the job of a lost part alone until the part is collected.
    pub(crate) sweep_spares_lost: bool,
    /// A part whose results are kept is neither lost nor failed.
    pub(crate) respect_held: bool,
    /// A cancelled part gets no job, no upload and no other plan: it has a mark of its own, which is
    /// in the conditions of those writes.
    pub(crate) heed_cancel: bool,
    /// A cancelled part fails at once only if no upload has begun since it was read.
    pub(crate) cancel_checks_mark: bool,
}

impl Rules {
    /// All rules.
    pub(crate) const ALL: Rules = Rules {
        record_first: true,
        conditional: true,
        expiry: Expiry::Claim,
        mark: Mark::Conditional,
        claim_checks_mark: true,
        fail_alone: true,
        guarded: true,
        know_writer: true,
        hold_absent: true,
        await_cancelled: true,
        whole_day: true,
        replan_once: true,
        repeat_once: true,
        lose_unseen: true,
        restore_checked: true,
        restore_claim: true,
        sweep_spares_lost: true,
        respect_held: true,
        heed_cancel: true,
        cancel_checks_mark: true,
    };
}

/// Which jobs GET may leave out although they exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Omits {
    Nothing,
    /// Any, but not for so long that it counts as lost.
    Short,
    /// Any, and for a day on end.
    Day,
}

/// What may happen besides crashes, lost creates, refused and lost cancels, expiry, lag and jobs
/// that never start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// An invocation may stall, and its upload be under way, for an hour; otherwise it lives 15
    /// minutes, less than a step.
    pub(crate) stalls: bool,
    /// A job with rows may start, and GET report it, after any time; otherwise, within a day of its
    /// last upload or never.
    pub(crate) lag: bool,
    /// Jobs start when they have rows. Otherwise they never do: the API waits for something else.
    pub(crate) starts: bool,
    /// The API never cancels a job.
    pub(crate) refuses: bool,
    /// A second poll runs beside the first.
    pub(crate) polls_overlap: bool,
    pub(crate) omits: Omits,
    /// Other jobs of ours are reported in the tick, so that an answer which leaves a job out
    /// counts.
    pub(crate) witness: bool,
    /// Other jobs start, so that the upload to one that does not is repeated.
    pub(crate) repeats: bool,
    /// The answer to a conditional write is lost, and the AWS client sends it again.
    pub(crate) lost_writes: bool,
    /// The API refuses to make a job, ends one by itself, or the source is gone.
    pub(crate) failures: bool,
    /// The API forgets a job for good.
    pub(crate) lost_jobs: bool,
    /// The user cancels the drop, at any time.
    pub(crate) cancels: bool,
    /// A job's results cannot be used, and are kept; or the API takes them back.
    pub(crate) bad_results: bool,
    /// It counts as broken what a cancel does that stops a started job: the rows are evaluated by
    /// two jobs, or the part fails. Otherwise only if three evaluate them.
    pub(crate) in_time: bool,
}

impl World {
    /// Crashes, lost creates, refused and lost cancels, expiry, lag, and jobs that never start.
    pub(crate) const PLAIN: World = World {
        stalls: false,
        lag: false,
        starts: true,
        refuses: false,
        polls_overlap: false,
        omits: Omits::Nothing,
        witness: true,
        repeats: false,
        lost_writes: false,
        failures: false,
        lost_jobs: false,
        cancels: false,
        bad_results: false,
        in_time: true,
    };
    /// And lost answers of writes, failures and lost jobs.
    pub(crate) const FAILING: World =
        World { lost_writes: true, failures: true, lost_jobs: true, ..World::PLAIN };
    /// And no clock and no GET to be trusted.
    pub(crate) const TIMELESS: World =
        World { stalls: true, lag: true, in_time: false, ..World::PLAIN };
}

/// What is searched: a protocol in a world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    pub(crate) world: World,
}

/// The one thing that may be broken where GET lags without limit.
pub(crate) const EVALUATED_TWICE: &str = "the rows were evaluated by two jobs";

/// What the step from one state to another breaks, if anything.
pub(crate) fn broken(scenario: &Scenario, old: &State, step: &Next) -> Option<&'static str> {
    let (Scenario { rules, world }, new) = (scenario, &step.state);
    let (was, at) = (old.record.at, new.record.at);
    if new.jobs.iter().flatten().any(|job| job.has_rows && !job.recorded) {
        return Some("a job that is not recorded received rows");
    }
    if new.jobs.iter().flatten().filter(|job| job.has_rows && job.is_live()).count() > 1 {
        return Some("two live jobs have the part's rows");
    }
    if new.started > 2 {
        return Some("the rows were evaluated by three jobs");
    }
    if world.in_time && new.started > 1 {
        return Some(EVALUATED_TWICE);
    }
    if new.jobs.iter().flatten().any(|job| job.repeats > 1) {
        return Some("an upload was repeated twice");
    }
    if old.record.cancelled && matches!(was, PartState::Abandoning) && at == PartState::Planned {
        return Some("a cancelled part was planned again");
    }
    if old.record.cancelled && (was, at) == (PartState::Planned, PartState::Created) {
        return Some("a cancelled part got a job");
    }
    // The variants have arrows of their own.
    let drawn = rules.conditional && rules.expiry == Expiry::Claim;
    let arrow = |was: PartState, at: PartState, lost: bool| was == at || may_become(was, at, lost);
    let drawn_so = match step.via {
        None => arrow(was, at, old.record.lost),
        Some(via) => arrow(was, via, old.record.lost) && arrow(via, at, false),
    };
    if drawn && !drawn_so {
        return Some("the part's state moved backward");
    }
    if old.record.held && at == PartState::Failed {
        return Some("a part failed whose results are kept");
    }
    if at == PartState::Collected && !new.record.file {
        return Some("the part is collected, and its rows are deleted");
    }
    None
}

/// Whether the part's story is over: it is collected, and no job is left waiting for rows.
pub(crate) fn is_over(state: &State) -> bool {
    let waits = state.jobs.iter().flatten().any(|job| job.phase == Phase::Initialized);
    let unrecorded =
        state.workers.iter().any(|w| matches!(w.step, Submit::Created | Submit::NotRecorded));
    state.record.at == PartState::Collected && !waits && !unrecorded
}
