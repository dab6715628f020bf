//! Feeding a planned drop: for each part a job is created, recorded, and given its rows.
//!
//! What makes it exactly once stands in [`moondrop_shared::services::ledger`]: nothing is uploaded before the job's id and URL are recorded,
//! and whoever comes later uploads the same bytes to the recorded URL.

use crate::create::{CREATE_REFUSED, Created, Refusals, create};
use crate::upload::{repeat, upload};
use anyhow::{Result, bail};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::csv::header::Header;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::error_chain::describe;
use moondrop_shared::lifecycle::part_source;
use moondrop_shared::part::{PartFailure, PartRecord, PartState};
use moondrop_shared::problem::{HOST_REFUSED, KEY_REFUSED, Problem};
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::services::metrics::Metric;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

/// From when on a job that was never fed is an orphan: an hour after its address has run out, and some.
const SWEEP_AFTER: SignedDuration = SignedDuration::from_mins(5 * 60 + 10);
/// How often `status.json` tells how far the uploads have come.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What stops one part stops the others: the key, the limit of requests, the network, a refusal, a host that is not allowed.
const STOPS_ALL: [&str; 5] = [KEY_REFUSED, "E_API_BUSY", "E_API", CREATE_REFUSED, HOST_REFUSED];

/// What became of a part here.
pub(crate) enum Fed {
    /// Nothing is left to do for it here: it is fed, or has ended.
    Done,
    /// Nothing can be sent to its job, or it is not known whether something was; poll decides, and the part may come back.
    Waits,
    /// It was not fed, since time or the drop's turn was over.
    Left,
    /// It was not fed, for this reason; again may help.
    Later(Problem),
}

/// Feeds every part that needs it, several at once, and moves the drop to `evaluating` when all are fed.
pub(crate) async fn feed(services: &Services, meta: &mut DropRecord, deadline: Deadline) -> Result<()> {
    let parts = services.ledger.parts(&meta.id).await?;
    let hungry: Vec<PartRecord> = parts.into_iter().filter(needs_submit).collect();
    if !hungry.is_empty() {
        // Before the first create: a job whose id never reached us is found by this.
        services.ledger.owe_sweep(&meta.id, Timestamp::now() + SWEEP_AFTER).await?;
    }
    let header = part_source::header(meta)?;
    let stop = AtomicBool::new(false);
    let refusals = Refusals::of(meta);
    let mut feeding = stream::iter(hungry)
        .map(|part| {
            let span = tracing::error_span!("part", part = part.plan.number);
            let fed = async {
                // Ended by its own time and not by Lambda, an invocation still tells how far it has come. A job that is being
                // created then is found by the sweep, as after a kill.
                let feeding = feed_part(services, meta, &header, part, deadline, &stop, &refusals);
                let fed = tokio::time::timeout(deadline.last_moment(), feeding).await.unwrap_or(Ok(Fed::Left));
                if let Err(error) = &fed {
                    tracing::warn!(error = describe(error), "a part could not be fed");
                }
                fed
            };
            Box::pin(fed.instrument(span))
        })
        .buffer_unordered(services.settings.uploads_at_once);
    let (mut left, mut waits, mut trouble) = (0, 0, None);
    let all_fed = async {
        while let Some(fed) = feeding.next().await {
            match fed {
                Ok(Fed::Done) => {}
                Ok(Fed::Waits) => waits += 1,
                Ok(Fed::Left) => left += 1,
                Ok(Fed::Later(why)) => {
                    left += 1;
                    trouble.get_or_insert(why);
                }
                // One part's failure is no other's.
                Err(_) => {
                    left += 1;
                    let again = "It will be tried again by itself. If it stays so for hours, it needs you to look at the logs.";
                    trouble.get_or_insert(Problem::new("E_PART", "a part of the file could not be read or recorded", again));
                }
            }
        }
    };
    tokio::select! {
        () = all_fed => {}
        never = beat(services, meta) => match never {},
    }
    drop(feeding);
    if left == 0 {
        // No part waits for a job: what was refused has ended.
        refusals.clear();
    }
    if refusals.are_other_than(meta) {
        (meta.refused_since, meta.invalid_since) = refusals.since();
        services.ledger.note_refusals(meta).await?;
    }
    meta.touched_at = Timestamp::now();
    meta.trouble = trouble;
    if left == 0 && waits == 0 && meta.state == DropState::Uploading {
        meta.state = DropState::Evaluating;
        meta.times.uploaded_at = Some(meta.touched_at);
        services.ledger.move_drop(meta, DropState::Uploading).await?;
    } else {
        services.ledger.touch(meta, meta.touched_at).await?;
        services.ledger.note_trouble(meta).await?;
    }
    services.reporter.try_report(&meta.id, 0).await;
    match &meta.trouble {
        _ if left == 0 => Ok(()),
        Some(trouble) => bail!("{left} parts are still to be fed: {}: {}", trouble.class, trouble.reason),
        None => bail!("{left} parts are still to be fed: the invocation's time is over"),
    }
}

