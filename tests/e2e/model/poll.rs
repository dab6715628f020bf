//! The steps of a tick of poll: `open_parts`, `ask`, `decide` (the real one), `carry_out`.

use crate::decide::{Move, decide};
use crate::rules::{Expiry, Rules, World};
use crate::state::{Act, At, Job, Missing, Phase, Poll, Record, State};
use crate::steps::{Next, cancel};
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::batch_api;
use moondrop_shared::check::PlannedPart;
use moondrop_shared::drop::DropId;
use moondrop_shared::job::JobState;
use moondrop_shared::record::{Part, PartState};
use moondrop_shared::secret::SignedUrl;
use std::cell::RefCell;
use std::collections::HashMap;

/// What GET shows of a job; `None` where it leaves it out.
type View = Option<Phase>;

/// A poll that goes step by step: it reads, and later asks and writes, and later does what comes after that write.
pub(crate) fn steps(rules: &Rules, world: &World, state: &State, out: &mut Vec<Next>) {
    let with = |poll: Poll| State { poll, ..*state };
    match state.poll {
        Poll::Idle => {
            if let Some(saw) = look(state) {
                out.push(Next::new("poll: reads the record", with(saw)));
            }
        }
        Poll::Saw { was, since } => {
            out.push(Next::new("poll: its time is over", with(Poll::Idle)));
            let Some(job) = was.job else { return };
            // Asking and writing are one step: that GET may lag is all that can come in between.
            for view in views(world, state, was.job) {
                let plan = plan(rules, &was, view, since);
                let state = &shown(state, &was, view, plan);
                for (next, then) in carry_out(rules, state, plan, was.at, job) {
                    let poll = then.map_or(Poll::Idle, |plan| Poll::Will { plan, was: was.at, job, since });
                    out.push(next.then(|s| s.poll = poll));
                }
            }
        }
        Poll::Will { plan, was, job, since } => {
            out.push(Next::new("poll: its time is over", with(Poll::Idle)));
            for (next, then) in carry_out(rules, state, plan, was, job) {
                let poll = then.map_or(Poll::Idle, |plan| Poll::Will { plan, was, job, since });
                out.push(next.then(|s| s.poll = poll));
            }
        }
    }
    // A second one, whose tick is one step. While the first is idle it would only be the first, done faster.
    if world.polls_overlap && state.poll != Poll::Idle {
        at_once(rules, world, state, out);
    }
}

/// A second poll, its tick in one step.
fn at_once(rules: &Rules, world: &World, state: &State, out: &mut Vec<Next>) {
    let Some(Poll::Saw { was, since }) = look(state) else { return };
    let Some(job) = was.job else { return };
    for view in views(world, state, was.job) {
        let plan = plan(rules, &was, view, since);
        let state = &shown(state, &was, view, plan);
        for (next, then) in carry_out(rules, state, plan, was.at, job) {
            match then {
                None => out.push(Next { what: second(next.what), ..next }),
                Some(then) => {
                    for (last, _) in carry_out(rules, &next.state, then, was.at, job) {
                        let (fault, broken) = (next.fault || last.fault, next.broken.or(last.broken));
                        let via = Some(next.state.record.at);
                        out.push(Next { what: second(last.what), fault, broken, via, ..last });
                    }
                }
            }
        }
    }
}

