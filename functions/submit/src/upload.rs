//! Uploads a planned drop: for each part, creates and records a job, and uploads the part's rows to
//! it.
//!
//! [`moondrop_shared::services::ledger`] explains why each part is uploaded exactly once: nothing
//! is uploaded before the job's id and URL are recorded, and later attempts upload the same bytes
//! to the recorded URL.

use crate::at_once::AtOnce;
use crate::create_job::{JobOutcome, Refusals, Since, create_job};
use crate::outcome::{Cause, PartOutcome};
use crate::upload_part::{repeat_part, upload_part};
use anyhow::{Result, bail};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::stack::StackCause;
use moondrop_shared::drop::{DropProblem, DropRecord, DropState};
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::OutgoingEvent;
use moondrop_shared::lifecycle::{
    DueReport, Seen, clear_allowed_hosts, header, note_stack_problem, set_drop_problem, try_report,
    wait,
};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

/// The age from which a job to which nothing was sent is an orphan: over an hour after its upload
/// URL expired.
const SWEEP_AFTER: SignedDuration = SignedDuration::from_mins(5 * 60 + 10);

/// Uploads every pending part, several at the same time, and moves the drop to `evaluating` when
/// all are uploaded.
pub(crate) async fn upload(
    services: &Services,
    drop: DropRecord,
    deadline: Deadline,
) -> Result<()> {
    let due = DueReport::begin(services, &drop.id).await?;
    clear_allowed_hosts(services, &services.ledger.stack_problems().await?).await;
    let mut pending = services.ledger.parts(&drop.id).await?;
    pending.retain(is_pending);
    // Read once before any job is created: with a record that was changed, none is.
    header(&drop)?;
    if !pending.is_empty() {
        // Before the first create: the sweep finds a job whose id never reached us.
        services.ledger.schedule_sweep(&drop.id, Timestamp::now() + SWEEP_AFTER).await?;
    }
    let began = Timestamp::now();
    let uploader = Uploader {
        services,
        drop: &drop,
        deadline,
        stop: AtomicBool::new(false),
        refusals: Refusals::of(&drop),
    };
    let progress = tokio::select! {
        progress = uploader.upload_all(pending) => progress,
        never = report_progress(services, &drop) => match never {},
    };
    if progress.left == 0 {
        // No part waits for a job any more: the refused ones have ended.
        uploader.refusals.clear();
    }
    note_stack_problems(services, &progress, began).await;
    let recorded = record(services, &drop, uploader.refusals.since(), &progress).await?;
    due.make(services, &recorded).await;
    let is_out_of_time = progress.untried > 0 && !uploader.stop.load(Ordering::Relaxed);
    match progress.causes.first().and_then(Cause::problem) {
        _ if progress.left == 0 => Ok(()),
        // Another invocation goes on at once, also with parts that failed by themselves. One that
        // uploaded nothing would do no better.
        _ if is_out_of_time && progress.uploaded > 0 => {
            tracing::info!(
                drop = %drop.id, parts = progress.left,
                "the time is over; the uploads go on in another invocation"
            );
            services.bus.put(&[OutgoingEvent::DropStalled { drop: drop.id.clone() }]).await
        }
        // What waits for the API, the key or a setting is no failure: poll requeues it.
        Some(problem) if progress.causes.iter().all(Cause::is_to_be_waited_for) => {
            let code = problem.code.as_str();
            tracing::warn!(drop = %drop.id, parts = progress.left, code, "the drop waits");
            wait(services, &recorded, progress.created + progress.uploaded > 0).await
        }
        Some(Problem { code, message, .. }) => {
            bail!("{} parts are still to be uploaded: {code}: {message}", progress.left)
        }
        None => bail!(
            "{} parts are still to be uploaded: the time of the invocation is over",
            progress.left
        ),
    }
}

/// Whether a part needs this function: it has no job, its job has no rows, or they are to be
/// uploaded once more.
fn is_pending(part: &PartRecord) -> bool {
    matches!(part.state, PartState::Planned | PartState::Created) || part.is_to_be_repeated()
}

#[derive(Default)]
struct Progress {
    /// Parts that another invocation has to upload.
    left: usize,
    /// Of these, those for which there was no time.
    untried: usize,
    /// Parts that wait for poll.
    waiting: usize,
    /// Why parts that are left were not uploaded, the first one first; those of parts alone stand
    /// in their records.
    causes: Vec<Cause>,
    /// Parts that got a job, or rows, in this invocation.
    created: usize,
    uploaded: usize,
}

