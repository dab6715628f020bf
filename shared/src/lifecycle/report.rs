//! Writes `status.json` from the ledger.

use crate::drop::object_key::ObjectKey;
use crate::drop::status::Status;
use crate::services::ledger::Ledger;
use crate::services::s3::results_bucket::ResultsBucket;
use crate::source::DropId;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;

/// How often a write is tried again after another writer came between.
const ATTEMPTS: u32 = 10;

/// Keeps `status.json` in step with the ledger.
#[derive(Debug, Clone)]
pub struct Reporter {
    ledger: Ledger,
    store: ResultsBucket,
}

impl Reporter {
    /// A reporter from this ledger into this bucket.
    #[must_use]
    pub fn new(ledger: Ledger, store: ResultsBucket) -> Self {
        Reporter { ledger, store }
    }

    /// Writes a drop's `status.json`. What stands there is looked at *before* the ledger is read, and only that is replaced:
    /// so an older view never replaces a newer one, whoever else writes.
    ///
    /// # Errors
    /// If the ledger or S3 does not answer.
    pub async fn report(&self, drop: &DropId, rows_checked: u64) -> Result<Status> {
        for _ in 0..ATTEMPTS {
            let meta = self.ledger.meta(drop).await?.context("the drop has no record")?;
            let key = ObjectKey::Status { folder: &meta.folder }.to_string();
            let standing = self.store.read_small(&key).await?;
            let (meta, parts) =
                (self.ledger.meta(drop).await?.context("the drop has no record")?, self.ledger.parts(drop).await?);
            let status = Status::of(&meta, &parts, rows_checked, Timestamp::now());
            let body = serde_json::to_vec_pretty(&status).context("write status.json")?;
            if self.store.replace_small(&key, body, standing.as_ref().map(|(_, etag)| etag.as_str())).await? {
                return Ok(status);
            }
        }
        bail!("status.json is being written by too many others")
    }

    /// As [`Reporter::report`], where the work matters more than its report: a failure is logged, and the next change or tick
    /// reports again.
    pub async fn try_report(&self, drop: &DropId, rows_checked: u64) {
        if let Err(error) = self.report(drop, rows_checked).await {
            tracing::warn!(%drop, error = format!("{error:#}"), "status.json was not written");
        }
    }
}
