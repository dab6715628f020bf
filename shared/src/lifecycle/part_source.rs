//! What it takes to walk a part's rows again: the header out of the drop's record, and the part's lines of `rejected.csv`.

use crate::check::rejected::Rejections;
use crate::csv::header::Header;
use crate::drop::DropRecord;
use crate::drop::object_key::ObjectKey;
use crate::plan::PlannedPart;
use crate::services::s3::results_bucket::ResultsBucket;
use anyhow::{Context, Result};

/// The header of a planned drop.
///
/// # Errors
/// If the drop has no plan, or its record was changed.
pub fn header(meta: &DropRecord) -> Result<Header> {
    let plan = meta.plan.as_ref().context("the drop has no plan")?;
    Header::parse(&plan.header).context("the header in the drop's record cannot be read")
}

/// The rejections of one part.
///
/// # Errors
/// If `rejected.csv` is not as it was written.
pub async fn rejections(store: &ResultsBucket, meta: &DropRecord, part: &PlannedPart) -> Result<Rejections> {
    if part.rejected_bytes == 0 {
        return Ok(Rejections::default());
    }
    let key = ObjectKey::Rejected { folder: &meta.folder }.to_string();
    let body = store.read(&key, Some((part.rejected_offset, part.rejected_bytes))).await?;
    let body = body.with_context(|| format!("{key} is gone, which says what to leave out"))?;
    Rejections::read(&body.collect().await.with_context(|| format!("read {key}"))?.into_bytes())
}
