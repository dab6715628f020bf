//! The middle of a tick as one stream: fetch jobs, decide, apply, announce. Each answer is recorded
//! as it arrives, and a part that ended is announced once that is recorded. When the time of a tick
//! is over, its answers are recorded, and the next tick begins with the jobs that were not asked
//! for.

use crate::announce;
use crate::apply::{Applied, apply};
use crate::context::Tick;
use crate::fetched::{Count, Fetched};
use crate::queries::{JobQueries, Outcome, Request};
use anyhow::{Result, anyhow};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{JobState, Reported};
use moondrop_shared::part::decide::{Action, JobAnswer, decide};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::batch_api::transfer::TransferError;
use moondrop_shared::services::ledger::{Cursor, PollState, WRITES_AT_ONCE, Witness};
use moondrop_shared::source::DropId;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// How many calls run at the same time: 10,000 jobs are 100 calls.
const CALLS_AT_ONCE: usize = 4;
/// No call begins while so many answers wait to be recorded.
const MAX_UNRECORDED: usize = 400;
/// After how many calls the cursor is saved, so that the next tick continues after one that was
/// killed.
const SAVE_EVERY: usize = 20;
/// How long after its end a completed job whose results are not collected is asked for again.
const ASKED_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// The part of the invocation's time that is left for reports and metrics when the stream is given
/// up.
const FOR_THE_REST: Duration = Duration::from_secs(15);

enum Done {
    Answered(Request, Result<Reported, ApiError>),
    Applied(usize, Result<Box<Applied>>),
    Announced(Result<()>),
    Saved(Result<()>),
}

struct Stream<'a> {
    tick: Tick<'a>,
    parts: &'a mut Vec<PartRecord>,
    changed: BTreeSet<DropId>,
    /// The drops whose report is recorded as due.
    due: BTreeSet<DropId>,
    refused_host: Option<String>,
    state: PollState,
    by_job: HashMap<String, usize>,
    /// The parts whose jobs are asked for, in order: first those whose jobs are reported, then
    /// those whose jobs are absent.
    order: [Vec<usize>; 2],
    /// The parts whose jobs were not asked for yet.
    unasked: HashSet<usize>,
    /// The parts for which no answer is recorded yet.
    unrecorded: HashSet<usize>,
    to_apply: VecDeque<(usize, JobAnswer)>,
    /// Answers about jobs that wait for rows: applied last, when it is known whether other jobs
    /// start.
    waiting: Vec<(usize, JobAnswer)>,
    /// Answers about cancelled parts whose jobs are to be cancelled: applied after all others, which
    /// an API that answers no cancel must not hold up.
    cancels: Vec<(usize, JobAnswer)>,
    /// Whether the cancels have begun.
    cancelling: bool,
    to_announce: Vec<usize>,
    work: FuturesUnordered<BoxFuture<'a, Done>>,
    /// The numbers of [`CALLS`], [`WRITES`] and [`ANNOUNCEMENTS`] in progress.
    in_progress: [usize; 3],
    outcome: Result<()>,
}

const CALLS: usize = 0;
const WRITES: usize = 1;
const ANNOUNCEMENTS: usize = 2;

/// Asks the API for every open job, and updates and announces its part. `parts` are then the
/// current records.
pub(crate) async fn fetch_jobs(tick: &Tick<'_>, parts: &mut Vec<PartRecord>) -> Fetched {
    let ledger = &tick.services.ledger;
    let state = match ledger.poll_state().await {
        Ok(state) => state,
        Err(error) => return Fetched::nothing(Err(error)),
    };
    let mut stream = Stream::new(*tick, parts, state);
    let asked = stream.unrecorded.len();
    if asked == 0 {
        return Fetched::nothing(Ok(()));
    }
    let mut queries = stream.queries();
    let time = tick.deadline.left_before(FOR_THE_REST);
    if tokio::time::timeout(time, stream.run(&mut queries)).await.is_err() {
        stream.fail(anyhow!("the time of the invocation is over"));
    }
    let outcome = queries.outcome();
    stream.remember(&outcome);
    let saved = ledger.save_poll_state(&stream.state).await;
    let count = Count { asked, recorded: asked - stream.unrecorded.len() };
    let unanswered = stream.unrecorded.iter().map(|&i| id_of(&stream.parts[i])).collect();
    let (mut changed, host) = (stream.changed, stream.refused_host);
    changed.append(&mut stream.due);
    let written = stream.outcome.and(saved);
    let key = match &outcome.failure {
        Some(ApiError::Key) => Some(Err(ApiError::Key)),
        Some(ApiError::NoKey(error)) => Some(Err(ApiError::NoKey(anyhow!("{error:#}")))),
        Some(ApiError::NotPermitted(why)) if outcome.no_right => {
            Some(Err(ApiError::NotPermitted(why.clone())))
        }
        _ if outcome.reported => Some(Ok(())),
        _ => None,
    };
    Fetched {
        key,
        host,
        unanswered: Some(unanswered),
        changed,
        outcome: count.summarize(tick, outcome, written),
    }
}

