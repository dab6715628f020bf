//! The middle of a tick as one stream: fetch jobs, decide, apply, announce. What is learnt is recorded as it arrives, and what has
//! ended is announced once that is recorded. A tick whose time is over has recorded what it learnt, and the next one begins with the
//! jobs that were not asked for.

use crate::announce;
use crate::apply::{Applied, apply};
use crate::context::Tick;
use crate::queries::{JobQueries, Outcome, Request};
use anyhow::{Result, anyhow};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{JobState, Reported};
use moondrop_shared::part::decide::{JobAnswer, When, decide};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::ledger::{Cursor, PollState, WRITES_AT_ONCE, Witness};
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::source::DropId;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Calls under way at once: 10,000 jobs are 100 calls.
const CALLS_AT_ONCE: usize = 4;
/// No call begins while so many of its predecessors' jobs wait to be recorded.
const MOST_UNRECORDED: usize = 400;
/// How often the cursor is saved, in calls: a tick that is killed has not asked in vain.
const SAVE_EVERY: usize = 20;
/// From when on a completed job whose results are not collected is asked for again.
const ASKED_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// What is left of the invocation's time when the last of what is under way is given up: for reports and metrics.
const FOR_THE_REST: Duration = Duration::from_secs(15);

/// What the stream has come to.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// What is known of the key: whether the API took it, or why not; `None` if nothing was asked, or failed otherwise.
    pub(crate) key: Option<Result<(), ApiError>>,
    /// The drops whose parts changed in a way worth reporting.
    pub(crate) changed: BTreeSet<DropId>,
    /// The first failure.
    pub(crate) outcome: Result<()>,
}

enum Done {
    Asked(Request, Result<Reported, ApiError>),
    Applied(usize, Result<Box<Applied>>),
    Announced(Result<()>),
    Saved(Result<()>),
}

struct Stream<'a> {
    tick: Tick<'a>,
    parts: &'a mut Vec<PartRecord>,
    changed: BTreeSet<DropId>,
    state: PollState,
    by_job: HashMap<String, usize>,
    /// The parts that are asked for, in their order: those whose jobs are reported, and those whose jobs are absent.
    order: [Vec<usize>; 2],
    /// The parts that were not asked for yet, and those of which nothing is recorded yet.
    unasked: HashSet<usize>,
    unsettled: HashSet<usize>,
    to_move: VecDeque<(usize, JobAnswer)>,
    /// Of jobs that wait for rows: decided about last, when it is known whether others start.
    waiting: Vec<(usize, JobAnswer)>,
    to_announce: Vec<usize>,
    work: FuturesUnordered<BoxFuture<'a, Done>>,
    under_way: [usize; 3],
    outcome: Result<()>,
}

const ASKS: usize = 0;
const MOVES: usize = 1;
const ANNOUNCEMENTS: usize = 2;

/// Asks for every job that is open, and moves and announces its part. `parts` then are as they are recorded.
pub(crate) async fn fetch_jobs(tick: &Tick<'_>, parts: &mut Vec<PartRecord>) -> Fetched {
    let ledger = &tick.services.ledger;
    let state = match ledger.poll_state().await {
        Ok(state) => state,
        Err(error) => return Fetched { key: None, changed: BTreeSet::new(), outcome: Err(error) },
    };
    let mut stream = Stream::new(*tick, parts, state);
    let asked = stream.unsettled.len();
    if asked == 0 {
        return Fetched { key: None, changed: BTreeSet::new(), outcome: Ok(()) };
    }
    let mut queries = stream.queries();
    let time = tick.deadline.left_before(FOR_THE_REST);
    if tokio::time::timeout(time, stream.flow(&mut queries)).await.is_err() {
        stream.fail(anyhow!("the time of the invocation is over"));
    }
    let outcome = queries.outcome();
    stream.remember(&outcome);
    let saved = ledger.save_poll_state(&stream.state).await;
    let count = Count { asked, settled: asked - stream.unsettled.len() };
    let (changed, recorded) = (stream.changed, stream.outcome.and(saved));
    let key = match &outcome.failure {
        Some(ApiError::Key) => Some(Err(ApiError::Key)),
        Some(ApiError::NoKey(error)) => Some(Err(ApiError::NoKey(anyhow!("{error:#}")))),
        _ if outcome.reported => Some(Ok(())),
        _ => None,
    };
    Fetched { key, changed, outcome: count.judge(tick, outcome, recorded) }
}

