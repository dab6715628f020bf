//! Writes `results.safe.csv` after `results.csv` is published and before the drop's end is announced.
//! Without it the drop ends all the same: after three attempts, with a warning.

use anyhow::{Context, Result, ensure};
use moondrop_shared::csv::safe::SafeCells;
use moondrop_shared::drop::{DropRecord, SafeResults};
use moondrop_shared::error_chain::describe;
use moondrop_shared::services::Services;
use moondrop_shared::services::s3::object_writer::ObjectWriter;
use moondrop_shared::services::s3::results_bucket::Written;

/// After how many attempts that did not succeed the drop ends without it.
const ATTEMPTS: u32 = 3;

/// Writes `results.safe.csv` if the drop is published and still lacks it; returns the drop's record.
/// An attempt counts from its beginning: one that is killed counts, too.
///
/// # Errors
/// If it was not written and may be tried again, or the ledger does not answer.
pub(crate) async fn write_if_due(services: &Services, drop: DropRecord) -> Result<DropRecord> {
    if !drop.is_safe_due() {
        return Ok(drop);
    }
    if drop.safe_attempts >= ATTEMPTS {
        return settle(services, &drop, SafeResults::Failed).await;
    }
    let begun = services.ledger.begin_safe(&drop).await?;
    if !begun.ours {
        // Another attempt has begun; it goes on to the drop's end.
        return Ok(begun.record);
    }
    match write(services, &begun.record).await {
        Ok(()) => settle(services, &drop, SafeResults::Written).await,
        Err(error) => {
            let attempts = begun.record.safe_attempts;
            tracing::error!(
                drop = %drop.id, attempts, error = describe(&error),
                "results.safe.csv was not written"
            );
            match attempts >= ATTEMPTS {
                true => settle(services, &drop, SafeResults::Failed).await,
                false => Err(error.context("write results.safe.csv")),
            }
        }
    }
}

async fn settle(services: &Services, drop: &DropRecord, safe: SafeResults) -> Result<DropRecord> {
    Ok(services.ledger.settle_safe(&drop.id, safe).await?.record)
}

async fn write(services: &Services, drop: &DropRecord) -> Result<()> {
    // A cell grows by one byte at most.
    let expected = drop.results_bytes.unwrap_or_default().saturating_mul(2);
    let mut writer = services.results.begin(&drop.safe_key(), expected);
    let written = copy(services, drop, &mut writer).await;
    if written.is_err() {
        writer.abort().await;
    }
    written
}

async fn copy(services: &Services, drop: &DropRecord, writer: &mut ObjectWriter) -> Result<()> {
    let digest = Some(drop.id.as_str());
    let body = services.results.read(&drop.results_key(), None).await?;
    let mut body = body.context("results.csv is gone")?;
    let (mut cells, mut bytes) = (SafeCells::default(), 0);
    while let Some(piece) = body.next().await {
        let piece = piece.context("read results.csv")?;
        bytes += piece.len() as u64;
        writer.write(&cells.push(&piece), digest).await?;
    }
    ensure!(
        drop.results_bytes == Some(bytes),
        "results.csv has {bytes} bytes, not those published"
    );
    let written = writer.finish(digest).await?;
    ensure!(written.written != Written::Conflict, "there is another results.safe.csv in its place");
    Ok(())
}
