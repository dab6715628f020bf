//! Feeding a planned drop: for each part a job is created, recorded, and given its rows.
//!
//! What makes it exactly once stands in [`moondrop_shared::ledger`]: nothing is uploaded before the job's id and address are
//! recorded, and whoever comes later uploads the same bytes to the recorded address.

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::aws::Services;
use moondrop_shared::batch_api::ApiError;
use moondrop_shared::csv::header::Header;
use moondrop_shared::job::JobName;
use moondrop_shared::metrics::Metric;
use moondrop_shared::part::UploadEncoder;
use moondrop_shared::record::{DropState, HOST_REFUSED, KEY_REFUSED, Meta, Part, PartFailure, PartState, Trouble};
use moondrop_shared::rows;
use moondrop_shared::runtime::{Deadline, describe};
use moondrop_shared::signed::SignedError;
use moondrop_shared::source::{SourceReader, is_gone};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

/// The age at which an upload address is used no more: 15 minutes before it runs out, so that a long upload still ends in
/// time.
const URL_USED_FOR: SignedDuration = SignedDuration::from_mins(3 * 60 + 45);
/// From when on a job that was never fed is an orphan: an hour after its address has run out, and some.
const SWEEP_AFTER: SignedDuration = SignedDuration::from_mins(5 * 60 + 10);
/// How often `status.json` tells how far the uploads have come.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What stops one part stops the others: the key, the limit of requests, the network, a host that is not allowed.
const STOPS_ALL: [&str; 4] = [KEY_REFUSED, "E_API_BUSY", "E_API", HOST_REFUSED];

/// What became of a part here.
enum Fed {
    /// Nothing is left to do for it here: it is fed, or has ended.
    Done,
    /// Its address is too old to be used; poll abandons the job, and the part comes back.
    Waits,
    /// It was not fed, since time or the drop's turn was over.
    Left,
    /// It was not fed, for this reason; again may help.
    Later(Trouble),
}

/// Feeds every part that needs it, several at once, and moves the drop to `evaluating` when all are fed.
pub(crate) async fn feed(services: &Services, meta: &mut Meta, deadline: Deadline) -> Result<()> {
    let parts = services.ledger.parts(&meta.id).await?;
    let hungry: Vec<Part> = parts.into_iter().filter(|p| matches!(p.state, PartState::Planned | PartState::Created)).collect();
    if !hungry.is_empty() {
        // Before the first create: a job whose id never reached us is found by this.
        services.ledger.owe_sweep(&meta.id, Timestamp::now() + SWEEP_AFTER).await?;
    }
    let header = rows::header(meta)?;
    let stop = AtomicBool::new(false);
    let mut feeding = stream::iter(hungry)
        .map(|part| {
            let span = tracing::error_span!("part", part = part.plan.number);
            let fed = async {
                // Ended by its own time and not by Lambda, an invocation still tells how far it has come. A job that is being
                // created then is found by the sweep, as after a kill.
                let feeding = feed_part(services, meta, &header, part, deadline, &stop);
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
                    trouble.get_or_insert(Trouble::new("E_PART", "a part of the file could not be read or recorded", again));
                }
            }
        }
    };
    tokio::select! {
        () = all_fed => {}
        never = beat(services, meta) => match never {},
    }
    drop(feeding);
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

/// Marks the drop as being worked on and reports how far it has come, again and again, beside the uploads: a report that takes
/// long holds up none of them.
async fn beat(services: &Services, meta: &Meta) -> Infallible {
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
    meta: &Meta,
    header: &Header,
    mut part: Part,
    deadline: Deadline,
    stop: &AtomicBool,
) -> Result<Fed> {
    loop {
        if deadline.is_near() || stop.load(Ordering::Relaxed) {
            return Ok(Fed::Left);
        }
        let fed = match part.state {
            PartState::Planned => match create(services, meta, &part).await? {
                Created::Recorded(now) => {
                    part = *now;
                    continue;
                }
                Created::Not(fed) => fed,
            },
            PartState::Created => upload(services, meta, header, &part).await?,
            _ => Fed::Done,
        };
        if matches!(&fed, Fed::Later(trouble) if STOPS_ALL.contains(&trouble.class.as_str())) {
            stop.store(true, Ordering::Relaxed);
        }
        return Ok(fed);
    }
}

/// What became of a job that was to be created.
enum Created {
    /// One is recorded, this attempt's or another's: the part as it stands now.
    Recorded(Box<Part>),
    /// None is.
    Not(Fed),
}

