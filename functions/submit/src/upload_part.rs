//! Uploads a part's rows to its job.

use crate::outcome::{Cause, PartOutcome, cancel, log_failure};
use anyhow::{Result, bail};
use bytes::Bytes;
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::drop::stack::StackCause;
use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{SignedUrl, UPLOAD_URL_USED_FOR};
use moondrop_shared::lifecycle::{PartSource, Seen};
use moondrop_shared::part::upload::UploadEncoder;
use moondrop_shared::part::{PartFailure, PartRecord, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::transfer::{TransferError, UploadBody};
use moondrop_shared::services::ledger::Upload;
use moondrop_shared::services::s3::source_reader::{SourceReader, is_gone};

/// Uploads the part's rows to the recorded URL. It records the beginning first: without that
/// record, nothing was sent.
pub(crate) async fn upload_part(
    services: &Services,
    drop: &DropRecord,
    part: &PartRecord,
) -> Result<PartOutcome> {
    let number = part.plan.number;
    let (Some(url), Some(job), Some(created_at)) =
        (&part.upload_url, &part.job_id, part.created_at)
    else {
        bail!("part {number} is CREATED without a job, a URL or a time");
    };
    if Timestamp::now().duration_since(created_at) > UPLOAD_URL_USED_FOR {
        return Ok(PartOutcome::Waits);
    }
    if let Err(TransferError::Host(host)) = services.transfer.check(url) {
        let seen = Seen::host_refused(StackCause::UploadHost, "wants the rows uploaded to", &host);
        return Ok(PartOutcome::Later(Cause::Stack(seen)));
    }
    // Read before the beginning is recorded: a part that cannot be read must not look as if it was
    // sent.
    let rows = match Rows::open(services, drop, part).await {
        Err(error) if !is_gone(&error) => return Err(error.context(format!("read part {number}"))),
        rows => rows,
    };
    let begun = match services.ledger.begin_upload(part, Timestamp::now()).await? {
        Upload::Begun(begun) => begun,
        // Another attempt has uploaded the part, or poll has claimed it.
        Upload::MovedOn(now) if now.may_be_sent() && now.state != PartState::Abandoning => {
            return Ok(PartOutcome::Done);
        }
        Upload::MovedOn(_) => return Ok(PartOutcome::Waits),
    };
    match send(services, part, rows, url).await {
        Ok(()) => {
            services.ledger.record_upload(part, Timestamp::now()).await?;
            let (rows, bytes) = (part.plan.accepted, part.plan.upload_bytes);
            tracing::info!(
                drop = %drop.id, part = number, job, rows, bytes,
                "the part is uploaded"
            );
            Ok(PartOutcome::Done)
        }
        Err(TransferError::Source(error)) if is_gone(&error) => {
            let reason = "the file was overwritten or deleted before these rows were sent";
            let failure = PartFailure::failed(reason);
            if services.ledger.fail_unsent(&begun, &failure, Timestamp::now()).await?.ours {
                log_failure(part, &failure);
                cancel(services, part, job).await;
                return Ok(PartOutcome::Done);
            }
            // An earlier upload may have taken effect: poll sees whether the job starts.
            tracing::warn!(
                drop = %drop.id, part = number, job,
                "the file is gone; poll finds out whether its rows were sent before"
            );
            Ok(PartOutcome::Waits)
        }
        Err(TransferError::Source(error)) => Err(error.context(format!("read part {number}"))),
        Err(error) => {
            let error = describe(&error.into());
            tracing::warn!(drop = %drop.id, part = number, job, error, "the upload failed");
            Ok(PartOutcome::Later(Cause::Part(Problem::upload_failed())))
        }
    }
}

/// Uploads the same bytes once more to a job that does not start; at most once per job.
pub(crate) async fn repeat_part(
    services: &Services,
    drop: &DropRecord,
    part: &PartRecord,
) -> Result<PartOutcome> {
    let (Some(url), Some(job), Some(created_at)) =
        (&part.upload_url, &part.job_id, part.created_at)
    else {
        return Ok(PartOutcome::Done);
    };
    let (number, now) = (part.plan.number, Timestamp::now());
    let rows = Rows::open(services, drop, part).await;
    let is_late = now.duration_since(created_at) > UPLOAD_URL_USED_FOR;
    if rows.is_err() || is_late || !services.ledger.begin_repeat(part, now).await?.ours {
        return Ok(PartOutcome::Done);
    }
    match send(services, part, rows, url).await {
        Ok(()) => {
            tracing::info!(
                drop = %drop.id, part = number, job,
                "the part is uploaded once more, since its job did not start"
            );
        }
        Err(error) => {
            let error = describe(&error.into());
            tracing::warn!(
                drop = %drop.id, part = number, job, error,
                "the repeated upload failed; it is not repeated again"
            );
        }
    }
    Ok(PartOutcome::Done)
}

/// A part's rows, whose first bytes are read.
struct Rows {
    reader: SourceReader,
    encoder: UploadEncoder,
    first: Option<Bytes>,
}

impl Rows {
    async fn open(services: &Services, drop: &DropRecord, part: &PartRecord) -> Result<Rows> {
        let PartSource { header, rejections, mut reader } =
            PartSource::open(services, drop, &part.plan).await?;
        let encoder = UploadEncoder::new(header, part.plan.clone(), rejections);
        let first = reader.next().await?;
        Ok(Rows { reader, encoder, first })
    }

    /// Encodes the source's bytes while they are sent.
    async fn write(mut self, body: &mut UploadBody) -> Result<()> {
        let mut bytes = self.first;
        while let Some(source) = bytes {
            for piece in self.encoder.push(&source)? {
                body.send(piece).await;
            }
            bytes = self.reader.next().await?;
        }
        body.send(self.encoder.finish()?).await;
        Ok(())
    }
}

async fn send(
    services: &Services,
    part: &PartRecord,
    rows: Result<Rows>,
    url: &SignedUrl,
) -> Result<(), TransferError> {
    let rows = rows.map_err(TransferError::Source)?;
    services.transfer.upload(url, part.plan.upload_bytes, async |body| rows.write(body).await).await
}
