//! The steps of a tick of poll: `open_parts`, `ask`, `decide` (the real one), and the write that
//! follows.

use crate::decided::{Seen, View, plan};
use crate::next::Next;
use crate::rules::{Omits, Scenario, World};
use crate::state::{
    Act, ENDED, Job, Noted, ORPHAN, PartState, Phase, Poll, Record, Repeat, STARTED, State,
};
use crate::surroundings::cancel;

/// A poll that goes step by step: it reads, and later asks and writes, and later does what comes
/// after that write.
pub(crate) fn steps(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    let world = &scenario.world;
    let with = |poll: Poll| State { poll, ..*state };
    match state.poll {
        Poll::Idle => {
            if let Some((was, since)) = read(world, state) {
                out.push(Next::new("poll: reads the record", with(Poll::Saw { was, since })));
            }
        }
        Poll::Saw { was, since } => {
            out.push(Next::new("poll: its time is over", with(Poll::Idle)));
            // Asking and writing are one step: that GET may lag is all that can come in between.
            for (next, then) in ask_and_write(scenario, state, &was, since) {
                let poll = then.map_or(Poll::Idle, |plan| Poll::Will { plan, was, since });
                out.push(next.then(|s| s.poll = poll));
            }
        }
        Poll::Will { plan, was, since } => {
            out.push(Next::new("poll: its time is over", with(Poll::Idle)));
            for (next, then) in apply(scenario, state, plan, &was) {
                let poll = then.map_or(Poll::Idle, |plan| Poll::Will { plan, was, since });
                out.push(next.then(|s| s.poll = poll));
            }
        }
    }
    // A second one, whose tick is one step. While the first is idle it would only be the first,
    // done faster.
    if world.polls_overlap && state.poll != Poll::Idle {
        at_once(scenario, state, out);
    }
}

/// A second poll, its tick in one step.
fn at_once(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    let Some((was, since)) = read(&scenario.world, state) else { return };
    for (next, then) in ask_and_write(scenario, state, &was, since) {
        let Some(then) = then else {
            out.push(Next { what: second(next.what), ..next });
            continue;
        };
        for (last, _) in apply(scenario, &next.state, then, &was) {
            let (fault, broken) = (next.fault || last.fault, next.broken.or(last.broken));
            let via = Some(next.state.record.at);
            out.push(Next { what: second(last.what), fault, broken, via, ..last });
        }
    }
}