impl<'a> Stream<'a> {
    fn new(tick: Tick<'a>, parts: &'a mut Vec<PartRecord>, state: PollState) -> Self {
        let mut order = [Vec::new(), Vec::new()];
        let mut by_job = HashMap::new();
        for (i, part) in parts.iter().enumerate() {
            let Some(job) = part.job_id.clone().filter(|_| is_asked_for(part, tick.now)) else {
                continue;
            };
            by_job.insert(job, i);
            order[usize::from(part.absent_at.is_some())].push(i);
        }
        let cursors = [&state.cursor.reported, &state.cursor.absent];
        for (order, cursor) in order.iter_mut().zip(cursors) {
            order.sort_by_cached_key(|&i| sort_key(&parts[i]));
            let begin = cursor
                .as_ref()
                .map_or(0, |cursor| order.partition_point(|&i| sort_key(&parts[i]) < *cursor));
            // After the last one it starts again.
            let begin = begin % order.len().max(1);
            order.rotate_left(begin);
        }
        Stream {
            tick,
            changed: BTreeSet::new(),
            due: BTreeSet::new(),
            refused_host: None,
            state,
            by_job,
            unasked: order.iter().flatten().copied().collect(),
            unrecorded: order.iter().flatten().copied().collect(),
            order,
            parts,
            to_apply: VecDeque::new(),
            waiting: Vec::new(),
            cancels: Vec::new(),
            cancelling: false,
            to_announce: Vec::new(),
            work: FuturesUnordered::new(),
            in_progress: [0; 3],
            outcome: Ok(()),
        }
    }

    async fn run(&mut self, queries: &mut JobQueries) {
        let mut calls = 0;
        loop {
            self.begin(queries);
            let Some(done) = self.work.next().await else {
                let rest = queries.take_left_out();
                if rest.is_empty() {
                    return;
                }
                self.take_answers(rest);
                continue;
            };
            match done {
                Done::Answered(request, answer) => {
                    self.in_progress[CALLS] -= 1;
                    calls += 1;
                    let answers = queries.answered(request, answer);
                    self.take_answers(answers);
                    if calls % SAVE_EVERY == 0 {
                        self.save();
                    }
                }
                Done::Applied(i, applied) => {
                    self.in_progress[WRITES] -= 1;
                    self.applied(i, applied);
                }
                Done::Announced(announced) => {
                    self.in_progress[ANNOUNCEMENTS] -= 1;
                    self.note(announced);
                }
                Done::Saved(saved) => self.note(saved),
            }
        }
    }

    fn take_answers(&mut self, answers: Vec<(String, JobAnswer)>) {
        for (job, answer) in answers {
            let Some(&i) = self.by_job.get(&job) else { continue };
            self.unasked.remove(&i);
            self.check_host(&answer);
            match &answer {
                JobAnswer::Job(job) if job.state == JobState::Initialized => {
                    self.waiting.push((i, answer))
                }
                _ => self.to_apply.push_back((i, answer)),
            }
        }
    }

    /// Checks the host of a completed job's results as soon as the API names it: a day before they
    /// may be collected.
    fn check_host(&mut self, answer: &JobAnswer) {
        let JobAnswer::Job(job) = answer else { return };
        let Some(url) = &job.output_file_url else { return };
        if let Err(TransferError::Host(host)) = self.tick.services.transfer.check(url) {
            self.refused_host.get_or_insert(host);
        }
    }

    /// Begins as much work as may be in progress at the same time.
    fn begin(&mut self, queries: &mut JobQueries) {
        while self.in_progress[CALLS] < CALLS_AT_ONCE
            && self.to_apply.len() < MAX_UNRECORDED
            && !self.tick.deadline.is_near()
        {
            let Some(request) = queries.next() else { break };
            self.in_progress[CALLS] += 1;
            let api = &self.tick.services.api;
            self.work.push(
                async move {
                    let answer = api.jobs_once(&request.all()).await;
                    Done::Answered(request, answer)
                }
                .boxed(),
            );
        }
        if self.in_progress[CALLS] + self.in_progress[WRITES] == 0 && self.to_apply.is_empty() {
            self.to_apply.extend(self.waiting.drain(..));
        }
        self.begin_writes();
        if self.in_progress[CALLS] + self.in_progress[WRITES] == 0 && !self.cancels.is_empty() {
            self.cancelling = true;
            self.to_apply.extend(self.cancels.drain(..));
            self.begin_writes();
        }
        let all_recorded =
            self.in_progress[CALLS] + self.in_progress[WRITES] == 0 && self.to_apply.is_empty();
        while self.to_announce.len() >= announce::AT_ONCE
            || (all_recorded && !self.to_announce.is_empty())
        {
            let some = self
                .to_announce
                .split_off(self.to_announce.len().saturating_sub(announce::AT_ONCE));
            let some: Vec<PartRecord> = some.into_iter().map(|i| self.parts[i].clone()).collect();
            self.in_progress[ANNOUNCEMENTS] += 1;
            let tick = self.tick;
            self.work.push(
                async move { Done::Announced(announce::announce(&tick, some).await) }.boxed(),
            );
        }
    }

