//! Uploading a part's rows to its job.

use crate::feed::{Fed, cancel, later, note_failure};
use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use moondrop_shared::csv::header::Header;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{SignedUrl, UPLOAD_URL_USED_FOR};
use moondrop_shared::lifecycle::part_source;
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::part::{PartFailure, PartRecord, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::transfer::TransferError;
use moondrop_shared::services::s3::drops_bucket::{SourceReader, is_gone};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Uploads the part's rows to the recorded URL. That it begins is recorded first: what was never begun was never sent.
pub(crate) async fn upload(services: &Services, meta: &DropRecord, header: &Header, part: &PartRecord) -> Result<Fed> {
    let (Some(url), Some(job), Some(created_at)) = (&part.upload_url, &part.job_id, part.created_at) else {
        bail!("part {} is CREATED without a job, a URL or a time", part.plan.number);
    };
    if Timestamp::now().duration_since(created_at) > UPLOAD_URL_USED_FOR {
        return Ok(Fed::Waits);
    }
    if let Err(TransferError::Host(host)) = services.transfer.check(url) {
        return Ok(Fed::Later(Problem::host_refused("wants the rows uploaded to", &host)));
    }
    // Read before the mark: what cannot be read for now was not sent, and must not count as if it were.
    let rows = Rows::open(services, meta, header, part).await;
    let rows = match rows {
        Err(error) if !is_gone(&error) => return Err(error.context(format!("read part {}", part.plan.number))),
        rows => rows,
    };
    let begun = match services.ledger.begin_upload(part, Timestamp::now()).await? {
        Ok(begun) => begun,
        // It has moved on: another attempt has uploaded it, or poll has claimed it.
        Err(now) => return Ok(if now.may_be_fed() && now.state != PartState::Abandoning { Fed::Done } else { Fed::Waits }),
    };
    match send(services, part, rows, url).await {
        Ok(()) => {
            services.ledger.record_upload(part, Timestamp::now()).await?;
            tracing::info!(drop = %meta.id, part = part.plan.number, job, rows = part.plan.accepted, bytes = part.plan.upload_bytes, "the part is uploaded");
            Ok(Fed::Done)
        }
        Err(Unsent::Source(error)) if is_gone(&error) => {
            let reason = "the file was overwritten or deleted before these rows were sent".to_owned();
            let failure = PartFailure { lost: false, reason };
            if services.ledger.fail_unfed(part, &begun, &failure, Timestamp::now()).await? {
                note_failure(services, meta, part, &failure);
                cancel(services, meta, part, job).await;
                return Ok(Fed::Done);
            }
            // An earlier upload may have taken effect: whether the job starts, poll sees.
            tracing::warn!(drop = %meta.id, part = part.plan.number, job, "the file is gone; whether its rows were sent before, poll finds out");
            Ok(Fed::Waits)
        }
        Err(Unsent::Source(error)) => Err(error.context(format!("read part {}", part.plan.number))),
        Err(Unsent::Upload(error)) => {
            let error = describe(&error);
            tracing::warn!(drop = %meta.id, part = part.plan.number, job, error, "the upload did not succeed");
            Ok(later("E_UPLOAD", "an upload did not succeed", "It will be tried again by itself."))
        }
    }
}

/// Uploads the same bytes once more to the same job, which has them and does not start: once in its life.
pub(crate) async fn repeat(services: &Services, meta: &DropRecord, header: &Header, part: &PartRecord) -> Result<Fed> {
    let (Some(url), Some(job), Some(created_at)) = (&part.upload_url, &part.job_id, part.created_at) else {
        return Ok(Fed::Done);
    };
    let now = Timestamp::now();
    let rows = Rows::open(services, meta, header, part).await;
    if rows.is_err() || now.duration_since(created_at) > UPLOAD_URL_USED_FOR || !services.ledger.begin_repeat(part, now).await?
    {
        return Ok(Fed::Done);
    }
    match send(services, part, rows, url).await {
        Ok(()) => {
            tracing::info!(drop = %meta.id, part = part.plan.number, job, "the part is uploaded once more, since its job did not start");
        }
        Err(Unsent::Source(error) | Unsent::Upload(error)) => {
            let error = describe(&error);
            tracing::warn!(drop = %meta.id, part = part.plan.number, job, error, "the repeated upload did not succeed; there is no other");
        }
    }
    Ok(Fed::Done)
}

/// Why rows were not sent, or not for sure.
enum Unsent {
    /// They could not be read: the body ended short of its length, and nothing was accepted.
    Source(anyhow::Error),
    /// The upload failed; it may have taken effect.
    Upload(anyhow::Error),
}

/// A part's rows, of which the first are read.
struct Rows {
    reader: SourceReader,
    encoder: UploadEncoder,
    first: Option<Bytes>,
}

impl Rows {
    async fn open(services: &Services, meta: &DropRecord, header: &Header, part: &PartRecord) -> Result<Rows> {
        let rejections = part_source::rejections(&services.store, meta, &part.plan).await?;
        let mut reader = SourceReader::new(services.s3.clone(), meta.source.clone(), part.plan.offset..part.plan.end);
        let encoder = UploadEncoder::new(header.clone(), part.plan.clone(), rejections);
        let first = reader.next().await?;
        Ok(Rows { reader, encoder, first })
    }

    /// The next bytes of the source.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.reader.next().await,
        }
    }
}

async fn send(services: &Services, part: &PartRecord, rows: Result<Rows>, url: &SignedUrl) -> Result<(), Unsent> {
    let rows = rows.map_err(Unsent::Source)?;
    let broken: Arc<Mutex<Option<anyhow::Error>>> = Arc::default();
    let given = Arc::new(AtomicU64::new(0));
    let body = upload_body(rows, Arc::clone(&broken), Arc::clone(&given));
    let uploaded = services.transfer.upload(url, part.plan.upload_bytes, body).await;
    // The cause is the body's own error, if it had one: the client only says that the body failed.
    let cause = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (uploaded, cause) {
        // Only a body that ended short of its length was certainly refused.
        (_, Some(error)) if given.load(Ordering::Relaxed) < part.plan.upload_bytes => Err(Unsent::Source(error)),
        (_, Some(error)) => Err(Unsent::Upload(error)),
        (Ok(()), None) => Ok(()),
        (Err(error), None) => Err(Unsent::Upload(error.into())),
    }
}

/// The upload's bytes, made from the source's while they are sent.
fn upload_body(
    rows: Rows,
    broken: Arc<Mutex<Option<anyhow::Error>>>,
    given: Arc<AtomicU64>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send {
    let steps = stream::unfold(Some(rows), |state| async move {
        let mut rows = state?;
        match rows.next().await {
            Ok(Some(bytes)) => match rows.encoder.push(&bytes) {
                Ok(out) => Some((Ok(out), Some(rows))),
                Err(error) => Some((Err(error), None)),
            },
            Ok(None) => Some((rows.encoder.finish(), None)),
            Err(error) => Some((Err(error), None)),
        }
    });
    steps.filter_map(move |step| {
        let step = match step {
            Ok(out) if out.is_empty() => None,
            Ok(out) => {
                given.fetch_add(out.len() as u64, Ordering::Relaxed);
                Some(Ok(out.into()))
            }
            Err(error) => {
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some(Err(std::io::Error::other("the rows cannot be read")))
            }
        };
        std::future::ready(step)
    })
}