/// How many jobs were asked for, and of how many the tick learnt and recorded something.
struct Count {
    asked: usize,
    settled: usize,
}

impl Count {
    /// What the queries have come to, as the tick reports it; `recorded` is what became of the records.
    fn judge(&self, tick: &Tick<'_>, outcome: Outcome, recorded: Result<()>) -> Result<()> {
        let Count { asked, settled } = *self;
        let nothing = !outcome.reported && outcome.left_out > 0;
        tick.services.metrics.count(Metric::NoJobReported, u64::from(nothing));
        if nothing {
            let error = format!("the API reports none of {asked} jobs: another account's key?");
            tracing::error!(alarm = "no_job_reported", error, "no job is taken for absent");
            return Err(anyhow!(error));
        }
        let failure = outcome.failure.map_or(recorded, |error| Err(error.into()));
        let count = format!("{settled} of {asked} jobs asked");
        match failure {
            failure if settled == asked => failure,
            Err(error) => Err(error.context(count)),
            Ok(()) => Err(anyhow!("{count}; the next tick begins with the others")),
        }
    }
}

impl<'a> Stream<'a> {
    fn new(tick: Tick<'a>, parts: &'a mut Vec<PartRecord>, state: PollState) -> Self {
        let mut order = [Vec::new(), Vec::new()];
        let mut by_job = HashMap::new();
        for (i, part) in parts.iter().enumerate() {
            let Some(job) = part.job_id.clone().filter(|_| is_asked_for(part, tick.now)) else { continue };
            by_job.insert(job, i);
            order[usize::from(part.absent_at.is_some())].push(i);
        }
        let cursors = [&state.cursor.reported, &state.cursor.absent];
        for (order, cursor) in order.iter_mut().zip(cursors) {
            order.sort_by_cached_key(|&i| key(&parts[i]));
            let begin = cursor.as_ref().map_or(0, |cursor| order.partition_point(|&i| key(&parts[i]) < *cursor));
            // Behind the last one it begins again.
            let begin = begin % order.len().max(1);
            order.rotate_left(begin);
        }
        Stream {
            tick,
            changed: BTreeSet::new(),
            state,
            by_job,
            unasked: order.iter().flatten().copied().collect(),
            unsettled: order.iter().flatten().copied().collect(),
            order,
            parts,
            to_move: VecDeque::new(),
            waiting: Vec::new(),
            to_announce: Vec::new(),
            work: FuturesUnordered::new(),
            under_way: [0; 3],
            outcome: Ok(()),
        }
    }

    async fn flow(&mut self, queries: &mut JobQueries) {
        let mut answers = 0;
        loop {
            self.begin(queries);
            let Some(done) = self.work.next().await else {
                let rest = queries.unheard();
                if rest.is_empty() {
                    return;
                }
                self.heard(rest);
                continue;
            };
            match done {
                Done::Asked(request, answer) => {
                    self.under_way[ASKS] -= 1;
                    answers += 1;
                    let heard = queries.answered(request, answer);
                    self.heard(heard);
                    if answers % SAVE_EVERY == 0 {
                        self.save();
                    }
                }
                Done::Applied(i, applied) => {
                    self.under_way[MOVES] -= 1;
                    self.applied(i, applied);
                }
                Done::Announced(announced) => {
                    self.under_way[ANNOUNCEMENTS] -= 1;
                    self.note(announced);
                }
                Done::Saved(saved) => self.note(saved),
            }
        }
    }

    fn heard(&mut self, heard: Vec<(String, JobAnswer)>) {
        for (job, heard) in heard {
            let Some(&i) = self.by_job.get(&job) else { continue };
            self.unasked.remove(&i);
            match &heard {
                JobAnswer::Job(job) if job.state == JobState::Initialized => self.waiting.push((i, heard)),
                _ => self.to_move.push_back((i, heard)),
            }
        }
    }