impl Progress {
    fn add(&mut self, part: Uploaded) {
        self.created += usize::from(part.created);
        self.uploaded += usize::from(part.uploaded);
        match part.outcome {
            PartOutcome::Done => {}
            PartOutcome::Waits => self.waiting += 1,
            PartOutcome::Left => {
                self.left += 1;
                self.untried += 1;
            }
            PartOutcome::Later(cause) => {
                self.left += 1;
                self.causes.push(cause);
            }
        }
    }

    /// The first problem of a cause of the stack.
    fn of_stack(&self, wanted: StackCause) -> Option<Seen> {
        self.causes.iter().find_map(|cause| match cause {
            Cause::Stack(seen) if seen.cause == wanted => Some(seen.clone()),
            _ => None,
        })
    }

    /// The first problem of creating jobs.
    fn of_create(&self) -> Option<Problem> {
        self.causes.iter().find_map(|cause| match cause {
            Cause::Create(problem) => Some(problem.clone()),
            _ => None,
        })
    }
}

/// What became of a part in this invocation.
struct Uploaded {
    outcome: PartOutcome,
    /// The API created a job for it.
    created: bool,
    /// Its rows were uploaded.
    uploaded: bool,
}

/// The uploads of one drop in one invocation.
struct Uploader<'a> {
    services: &'a Services,
    drop: &'a DropRecord,
    deadline: Deadline,
    /// One part's problem stops all uploads.
    stop: AtomicBool,
    refusals: Refusals,
}

impl Uploader<'_> {
    async fn upload_all(&self, pending: Vec<PartRecord>) -> Progress {
        let Services { settings, api, transfer, .. } = self.services;
        let busy = || api.busy_answers() + transfer.busy_answers();
        let mut at_once = AtOnce::new(settings.uploads_at_once, busy());
        let (mut pending, mut uploads) = (pending.into_iter(), FuturesUnordered::new());
        let mut progress = Progress::default();
        loop {
            let room = at_once.now().saturating_sub(uploads.len());
            uploads.extend(
                pending.by_ref().take(room).map(|part| Box::pin(self.upload_in_time(part))),
            );
            let Some(part) = uploads.next().await else { return progress };
            if at_once.add(part.uploaded, uploads.len(), busy()) {
                tracing::info!(drop = %self.drop.id, uploads_at_once = at_once.now(), "the uploads at once are adapted");
            }
            progress.add(part);
        }
    }

    async fn upload_in_time(&self, part: PartRecord) -> Uploaded {
        let span = tracing::error_span!("part", part = part.plan.number);
        Box::pin(self.upload(part).instrument(span)).await
    }

    /// Takes a part as far as it gets.
    async fn upload(&self, mut part: PartRecord) -> Uploaded {
        let mut done = Uploaded { outcome: PartOutcome::Left, created: false, uploaded: false };
        while !self.deadline.is_near() && !self.stop.load(Ordering::Relaxed) {
            let state = part.state;
            // Stops before Lambda would kill the invocation, so that it still reports its progress.
            // The sweep finds a job that was being created at that moment.
            let step = tokio::time::timeout(self.deadline.last_moment(), self.step(&part)).await;
            match step {
                Err(_) => return done,
                Ok(Ok(Step::Goes(next))) => {
                    part = *next;
                    done.created |= state == PartState::Planned;
                    if part.cancelled_at.is_some() {
                        // So is the drop: no other part needs a job.
                        self.stop.store(true, Ordering::Relaxed);
                        done.outcome = PartOutcome::Done;
                        return done;
                    }
                    continue;
                }
                Ok(Ok(Step::Ends(outcome))) => {
                    let may_send = matches!(state, PartState::Created | PartState::Uploaded);
                    done.uploaded = may_send && matches!(outcome, PartOutcome::Done);
                    done.outcome = outcome;
                }
                // A failed part does not affect the others.
                Ok(Err(error)) => {
                    tracing::warn!(error = describe(&error), "a part could not be uploaded");
                    done.outcome = PartOutcome::Later(Cause::Part(Problem::part_failed()));
                }
            }
            if let PartOutcome::Later(cause) = &done.outcome {
                self.stopped(&part, cause).await;
            }
            return done;
        }
        done
    }

    async fn step(&self, part: &PartRecord) -> Result<Step> {
        let Uploader { services, drop, .. } = self;
        let outcome = match part.state {
            // Cancelled since it was read.
            PartState::Planned if part.cancelled_at.is_some() => {
                let now = Timestamp::now();
                let requested_at = part.cancelled_at.unwrap_or(now);
                services.ledger.cancel_part(part, requested_at, now).await?;
                PartOutcome::Done
            }
            PartState::Planned => match create_job(services, drop, part, &self.refusals).await? {
                JobOutcome::Recorded(recorded) => return Ok(Step::Goes(recorded)),
                JobOutcome::None(outcome) => outcome,
            },
            PartState::Created => upload_part(services, drop, part).await?,
            PartState::Uploaded => repeat_part(services, drop, part).await?,
            _ => PartOutcome::Done,
        };
        Ok(Step::Ends(outcome))
    }

    /// Records what stopped a part, or stops the others if it stops them all.
    async fn stopped(&self, part: &PartRecord, cause: &Cause) {
        if cause.problem().is_some_and(|problem| problem.code.stops_uploads()) {
            self.stop.store(true, Ordering::Relaxed);
        }
        let Cause::Part(problem) = cause else { return };
        if let Err(error) = self.services.ledger.set_part_problem(part, problem).await {
            tracing::warn!(error = describe(&error), "the part's problem was not recorded");
        }
    }
}

