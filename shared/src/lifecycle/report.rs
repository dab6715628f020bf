//! Writes `status.json`.

use crate::drop::DropRecord;
use crate::drop::status::Status;
use crate::error_chain::describe;
use crate::services::Services;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;

/// How many times a write is attempted when other writers come in between.
const ATTEMPTS: u32 = 10;

/// Writes a drop's `status.json` from the ledger. It reads the current object *before* the ledger,
/// and replaces only that object: so an older state never replaces a newer one.
///
/// # Errors
/// If the ledger or S3 does not answer.
pub async fn report(services: &Services, drop: &DropRecord) -> Result<Status> {
    write_status(services, drop, 0).await
}

/// As [`report`], but a failure is only logged, since the work matters more: the next change or
/// tick reports again.
pub async fn try_report(services: &Services, drop: &DropRecord) {
    report_check(services, drop, 0).await;
}

/// As [`try_report`], while the file is being checked and `rows_checked` rows were read.
pub async fn report_check(services: &Services, drop: &DropRecord, rows_checked: u64) {
    if let Err(error) = write_status(services, drop, rows_checked).await {
        tracing::warn!(drop = %drop.id, error = describe(&error), "status.json was not written");
    }
}

async fn write_status(services: &Services, drop: &DropRecord, rows_checked: u64) -> Result<Status> {
    let (key, ledger) = (drop.status_key(), &services.ledger);
    for _ in 0..ATTEMPTS {
        let current = services.results.read_small(&key).await?;
        let drop = ledger.drop_record(&drop.id).await?.context("the drop has no record")?;
        let parts = ledger.parts(&drop.id).await?;
        let status = Status::of(&drop, &parts, rows_checked, Timestamp::now());
        let body = serde_json::to_vec_pretty(&status).context("write status.json")?;
        let etag = current.as_ref().map(|(_, etag)| etag.as_str());
        if services.results.replace_small(&key, body, etag).await? {
            return Ok(status);
        }
    }
    bail!("other writers replaced status.json {ATTEMPTS} times in a row")
}
