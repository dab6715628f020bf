//! What poll decides of a record and an answer: asked of its own code,
//! [`moondrop_shared::part::decide`].

use crate::rules::{Expiry, Scenario, World};
use crate::state::{Act, Noted, PartState, Phase, RANKS, Record, Repeat};
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::job::{Job, JobState, SignedUrl};
use moondrop_shared::part::PartRecord;
use moondrop_shared::part::decide::{Action, JobAnswer, JobChange, When, decide};
use moondrop_shared::plan::PlannedPart;
use moondrop_shared::source::DropId;
use std::cell::RefCell;
use std::collections::HashMap;

/// What GET says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Reported(Phase),
    /// An answer that counts leaves it out.
    Absent,
    /// An answer that does not count: `{}`, or none.
    Nothing,
}

/// What poll knows of a part's job when it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) view: View,
    /// The job's age.
    pub(crate) age: u8,
    /// Within the hour, the API was asked to cancel the job of a cancelled part.
    pub(crate) cancel_sent: bool,
}

/// `decide` itself, and what the variants make of it.
pub(crate) fn plan(scenario: &Scenario, was: &Record, seen: Seen) -> Act {
    let Scenario { rules, world } = scenario;
    let view = seen.view;
    // A replan that is not counted.
    let known = if rules.replan_once { *was } else { Record { replans: 0, ..*was } };
    let plan = decided(world, &known, seen);
    let unclaimed = matches!(rules.expiry, Expiry::CancelUnclaimed | Expiry::CancelAndForget);
    match (plan, view) {
        (_, View::Absent) if !rules.hold_absent && was.at == PartState::Abandoning => {
            Act::PlanAgain
        }
        (Act::Abandon { ended: false }, _) if rules.expiry == Expiry::CancelUnclaimed => {
            Act::CancelUnclaimed
        }
        (Act::Abandon { ended: false }, _) if rules.expiry == Expiry::CancelAndForget => {
            Act::CancelAndForget
        }
        (_, View::Reported(Phase::Cancelled)) if unclaimed && was.at == PartState::Created => {
            Act::PlanUnclaimed
        }
        _ => plan,
    }
}

fn decided(world: &World, was: &Record, seen: Seen) -> Act {
    type Key = (bool, Record, Seen);
    thread_local!(static KNOWN: RefCell<HashMap<Key, Act>> = RefCell::default());
    let key = (world.repeats, Record { job: None, ..*was }, seen);
    KNOWN.with_borrow_mut(|known| {
        *known.entry(key).or_insert_with(|| ask_the_code(world, was, seen))
    })
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

/// The record, its job created at 0.
fn part(was: &Record, now: Timestamp) -> PartRecord {
    let planned = PlannedPart {
        number: 1,
        first_line: 2,
        first_row: Some(1),
        offset: 20,
        end: 40,
        rows: 1,
        accepted: 1,
        upload_bytes: 40,
        rejected_offset: 0,
        rejected_bytes: 0,
    };
    let ago = |minutes: i64| Some(now - SignedDuration::from_mins(minutes));
    let (absent_at, absent_seconds) = match was.absent {
        Noted::No => (None, 0),
        Noted::Lately => (ago(5), 0),
        Noted::ADay => (ago(5), 24 * 3600 - 60),
    };
    PartRecord {
        state: was.at,
        job_id: Some("job".to_owned()),
        job_rank: RANKS[was.rank as usize],
        created_at: Some(at(0)),
        upload_url: Some(SignedUrl::new("https://example.org/upload".to_owned())),
        upload_began_at: was.began.then(|| at(1)),
        repeat_due_at: (was.repeat != Repeat::No).then(|| at(200)),
        repeat_began_at: (was.repeat == Repeat::Began).then(|| at(205)),
        abandoned_at: if was.claimed_long {
            ago(61)
        } else {
            ago(1).filter(|_| was.at == PartState::Abandoning)
        },
        cancelled_at: match (was.cancelled, was.cancelled_long) {
            (_, true) => ago(24 * 60 + 1),
            (cancelled, false) => ago(10).filter(|_| cancelled),
        },
        replans: u32::from(was.replans),
        ended_unsent: u32::from(was.ended_unsent),
        absent_at,
        absent_seconds,
        overdue_at: match was.overdue {
            Noted::No => None,
            Noted::Lately => ago(60),
            Noted::ADay => ago(24 * 60),
        },
        ..PartRecord::planned(DropId::of("b", "k", "v"), planned)
    }
}

fn ask_the_code(world: &World, was: &Record, seen: Seen) -> Act {
    let Seen { view, age, cancel_sent } = seen;
    // A day after the first upload began: where that is what counts, it counts as the whole day.
    let now = at([210, 230, 250, 280, 330, 28 * 60 + 1, 28 * 60 + 1, 40 * 24 * 60][age as usize]);
    let job = |phase: Phase| Job {
        id: "job".to_owned(),
        name: "name".to_owned(),
        state: match phase {
            Phase::Initialized => JobState::Initialized,
            Phase::Started => JobState::Queued,
            Phase::Completed => JobState::Completed,
            Phase::Error => JobState::Error,
            Phase::Cancelled | Phase::Gone => JobState::Cancelled,
        },
        created_at: None,
        policy_id: String::new(),
        policy_version_id: String::new(),
        updated_at: None,
        error: None,
        output_file_url: (phase == Phase::Completed)
            .then(|| SignedUrl::new("https://example.org/results".to_owned())),
    };
    let answer = match view {
        View::Reported(phase) => JobAnswer::Job(Box::new(job(phase))),
        View::Absent => JobAnswer::Absent,
        View::Nothing => JobAnswer::Nothing,
    };
    let (poll_every, lost_after) = (SignedDuration::from_mins(5), SignedDuration::from_hours(24));
    let when = When { now, poll_every, lost_after, started_at: world.repeats.then_some(now) };
    let mut part = part(was, now);
    part.cancel_sent_at = cancel_sent.then_some(now);
    let mut decided = decide(&part, &answer, &when);
    // What is only reported to people: it is recorded once, and what follows is decided in the next
    // tick.
    if let Action::NoteNotStarted(not_started) = decided {
        part.not_started = Some(not_started);
        decided = decide(&part, &answer, &when);
    }
    match decided {
        Action::Nothing | Action::NoteState(_) | Action::NoteNotStarted(_) => Act::Nothing,
        Action::Record(JobChange { job, state, .. }) => Act::Record {
            rank: RANKS.iter().position(|rank| *rank == job.rank()).unwrap_or(0) as u8,
            to: state,
            cancelled: job == JobState::Cancelled,
        },
        Action::NoteAbsent(_) => Act::NoteAbsent,
        Action::NoteReported => Act::NoteReported,
        Action::NoteOverdue => Act::NoteOverdue,
        Action::Lose(_) => Act::Lose,
        Action::Fail(_) => Act::Fail,
        Action::Abandon { ended } => Act::Abandon { ended },
        Action::Cancel | Action::CancelOnRequest => Act::Cancel,
        Action::FailCancelled => Act::FailCancelled,
        Action::PlanAgain => Act::PlanAgain,
        Action::Repeat(_) => Act::Repeat,
    }
}