fn second(what: &'static str) -> &'static str {
    match what {
        "poll: ABANDONING, if CREATED stands" => "second poll: ABANDONING",
        "poll: PLANNED, if ABANDONING stands" => "second poll: PLANNED",
        "poll: cancels it" => "second poll: claims it if CREATED, and cancels it",
        _ => "second poll: a tick",
    }
}

/// `open_parts`, of those `move_parts` asks after.
fn look(state: &State) -> Option<Poll> {
    let record = state.record;
    let asked = matches!(record.at, At::Created | At::Uploaded | At::Abandoning);
    let job = record.job.filter(|_| asked)?;
    // Only what `decide` reads.
    let was = Record { file: false, lease: None, ..record };
    Some(Poll::Saw { was, since: state.job(job).map_or(0, |job| job.age) })
}

/// What GET may show: the truth, or what was true earlier.
fn views(world: &World, state: &State, job: Option<u8>) -> Vec<View> {
    let Some(job) = job.and_then(|id| state.job(id)).filter(|job| job.phase != Phase::Gone) else { return vec![None] };
    let been = |phase: &Phase| match phase {
        Phase::Initialized => true,
        Phase::Started => job.started,
        other => *other == job.phase,
    };
    let all = [Phase::Initialized, Phase::Started, Phase::Completed, Phase::Error, Phase::Cancelled];
    let mut views: Vec<_> = all.into_iter().filter(|p| been(p) && *p >= job.floor).map(Some).collect();
    if world.omissions {
        views.push(None);
    }
    views
}

/// Whoever sees a job that was missing, knows of the note and leaves it standing, leaves it to grow old.
fn shown(state: &State, was: &Record, view: View, plan: Act) -> State {
    let mut state = *state;
    let kept = view.is_some() && !matches!(plan, Act::Record { .. } | Act::NoteMissing(_));
    let noted = state.record.missing == Missing::Lately && was.missing == Missing::Lately && was.job == state.record.job;
    if kept && noted {
        state.record.missing = Missing::Shown;
    }
    state
}

/// `decide` itself, and what the variants make of it.
fn plan(rules: &Rules, was: &Record, view: View, age: u8) -> Act {
    let plan = decided(was, view, age);
    let unclaimed = matches!(rules.expiry, Expiry::CancelUnclaimed | Expiry::CancelAndForget);
    match (plan, view) {
        (_, None) if !rules.hold_absent && was.at == At::Abandoning => Act::PlanAgain,
        (Act::Abandon, Some(_)) if rules.expiry == Expiry::CancelUnclaimed => Act::CancelUnclaimed,
        (Act::Abandon, Some(_)) if rules.expiry == Expiry::CancelAndForget => Act::CancelAndForget,
        (Act::Record { .. }, Some(Phase::Cancelled)) if unclaimed && was.at == At::Created => Act::PlanUnclaimed,
        _ => plan,
    }
}

fn decided(was: &Record, view: View, age: u8) -> Act {
    type Key = (At, u8, Missing, View, u8);
    thread_local!(static KNOWN: RefCell<HashMap<Key, Act>> = RefCell::default());
    let key = (was.at, was.rank, was.missing, view, age);
    KNOWN.with_borrow_mut(|known| *known.entry(key).or_insert_with(|| ask_the_code(was, view, age)))
}

fn ask_the_code(was: &Record, view: View, age: u8) -> Act {
    let at = |minutes: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
    let now = at([60, 230, 250, 280, 330][age as usize]);
    let planned = PlannedPart {
        number: 1,
        first_line: 2,
        offset: 20,
        end: 40,
        rows: 1,
        accepted: 1,
        upload_bytes: 40,
        rejected_offset: 0,
        rejected_bytes: 0,
    };
    let missing_for = match was.missing {
        Missing::No => None,
        Missing::Lately | Missing::Shown => Some(5),
        Missing::OverAnHour => Some(65),
    };
    let part = Part {
        state: was.at.state(),
        job_id: Some("job".to_owned()),
        job_rank: u32::from(was.rank),
        created_at: Some(at(0)),
        missing_since: missing_for.map(|minutes| now - SignedDuration::from_mins(minutes)),
        ..Part::planned(DropId::of("b", "k", "v"), planned)
    };
    let state = view.map(|phase| match phase {
        Phase::Initialized => JobState::Initialized,
        Phase::Started => JobState::Queued,
        Phase::Completed => JobState::Completed,
        Phase::Error => JobState::Error,
        Phase::Cancelled | Phase::Gone => JobState::Cancelled,
    });
    let url = (view == Some(Phase::Completed)).then(|| SignedUrl::new("https://example.org/results".to_owned()));
    let job = state.map(|state| batch_api::Job {
        id: "job".to_owned(),
        name: "name".to_owned(),
        state,
        created_at: None,
        error: None,
        output_file_url: url,
    });
    match decide(&part, job.as_ref(), now) {
        Move::Nothing => Act::Nothing,
        Move::Record { job, state, .. } => {
            Act::Record { rank: job.rank() as u8, to: state.map(At::of), cancelled: job == JobState::Cancelled }
        }
        Move::NoteMissing(since) => Act::NoteMissing(since.is_some()),
        Move::Lose(_) => Act::Lose,
        Move::Abandon => Act::Abandon,
        Move::Cancel => Act::Cancel,
        Move::PlanAgain => Act::PlanAgain,
    }
}

/// `carry_out`: the conditional write, and what the same tick does next.
fn carry_out(rules: &Rules, state: &State, plan: Act, was: At, job: u8) -> Vec<(Next, Option<Act>)> {
    let one = |what, state| vec![(Next::new(what, state), None)];
    let mut next = *state;
    let record = &mut next.record;
    let own = record.job == Some(job);
    match plan {
        Act::Nothing => Vec::new(),
        // `Ledger::record_job_state`
        Act::Record { rank, to, cancelled } => {
            let mut broken = None;
            if own && record.rank < rank && (!rules.guarded || record.at == was) {
                let over = matches!(record.at, At::Completed | At::Failed | At::Collected);
                (record.rank, record.missing, record.at) = (rank, Missing::No, to.unwrap_or(record.at));
                // No one cancels but Moondrop.
                let unfed = state.job(job).is_none_or(|job: &Job| !job.started);
                broken = (cancelled && record.at == At::Failed && !over && unfed).then_some("a part failed by our own cancel");
            }
            let what = match (cancelled, to) {
                (true, _) => "poll: GET shows CANCELLED, and it records that",
                (_, Some(At::Uploaded)) => "poll: GET shows the job started, and it records UPLOADED",
                (_, Some(_)) => "poll: GET shows the job ended, and it records that",
                _ => "poll: GET shows the job further along, and it records that",
            };
            vec![(Next { broken, ..Next::new(what, next) }, None)]
        }
        // `Ledger::note_missing`
        Act::NoteMissing(missing) => {
            if own && record.at.state() != PartState::Collected {
                record.missing = if missing { Missing::Lately } else { Missing::No };
            }
            one("poll: notes whether the job is missing", next)
        }
        // `Ledger::lose`
        Act::Lose => {
            if own && record.at == At::Uploaded {
                record.at = At::Failed;
            }
            one("poll: FAILED, the job is lost", next)
        }
        // `Ledger::abandon`, then `cancel`
        Act::Abandon => {
            let claimed = own && record.at == At::Created;
            if claimed {
                (record.at, record.missing) = (At::Abandoning, Missing::No);
            }
            vec![(Next::new("poll: ABANDONING, if CREATED stands", next), claimed.then_some(Act::Cancel))]
        }
        Act::Cancel | Act::CancelUnclaimed => cancelling(*state, job).into_iter().map(|next| (next, None)).collect(),
        Act::CancelAndForget => cancelling(*state, job).into_iter().map(|next| (next, Some(Act::PlanUnclaimed))).collect(),
        // `Ledger::plan_again`
        Act::PlanAgain | Act::PlanUnclaimed => {
            let from = if plan == Act::PlanAgain { At::Abandoning } else { At::Created };
            if own && record.at == from {
                (record.at, record.job, record.rank, record.missing) = (At::Planned, None, 0, Missing::No);
            }
            one("poll: PLANNED, if ABANDONING stands", next)
        }
    }
}

fn cancelling(state: State, job: u8) -> Vec<Next> {
    let mut outcomes = cancel(state, job);
    for next in &mut outcomes {
        next.what = if next.fault { "poll: cancels it: refused or lost" } else { "poll: cancels it" };
    }
    outcomes
}