    fn begin_writes(&mut self) {
        while self.in_progress[WRITES] < WRITES_AT_ONCE
            && let Some((i, answer)) = self.to_apply.pop_front()
        {
            self.begin_write(i, &answer);
        }
    }

    fn begin_write(&mut self, i: usize, answer: &JobAnswer) {
        let when = self.tick.when(self.state.started_at);
        let part = self.parts[i].clone();
        let action = decide(&part, answer, &when);
        if action == Action::CancelOnRequest && !self.cancelling {
            return self.cancels.push((i, answer.clone()));
        }
        let is_due = action != Action::Nothing && self.due.insert(part.drop.clone());
        self.in_progress[WRITES] += 1;
        let tick = self.tick;
        self.work.push(
            async move {
                if is_due
                    && let Err(error) =
                        tick.services.ledger.begin_report(&part.drop, tick.report_name).await
                {
                    return Done::Applied(i, Err(error));
                }
                let applied = Box::pin(apply(&tick, &part, action)).await;
                Done::Applied(i, applied.map(Box::new))
            }
            .boxed(),
        );
    }

    fn applied(&mut self, i: usize, applied: Result<Box<Applied>>) {
        let applied = match applied {
            Ok(applied) => *applied,
            Err(error) => {
                let part = &self.parts[i];
                tracing::warn!(
                    drop = %part.drop, part = part.plan.number, error = describe(&error),
                    "a part could not be updated"
                );
                return self.fail(error);
            }
        };
        self.unrecorded.remove(&i);
        let was = std::mem::replace(&mut self.parts[i], applied.part);
        let part = &self.parts[i];
        if applied.is_worth_reporting {
            self.changed.insert(part.drop.clone());
        }
        if has_started(part) && !has_started(&was) {
            self.state.started_at = Some(self.tick.now);
        }
        if part.state.is_collectable() && !was.state.is_collectable() {
            self.to_announce.push(i);
        }
    }

    fn queries(&self) -> JobQueries {
        let jobs = |order: &[usize]| -> Vec<String> {
            order.iter().filter_map(|&i| self.parts[i].job_id.clone()).collect()
        };
        let witness = self.state.witness.as_ref().map(|witness| witness.job.clone());
        JobQueries::new(&jobs(&self.order[0]), jobs(&self.order[1]), witness)
    }

    /// Where the next tick begins: at the first part whose job this tick did not ask for.
    fn cursor(&self) -> Cursor {
        let [reported, absent] = &self.order;
        let first = |order: &[usize]| {
            order.iter().find(|i| self.unasked.contains(*i)).map(|&i| sort_key(&self.parts[i]))
        };
        Cursor { reported: first(reported), absent: first(absent) }
    }

    fn remember(&mut self, outcome: &Outcome) {
        self.state.cursor = self.cursor();
        if let Some(job) = &outcome.witness {
            self.state.witness = Some(Witness { job: job.clone(), reported_at: self.tick.now });
        }
    }

    fn save(&mut self) {
        let state = PollState { cursor: self.cursor(), ..self.state.clone() };
        let ledger = &self.tick.services.ledger;
        self.work.push(async move { Done::Saved(ledger.save_poll_state(&state).await) }.boxed());
    }

    fn note(&mut self, done: Result<()>) {
        if let Err(error) = done {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: anyhow::Error) {
        if self.outcome.is_ok() {
            self.outcome = Err(error);
        }
    }
}

/// Whether to ask the API for a part's job: the job has not ended, or its results are neither
/// collected nor held after an hour.
fn is_asked_for(part: &PartRecord, now: Timestamp) -> bool {
    let ended = part.ended_at.or(part.created_at);
    let uncollected = part.state == PartState::Completed
        && part.held.is_none()
        && ended.is_some_and(|at| now.duration_since(at) >= ASKED_AGAIN_AFTER);
    part.state.has_open_job() || uncollected
}

/// Whether a part's job has started; one that failed or was cancelled may not have.
fn has_started(part: &PartRecord) -> bool {
    let ended = matches!(part.job_state, Some(JobState::Error | JobState::Cancelled));
    part.job_rank >= JobState::Queued.rank() && !ended
}

fn id_of(part: &PartRecord) -> (DropId, u32) {
    (part.drop.clone(), part.plan.number)
}

/// The key that the parts are sorted by.
fn sort_key(part: &PartRecord) -> String {
    format!("{}/{:05}", part.drop, part.plan.number)
}
