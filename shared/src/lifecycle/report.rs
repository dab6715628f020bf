//! Writes `status.json`, and `parts.json` beside it if there are many parts.

use crate::drop::stack::StackProblems;
use crate::drop::status::{MOST_PARTS, PartsFile, Snapshot, Status};
use crate::drop::{DropRecord, DropState};
use crate::error_chain::describe;
use crate::services::Services;
use crate::source::DropId;
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

/// As [`report`], but a failure is only logged, since the work matters more. Whether it succeeded.
pub async fn try_report(services: &Services, drop: &DropRecord) -> bool {
    report_check(services, drop, 0).await
}

/// As [`try_report`], while the file is being checked and `rows_checked` rows were read.
pub async fn report_check(services: &Services, drop: &DropRecord, rows_checked: u64) -> bool {
    let written = write_status(services, drop, rows_checked).await;
    if let Err(error) = &written {
        tracing::warn!(drop = %drop.id, error = describe(error), "status.json was not written");
    }
    written.is_ok()
}

/// A report that a function has to make of what it changes. If it dies before, poll makes it.
#[derive(Debug)]
pub struct DueReport {
    name: String,
}

impl DueReport {
    /// Records that the report is due, before anything is changed.
    ///
    /// # Errors
    /// If the ledger does not answer.
    pub async fn begin(services: &Services, drop_id: &DropId) -> Result<Self> {
        let name = services.ledger.report_name();
        services.ledger.begin_report(drop_id, &name).await?;
        Ok(DueReport { name })
    }

    /// Makes the report. If it fails, it stays due.
    pub async fn make(self, services: &Services, drop: &DropRecord) {
        if !try_report(services, drop).await {
            return;
        }
        if let Err(error) = services.ledger.end_report(&drop.id, &self.name).await {
            tracing::warn!(
                drop = %drop.id, error = describe(&error),
                "a report that was made stays due; poll makes it once more"
            );
        }
    }
}

async fn write_status(services: &Services, drop: &DropRecord, rows_checked: u64) -> Result<Status> {
    let (status_key, parts_key) = (drop.status_key(), drop.parts_key());
    let (ledger, bucket) = (&services.ledger, &services.results);
    let mut many = drop.plan.as_ref().is_some_and(|plan| plan.parts as usize > MOST_PARTS);
    for _ in 0..ATTEMPTS {
        let current = bucket.read_small(&status_key).await?;
        let current_parts = if many { bucket.read_small(&parts_key).await? } else { None };
        let drop = &ledger.drop_record(&drop.id).await?.context("the drop has no record")?;
        if !many && drop.plan.as_ref().is_some_and(|plan| plan.parts as usize > MOST_PARTS) {
            // Planned since: parts.json is read before the records, too.
            many = true;
            continue;
        }
        let parts = &ledger.parts(&drop.id).await?;
        let stack = match drop.state {
            DropState::Uploading | DropState::Evaluating => ledger.stack_problems().await?,
            _ => StackProblems::default(),
        };
        let snapshot =
            Snapshot { drop, parts, stack: &stack, checked: rows_checked, now: Timestamp::now() };
        let status = Status::of(&snapshot);
        if status.files.parts.is_some() {
            let all = serde_json::to_vec(&PartsFile::of(&snapshot)).context("write parts.json")?;
            let etag = current_parts.as_ref().map(|(_, etag)| etag.as_str());
            if !bucket.replace_small(&parts_key, all, etag).await? {
                continue;
            }
        }
        let body = serde_json::to_vec_pretty(&status).context("write status.json")?;
        let etag = current.as_ref().map(|(_, etag)| etag.as_str());
        if bucket.replace_small(&status_key, body, etag).await? {
            return Ok(status);
        }
    }
    bail!("other writers replaced status.json {ATTEMPTS} times in a row")
}