/// Whether something is to be done here for a part: it has no job, or its job no rows, or they are to be uploaded once more.
fn needs_submit(part: &PartRecord) -> bool {
    match part.state {
        PartState::Planned | PartState::Created => true,
        PartState::Uploaded => part.repeat_due_at.is_some() && part.repeat_began_at.is_none(),
        _ => false,
    }
}

/// Marks the drop as being worked on and reports how far it has come, again and again, beside the uploads: a report that takes
/// long holds up none of them.
async fn beat(services: &Services, meta: &DropRecord) -> Infallible {
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // A long upload is no stall.
        if let Err(error) = services.ledger.touch(meta, Timestamp::now()).await {
            // The uploads under way matter more than its mark.
            tracing::warn!(drop = %meta.id, error = describe(&error), "the drop was not marked as being worked on");
        }
        services.reporter.try_report(&meta.id, 0).await;
    }
}

async fn feed_part(
    services: &Services,
    meta: &DropRecord,
    header: &Header,
    mut part: PartRecord,
    deadline: Deadline,
    stop: &AtomicBool,
    refusals: &Refusals,
) -> Result<Fed> {
    loop {
        if deadline.is_near() || stop.load(Ordering::Relaxed) {
            return Ok(Fed::Left);
        }
        let fed = match part.state {
            PartState::Planned => match create(services, meta, &part, refusals).await? {
                Created::Recorded(now) => {
                    part = *now;
                    continue;
                }
                Created::Not(fed) => fed,
            },
            PartState::Created => upload(services, meta, header, &part).await?,
            PartState::Uploaded => repeat(services, meta, header, &part).await?,
            _ => Fed::Done,
        };
        if matches!(&fed, Fed::Later(trouble) if STOPS_ALL.contains(&trouble.class.as_str())) {
            stop.store(true, Ordering::Relaxed);
        }
        return Ok(fed);
    }
}

/// Tells operators of a part that ended here, without its rows having been sent. Counted once: one attempt ends it.
pub(crate) fn note_failure(services: &Services, meta: &DropRecord, part: &PartRecord, failure: &PartFailure) {
    let (number, job) = (part.plan.number, part.job_id.as_deref());
    tracing::error!(drop = %meta.id, part = number, job, alarm = "job_failed", error = failure.reason, "a part's rows were not sent");
    services.metrics.count(Metric::JobsFailed, 1);
}

/// Cancels a job that will get no rows. If that fails, the sweep finds it.
pub(crate) async fn cancel(services: &Services, meta: &DropRecord, part: &PartRecord, job: &str) {
    if let Err(error) = services.api.cancel(job).await {
        let error = describe(&error.into());
        tracing::warn!(drop = %meta.id, part = part.plan.number, job, error, "an unused job was not cancelled; the sweep will");
    }
}

pub(crate) fn later(class: &str, reason: impl Into<String>, next: &str) -> Fed {
    Fed::Later(Problem::new(class, reason, next))
}
