//! A part, opened again to be uploaded or joined: the header from the drop's record, the part's
//! lines of `rejected.csv`, and its range of the source.

use crate::check::rejected::Rejections;
use crate::csv::header::Header;
use crate::drop::DropRecord;
use crate::plan::PlannedPart;
use crate::services::Services;
use crate::services::s3::source_reader::SourceReader;
use anyhow::{Context, Result};

/// What is needed to read a part's rows again.
#[derive(Debug)]
pub struct PartSource {
    pub header: Header,
    pub rejections: Rejections,
    /// Nothing is read yet.
    pub reader: SourceReader,
}

impl PartSource {
    /// Opens a part of a planned drop.
    ///
    /// # Errors
    /// If S3 does not answer, or the record or `rejected.csv` was changed.
    pub async fn open(services: &Services, drop: &DropRecord, part: &PlannedPart) -> Result<Self> {
        Ok(PartSource {
            header: header(drop)?,
            rejections: rejections(services, drop, part).await?,
            reader: services.drops.read(&drop.source, part.offset..part.end),
        })
    }
}

/// The header of a planned drop's file.
///
/// # Errors
/// If the drop has no plan, or its record was changed.
pub fn header(drop: &DropRecord) -> Result<Header> {
    let plan = drop.plan.as_ref().context("the drop has no plan")?;
    Header::parse_mapped(&plan.header, drop.rules, drop.mapping())
        .context("the header in the drop's record cannot be read")
}

async fn rejections(
    services: &Services,
    drop: &DropRecord,
    part: &PlannedPart,
) -> Result<Rejections> {
    if part.rejected_bytes == 0 {
        return Ok(Rejections::default());
    }
    let key = drop.decided_rejections_key();
    let body =
        services.results.read(&key, Some((part.rejected_offset, part.rejected_bytes))).await?;
    let body = body.with_context(|| format!("{key}, which lists the rejected rows, is gone"))?;
    Rejections::read(&body.collect().await.with_context(|| format!("read {key}"))?.into_bytes())
}