fn second(what: &'static str) -> &'static str {
    match what {
        "poll: ABANDONING, if the part stands as it was read" => "second poll: ABANDONING",
        "poll: PLANNED, if ABANDONING stands" => "second poll: PLANNED",
        "poll: cancels it" => "second poll: claims it if it may, and cancels it",
        _ => "second poll: a tick",
    }
}

/// `open_parts`, of those `move_parts` asks for.
fn read(world: &World, state: &State) -> Option<(Record, u8)> {
    let record = state.record;
    let asked = match record.at {
        PartState::Created | PartState::Uploaded | PartState::Abandoning => true,
        // After an hour; there is something to be decided only if its job can still change.
        PartState::Completed => world.lost_jobs || world.bad_results || world.omits == Omits::Day,
        _ => false,
    };
    let asked = asked || (record.at == PartState::Completed && record.cancelled_long);
    let job = record.job.filter(|_| asked)?;
    Some((record.seen(), state.job(job).map_or(0, |job| job.age)))
}

fn ask_and_write(
    scenario: &Scenario,
    state: &State,
    was: &Record,
    since: u8,
) -> Vec<(Next, Option<Act>)> {
    let job = was.job.and_then(|job| state.job(job));
    let exists = job.is_some_and(|job| job.phase != Phase::Gone);
    let mut views = views(&scenario.world, job);
    if was.cancelled_long && !views.contains(&View::Nothing) {
        // Without any answer, a cancelled part ends as well.
        views.push(View::Nothing);
    }
    let mut all = Vec::new();
    for view in views {
        let left_out = exists && !matches!(view, View::Reported(_));
        for cancel_sent in [false, true].into_iter().take(1 + usize::from(was.cancelled)) {
            let plan = plan(scenario, was, Seen { view, age: since, cancel_sent });
            all.extend(apply(scenario, state, plan, was).into_iter().map(|(mut next, then)| {
                next.fault |= left_out;
                (next, then)
            }));
        }
    }
    all
}

/// What GET may say: what is true, or was true earlier; or nothing of the job.
fn views(world: &World, job: Option<&Job>) -> Vec<View> {
    let left_out = if world.witness { View::Absent } else { View::Nothing };
    let Some(job) = job.filter(|job| job.phase != Phase::Gone) else { return vec![left_out] };
    let been = |phase: &Phase| match phase {
        Phase::Initialized => true,
        Phase::Started => job.started,
        other => *other == job.phase,
    };
    let all =
        [Phase::Initialized, Phase::Started, Phase::Completed, Phase::Error, Phase::Cancelled];
    let mut views: Vec<_> =
        all.into_iter().filter(|p| been(p) && *p >= job.floor).map(View::Reported).collect();
    if world.omits != Omits::Nothing {
        views.push(left_out);
    }
    views
}

/// The conditional write, and what the same tick does next.
fn apply(scenario: &Scenario, state: &State, plan: Act, was: &Record) -> Vec<(Next, Option<Act>)> {
    let Scenario { rules, world } = scenario;
    let Some(job) = was.job else { return Vec::new() };
    let one = |what, state| vec![(Next::new(what, state), None)];
    let truth = state.job(job).copied();
    let mut next = *state;
    let record = &mut next.record;
    // Every write is made under `job_id = :j AND state = :was`.
    let own = record.job == Some(job);
    let unmoved = own && record.at == was.at;
    match plan {
        Act::Nothing => Vec::new(),
        // `Ledger::record_job_state`
        Act::Record { rank, to, cancelled } => {
            let mut broken = None;
            if own && record.rank < rank && (unmoved || !rules.guarded) {
                let over = matches!(
                    record.at,
                    PartState::Completed | PartState::Failed | PartState::Collected
                );
                (record.rank, record.at) = (rank, to.unwrap_or(record.at));
                (record.absent, record.overdue) = (Noted::No, Noted::No);
                // That a cancel stops a job which has started after all, only the lag's limit
                // excludes.
                let by_us = truth.is_some_and(|job| job.by_us && (!job.started || world.in_time));
                let asked_for = record.cancelled;
                broken =
                    (cancelled && record.at == PartState::Failed && !over && by_us && !asked_for)
                        .then_some("a part failed by our own cancel");
            }
            let what = match (cancelled, to) {
                (true, _) => "poll: GET reports CANCELLED, and it records that",
                (_, Some(PartState::Uploaded)) => {
                    "poll: GET reports the job started, and it records UPLOADED"
                }
                (_, Some(_)) => "poll: GET reports the job ended, and it records that",
                _ => "poll: GET reports the job further along, and it records that",
            };
            vec![(Next { broken, ..Next::new(what, next) }, None)]
        }
        // `Ledger::note_absent`, which adds the time since the last one
        Act::NoteAbsent => {
            let long = truth.is_none_or(|job| {
                job.age >= ORPHAN && (world.omits == Omits::Day || job.phase == Phase::Gone)
            });
            if unmoved && record.absent == was.absent {
                record.absent =
                    if record.absent == Noted::No || !long { Noted::Lately } else { Noted::ADay };
            }
            one("poll: GET leaves the job out, and it notes for how long", next)
        }
        // `Ledger::note_reported`
        Act::NoteReported => {
            if unmoved {
                (record.absent, record.overdue) = (Noted::No, Noted::No);
            }
            one("poll: notes that the job is reported again", next)
        }
        // `Ledger::note_overdue`
        Act::NoteOverdue => {
            if unmoved && record.overdue == Noted::No {
                record.overdue = Noted::Lately;
            }
            one("poll: notes that the job is overdue", next)
        }
        // `Ledger::lose`
        Act::Lose => {
            let mut broken = None;
            let still =
                (record.absent, record.overdue) == (was.absent, was.overdue) || !rules.lose_unseen;
            if unmoved && still && !(record.held && rules.respect_held) {
                let seen = (record.absent, record.overdue) == (Noted::No, Noted::No);
                broken = seen.then_some("a part is lost whose job is reported again");
                (record.at, record.lost) = (PartState::Failed, true);
            }
            vec![(Next { broken, ..Next::new("poll: FAILED, the job is lost", next) }, None)]
        }
        // `Ledger::fail`
        Act::Fail => {
            if unmoved && !(record.held && rules.respect_held) {
                (record.at, record.rank) = (PartState::Failed, record.rank.max(ENDED));
            }
            one("poll: FAILED, the completed job has ended otherwise", next)
        }
        // `Ledger::abandon`, then `cancel`
        Act::Abandon { ended } => {
            let free = if was.began {
                record.rank < STARTED
            } else {
                !record.began || !rules.claim_checks_mark
            };
            let claimed = unmoved && free;
            if claimed {
                (record.at, record.claimed, record.absent) =
                    (PartState::Abandoning, true, Noted::No);
                record.ended_unsent += u8::from(ended);
            }
            vec![(
                Next::new("poll: ABANDONING, if the part stands as it was read", next),
                claimed.then_some(Act::Cancel),
            )]
        }
        Act::Cancel | Act::CancelUnclaimed => {
            let again = (plan == Act::Cancel && !rules.await_cancelled).then_some(Act::PlanAgain);
            cancelling(world, *state, job).into_iter().map(|next| (next, again)).collect()
        }
        Act::CancelAndForget => cancelling(world, *state, job)
            .into_iter()
            .map(|next| (next, Some(Act::PlanUnclaimed)))
            .collect(),
        // `Ledger::plan_again`
        Act::PlanAgain | Act::PlanUnclaimed => {
            let from =
                if plan == Act::PlanAgain { PartState::Abandoning } else { PartState::Created };
            let heeds = !record.cancelled || !rules.heed_cancel;
            if own && record.at == from && heeds {
                let replans = record.replans + u8::from(record.began && rules.replan_once);
                *record = Record { at: PartState::Planned, replans, ..record.without_job() };
            }
            one("poll: PLANNED, if ABANDONING stands", next)
        }
        // `Ledger::fail_cancelled`
        Act::FailCancelled => {
            let unsent = !was.is_unsent() || record.is_unsent();
            if unmoved && unsent && !(record.held && rules.respect_held) {
                record.at = PartState::Failed;
            }
            one("poll: FAILED, the part was cancelled", next)
        }
        // `Ledger::note_repeat_due`
        Act::Repeat => {
            if unmoved && record.repeat == Repeat::No {
                record.repeat = Repeat::Due;
            }
            one("poll: the upload is to be repeated", next)
        }
    }
}

fn cancelling(world: &World, state: State, job: u8) -> Vec<Next> {
    let mut outcomes = cancel(world, state, job);
    for next in &mut outcomes {
        next.what =
            if next.fault { "poll: cancels it: refused or lost" } else { "poll: cancels it" };
    }
    outcomes
}