/// One step of a part.
enum Step {
    /// It has a job now, in this record.
    Goes(Box<PartRecord>),
    Ends(PartOutcome),
}

/// Below twice this many parts, [`report_progress`] reports at every tick; with three times as many,
/// at every third, and so on. A report reads all parts, and uploads take longer with more of them: so
/// what is read grows with the parts, and not with their square.
const PARTS_PER_REPORT: u32 = 400;

/// Marks the drop as active and reports its progress, again and again, in parallel with the
/// uploads: a slow report delays none of them.
async fn report_progress(services: &Services, drop: &DropRecord) -> Infallible {
    let mut ticks = tokio::time::interval(services.settings.report_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let parts = drop.plan.as_ref().map_or(0, |plan| plan.parts);
    let every = u64::from(parts / PARTS_PER_REPORT).max(1);
    let mut ticked: u64 = 0;
    loop {
        ticks.tick().await;
        ticked += 1;
        // A drop with a long upload is not stalled.
        if let Err(error) = services.ledger.heartbeat(drop, Timestamp::now()).await {
            // The uploads in progress matter more.
            tracing::warn!(
                drop = %drop.id, error = describe(&error),
                "the drop was not marked as active"
            );
        }
        if ticked.is_multiple_of(every) {
            try_report(services, drop).await;
        }
        services.metrics.flush();
    }
}

/// Records what the uploads show of the stack: that it was refused, or that it was accepted. What
/// was not tried shows nothing.
async fn note_stack_problems(services: &Services, progress: &Progress, began: Timestamp) {
    let shown = [
        (StackCause::Key, progress.created > 0),
        (StackCause::CreateRight, progress.created > 0),
        (StackCause::UploadHost, false),
    ];
    for (cause, is_accepted) in shown {
        match progress.of_stack(cause) {
            Some(seen) => note_stack_problem(services, seen).await,
            None if is_accepted => note_stack_problem(services, Seen::accepted(cause, began)).await,
            None => {}
        }
    }
}

/// Records the outcome of the uploads.
async fn record(
    services: &Services,
    drop: &DropRecord,
    since: Since,
    progress: &Progress,
) -> Result<DropRecord> {
    let now = Timestamp::now();
    let mut next = DropRecord { active_at: now, ..drop.clone() };
    (next.refused_since, next.invalid_since) = (since.refused, since.invalid);
    if since != Since::of(drop) {
        services.ledger.set_refusals(&next).await?;
    }
    if progress.left == 0 && progress.waiting == 0 && drop.state == DropState::Uploading {
        next.state = DropState::Evaluating;
        next.times.uploaded_at = Some(now);
        return Ok(services.ledger.move_drop(&next, DropState::Uploading).await?.record);
    }
    let active = services.ledger.heartbeat(&next, now).await?;
    // A drop that moved on is another attempt's: what stopped this one is not its problem.
    let problem = match progress.of_create() {
        Some(problem) => Some(problem),
        None if progress.created > 0 || progress.left == 0 => None,
        // No job was asked for.
        None => return Ok(active.record),
    };
    match active.ours {
        true => set_drop_problem(services, &active.record, DropProblem::Create, problem).await,
        false => Ok(active.record),
    }
}