    /// Begins what may be under way beside what is.
    fn begin(&mut self, queries: &mut JobQueries) {
        while self.under_way[ASKS] < CALLS_AT_ONCE && self.to_move.len() < MOST_UNRECORDED && !self.tick.deadline.is_near() {
            let Some(request) = queries.next() else { break };
            self.under_way[ASKS] += 1;
            let api = &self.tick.services.api;
            self.work.push(
                async move {
                    let answer = api.jobs_once(&request.all()).await;
                    Done::Asked(request, answer)
                }
                .boxed(),
            );
        }
        if self.under_way[ASKS] + self.under_way[MOVES] == 0 && self.to_move.is_empty() {
            self.to_move.extend(self.waiting.drain(..));
        }
        while self.under_way[MOVES] < WRITES_AT_ONCE
            && let Some((i, answer)) = self.to_move.pop_front()
        {
            self.begin_move(i, &answer);
        }
        let settled = self.under_way[ASKS] + self.under_way[MOVES] == 0 && self.to_move.is_empty();
        while self.to_announce.len() >= announce::AT_ONCE || (settled && !self.to_announce.is_empty()) {
            let some = self.to_announce.split_off(self.to_announce.len().saturating_sub(announce::AT_ONCE));
            let some: Vec<PartRecord> = some.into_iter().map(|i| self.parts[i].clone()).collect();
            self.under_way[ANNOUNCEMENTS] += 1;
            let tick = self.tick;
            self.work.push(async move { Done::Announced(announce::announce(&tick, some).await) }.boxed());
        }
    }

    fn begin_move(&mut self, i: usize, answer: &JobAnswer) {
        let settings = &self.tick.services.settings;
        let seconds = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let when = When {
            now: self.tick.now,
            poll_every: seconds(settings.poll_every),
            lost_after: seconds(settings.lost_after),
            started_at: self.state.started_at,
        };
        let part = self.parts[i].clone();
        let action = decide(&part, answer, &when);
        self.under_way[MOVES] += 1;
        let tick = self.tick;
        self.work.push(
            async move {
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
                tracing::warn!(drop = %part.drop, part = part.plan.number, error = describe(&error), "a part could not be moved");
                return self.fail(error);
            }
        };
        self.unsettled.remove(&i);
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

    /// The queries for the parts that are to be asked for.
    fn queries(&self) -> JobQueries {
        let jobs = |order: &[usize]| -> Vec<String> { order.iter().filter_map(|&i| self.parts[i].job_id.clone()).collect() };
        let witness = self.state.witness.as_ref().map(|witness| witness.job.clone());
        JobQueries::new(&jobs(&self.order[0]), jobs(&self.order[1]), witness)
    }

    /// Where the next tick is to begin: at the first that this one did not come to.
    fn cursor(&self) -> Cursor {
        let [reported, absent] = &self.order;
        let first = |order: &[usize]| order.iter().find(|i| self.unasked.contains(*i)).map(|&i| key(&self.parts[i]));
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

/// Whether the API is asked for a part's job: it has not ended, or its results have not been collected for long and are not kept.
fn is_asked_for(part: &PartRecord, now: Timestamp) -> bool {
    let ended = part.ended_at.or(part.created_at);
    let uncollected = part.state == PartState::Completed
        && part.held.is_none()
        && ended.is_some_and(|at| now.duration_since(at) >= ASKED_AGAIN_AFTER);
    part.state.has_open_job() || uncollected
}

/// Whether a part's job was seen started; one that ended otherwise may never have been.
fn has_started(part: &PartRecord) -> bool {
    let ended = matches!(part.job_state, Some(JobState::Error | JobState::Cancelled));
    part.job_rank >= JobState::Queued.rank() && !ended
}

/// What parts are asked for in the order of.
fn key(part: &PartRecord) -> String {
    format!("{}/{:05}", part.drop, part.plan.number)
}