/// Creates a job and records it.
async fn create(services: &Services, meta: &Meta, part: &Part) -> Result<Created> {
    let settings = &services.settings;
    let name = JobName { stack: settings.stack.clone(), drop: meta.id.clone(), part: part.plan.number }.to_string();
    let policy = meta.policy.as_deref().context("the drop has no policy")?;
    // Before the call, so that the address is never taken for younger than it is.
    let created_at = Timestamp::now();
    let refused = match services.api.create(&name, policy).await {
        Ok(job) => {
            // Exactly once: of all attempts, the one that gets its job recorded feeds it; the others' are cancelled unfed. The
            // record decides, not the write's answer: that may be the refusal of a write sent twice.
            let recorded = services.ledger.record_job(part, &job.id, &job.upload_url, created_at).await?;
            let now = services.ledger.part(&meta.id, part.plan.number).await?.context("the part has no record")?;
            if now.job_id.as_deref() == Some(&job.id) {
                services.metrics.count(Metric::JobsCreated, 1);
            } else if !recorded {
                tracing::info!(drop = %meta.id, part = part.plan.number, job = job.id, "another attempt was first; its job stands");
                cancel(services, meta, part, &job.id).await;
            }
            return Ok(Created::Recorded(Box::new(now)));
        }
        Err(ApiError::Refused(words)) => words,
        Err(ApiError::Key) => return Ok(Created::Not(Fed::Later(Trouble::key_refused()))),
        Err(error @ ApiError::NoKey(_)) => {
            tracing::warn!(drop = %meta.id, part = part.plan.number, error = describe(&error.into()), "no job was created");
            return Ok(Created::Not(Fed::Later(Trouble::no_key())));
        }
        Err(ApiError::Busy { .. }) => {
            return Ok(Created::Not(later(
                "E_API_BUSY",
                "the API takes no more requests for now (429)",
                "It will be tried again by itself; a daily limit may take until tomorrow.",
            )));
        }
        Err(error @ (ApiError::Unreachable(_) | ApiError::Unknown(_) | ApiError::NotFound(_))) => {
            let error = describe(&error.into());
            tracing::warn!(drop = %meta.id, part = part.plan.number, error, "no job was created, or none we know of");
            return Ok(Created::Not(later(
                "E_API",
                "the API could not be reached, or gave no clear answer",
                "It will be tried again by itself.",
            )));
        }
    };
    let failure = PartFailure { lost: false, reason: format!("the API refuses to make a job: {refused}") };
    if services.ledger.refuse_part(part, &failure).await? {
        note_failure(services, meta, part, &failure);
    }
    Ok(Created::Not(Fed::Done))
}

/// Uploads the part's rows to the recorded address.
async fn upload(services: &Services, meta: &Meta, header: &Header, part: &Part) -> Result<Fed> {
    let (Some(url), Some(job), Some(created_at)) = (&part.upload_url, &part.job_id, part.created_at) else {
        bail!("part {} is CREATED without a job, an address or a time", part.plan.number);
    };
    if Timestamp::now().duration_since(created_at) > URL_USED_FOR {
        return Ok(Fed::Waits);
    }
    let rejections = rows::rejections(&services.store, meta, &part.plan).await?;
    let reader = SourceReader::new(services.s3.clone(), meta.source.clone(), part.plan.offset..part.plan.end);
    let encoder = UploadEncoder::new(header.clone(), part.plan.clone(), rejections);
    let broken: Arc<Mutex<Option<anyhow::Error>>> = Arc::default();
    let body = upload_body(reader, encoder, Arc::clone(&broken));
    let uploaded = services.transfer.upload(url, part.plan.upload_bytes, body).await;
    // The cause is the body's own error, if it had one: the client only says that the body failed.
    let cause = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (uploaded, cause) {
        (Ok(()), None) => {
            services.ledger.record_upload(part, Timestamp::now()).await?;
            tracing::info!(drop = %meta.id, part = part.plan.number, job, rows = part.plan.accepted, bytes = part.plan.upload_bytes, "the part is uploaded");
            Ok(Fed::Done)
        }
        (_, Some(error)) if is_gone(&error) => {
            let reason = "the file was overwritten or deleted before these rows were sent".to_owned();
            let failure = PartFailure { lost: false, reason };
            if services.ledger.fail_unfed(part, &failure).await? {
                note_failure(services, meta, part, &failure);
                cancel(services, meta, part, job).await;
            }
            Ok(Fed::Done)
        }
        (_, Some(error)) => Err(error.context(format!("read part {}", part.plan.number))),
        (Err(SignedError::Host(host)), None) => Ok(Fed::Later(Trouble::host_refused("wants the rows uploaded to", &host))),
        (Err(error), None) => {
            let error = describe(&error.into());
            tracing::warn!(drop = %meta.id, part = part.plan.number, job, error, "the upload did not succeed");
            Ok(later("E_UPLOAD", "an upload did not succeed", "It will be tried again by itself."))
        }
    }
}

/// The upload's bytes, made from the source's while they are sent.
fn upload_body(
    reader: SourceReader,
    encoder: UploadEncoder,
    broken: Arc<Mutex<Option<anyhow::Error>>>,
) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send {
    let steps = stream::unfold(Some((reader, encoder)), |state| async move {
        let (mut reader, mut encoder) = state?;
        match reader.next().await {
            Ok(Some(bytes)) => match encoder.push(&bytes) {
                Ok(out) => Some((Ok(out), Some((reader, encoder)))),
                Err(error) => Some((Err(error), None)),
            },
            Ok(None) => Some((encoder.finish(), None)),
            Err(error) => Some((Err(error), None)),
        }
    });
    steps.filter_map(move |step| {
        let step = match step {
            Ok(out) if out.is_empty() => None,
            Ok(out) => Some(Ok(out.into())),
            Err(error) => {
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some(Err(std::io::Error::other("the rows cannot be read")))
            }
        };
        std::future::ready(step)
    })
}

/// Tells operators of a part that ended here, without its rows having been sent. Counted once: one attempt ends it.
fn note_failure(services: &Services, meta: &Meta, part: &Part, failure: &PartFailure) {
    let (number, job) = (part.plan.number, part.job_id.as_deref());
    tracing::error!(drop = %meta.id, part = number, job, alarm = "job_failed", error = failure.reason, "a part's rows were not sent");
    services.metrics.count(Metric::JobsFailed, 1);
}

/// Cancels a job that will get no rows. If that fails, the sweep finds it.
async fn cancel(services: &Services, meta: &Meta, part: &Part, job: &str) {
    if let Err(error) = services.api.cancel(job).await {
        let error = describe(&error.into());
        tracing::warn!(drop = %meta.id, part = part.plan.number, job, error, "an unused job was not cancelled; the sweep will");
    }
}

fn later(class: &str, reason: &str, next: &str) -> Fed {
    Fed::Later(Trouble::new(class, reason, next))
}
