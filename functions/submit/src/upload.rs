//! Uploads a planned drop: for each part, creates and records a job, and uploads the part's rows to
//! it.
//!
//! [`moondrop_shared::services::ledger`] explains why each part is uploaded exactly once: nothing
//! is uploaded before the job's id and URL are recorded, and later attempts upload the same bytes
//! to the recorded URL.

use crate::create_job::{JobOutcome, Refusals, Since, create_job};
use crate::outcome::PartOutcome;
use crate::upload_part::{repeat_part, upload_part};
use anyhow::{Result, bail};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::{header, set_problem, try_report};
use moondrop_shared::part::{PartRecord, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

/// The age from which a job to which nothing was sent is an orphan: over an hour after its upload
/// URL expired.
const SWEEP_AFTER: SignedDuration = SignedDuration::from_mins(5 * 60 + 10);
/// How often the progress of the uploads is reported in `status.json`.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Uploads every pending part, several at the same time, and moves the drop to `evaluating` when
/// all are uploaded.
pub(crate) async fn upload(
    services: &Services,
    drop: DropRecord,
    deadline: Deadline,
) -> Result<()> {
    let mut pending = services.ledger.parts(&drop.id).await?;
    pending.retain(is_pending);
    // Read once before any job is created: with a record that was changed, none is.
    header(&drop)?;
    if !pending.is_empty() {
        // Before the first create: the sweep finds a job whose id never reached us.
        services.ledger.schedule_sweep(&drop.id, Timestamp::now() + SWEEP_AFTER).await?;
    }
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
    let since = uploader.refusals.since();
    record(services, &drop, since, &progress).await?;
    match progress.problem {
        _ if progress.left == 0 => Ok(()),
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
    /// Parts that wait for poll.
    waiting: usize,
    /// Why the first of the parts that are left was not uploaded.
    problem: Option<Problem>,
}

impl Progress {
    fn add(&mut self, outcome: PartOutcome) {
        match outcome {
            PartOutcome::Done => {}
            PartOutcome::Waits => self.waiting += 1,
            PartOutcome::Left => self.left += 1,
            PartOutcome::Later(problem) => {
                self.left += 1;
                self.problem.get_or_insert(problem);
            }
        }
    }
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
        let mut uploads = stream::iter(pending)
            .map(|part| Box::pin(self.upload_in_time(part)))
            .buffer_unordered(self.services.settings.uploads_at_once);
        let mut progress = Progress::default();
        while let Some(outcome) = uploads.next().await {
            progress.add(outcome);
        }
        progress
    }

    /// Stops before Lambda would kill the invocation, so that it still reports its progress. The
    /// sweep finds a job that was being created at that moment.
    async fn upload_in_time(&self, part: PartRecord) -> PartOutcome {
        let span = tracing::error_span!("part", part = part.plan.number);
        let upload = async {
            match tokio::time::timeout(self.deadline.last_moment(), self.upload(part)).await {
                Ok(Ok(outcome)) => outcome,
                // A failed part does not affect the others.
                Ok(Err(error)) => {
                    tracing::warn!(error = describe(&error), "a part could not be uploaded");
                    PartOutcome::Later(Problem::part_failed())
                }
                Err(_) => PartOutcome::Left,
            }
        };
        Box::pin(upload.instrument(span)).await
    }

    async fn upload(&self, mut part: PartRecord) -> Result<PartOutcome> {
        let Uploader { services, drop, .. } = self;
        loop {
            if self.deadline.is_near() || self.stop.load(Ordering::Relaxed) {
                return Ok(PartOutcome::Left);
            }
            let outcome = match part.state {
                // Cancelled since it was read.
                PartState::Planned if part.cancelled_at.is_some() => {
                    services.ledger.cancel_part(&part, Timestamp::now()).await?;
                    PartOutcome::Done
                }
                PartState::Planned => {
                    match create_job(services, drop, &part, &self.refusals).await? {
                        JobOutcome::Recorded(recorded) => {
                            part = *recorded;
                            continue;
                        }
                        JobOutcome::None(outcome) => outcome,
                    }
                }
                PartState::Created => upload_part(services, drop, &part).await?,
                PartState::Uploaded => repeat_part(services, drop, &part).await?,
                _ => PartOutcome::Done,
            };
            if matches!(&outcome, PartOutcome::Later(problem) if problem.code.stops_uploads()) {
                self.stop.store(true, Ordering::Relaxed);
            }
            return Ok(outcome);
        }
    }
}

/// Marks the drop as active and reports its progress, again and again, in parallel with the
/// uploads: a slow report delays none of them.
async fn report_progress(services: &Services, drop: &DropRecord) -> Infallible {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // A drop with a long upload is not stalled.
        if let Err(error) = services.ledger.heartbeat(drop, Timestamp::now()).await {
            // The uploads in progress matter more.
            tracing::warn!(
                drop = %drop.id, error = describe(&error),
                "the drop was not marked as active"
            );
        }
        try_report(services, drop).await;
    }
}

/// Records and reports the outcome of the uploads.
async fn record(
    services: &Services,
    drop: &DropRecord,
    since: Since,
    progress: &Progress,
) -> Result<()> {
    let now = Timestamp::now();
    let mut next = DropRecord { active_at: now, problem: progress.problem.clone(), ..drop.clone() };
    (next.refused_since, next.invalid_since) = (since.refused, since.invalid);
    if since != Since::of(drop) {
        services.ledger.set_refusals(&next).await?;
    }
    let recorded =
        if progress.left == 0 && progress.waiting == 0 && drop.state == DropState::Uploading {
            next.state = DropState::Evaluating;
            next.times.uploaded_at = Some(now);
            services.ledger.move_drop(&next, DropState::Uploading).await?.record
        } else {
            let active = services.ledger.heartbeat(&next, now).await?;
            // A drop that moved on is another attempt's: what stopped this one is not its problem.
            match active.ours {
                true => set_problem(services, &active.record, next.problem).await?,
                false => active.record,
            }
        };
    try_report(services, &recorded).await;
    Ok(())
}
