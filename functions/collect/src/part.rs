//! Collecting one part: its rows, in the source's order, each with its answer, stored as a work file of this attempt's own.

use crate::results::{self, Fetched};
use crate::unjoined;
use anyhow::{Context, Result};
use jiff::Timestamp;
use moondrop_shared::answers::Answers;
use moondrop_shared::aws::Services;
use moondrop_shared::join::{Fate, Join};
use moondrop_shared::keys::Key;
use moondrop_shared::record::{Collected, Meta, Part};
use moondrop_shared::rows;
use moondrop_shared::source::{SourceReader, is_gone};
use moondrop_shared::store::ObjectWriter;
use moondrop_shared::tally::Tally;

/// Joins and stores a part, and records it. Of several attempts one gets its work file recorded; the others' are deleted.
pub(crate) async fn collect(services: &Services, meta: &Meta, part: &Part) -> Result<()> {
    let attempt = format!("{:x}", Timestamp::now().as_nanosecond());
    let key = Key::Work { drop: &meta.id, part: part.plan.number, attempt: &attempt }.to_string();
    let fate = fate(services, part).await?;
    let (written, tally, unjoined) = match write(services, meta, part, fate, &key).await {
        Ok((writer, tally)) => (writer, tally, false),
        Err(error) if is_gone(&error) => {
            tracing::error!(drop = %meta.id, part = part.plan.number, alarm = "source_gone", "the file is gone; the rows are stored in the API's order");
            let (written, tally) = unjoined::write(services, meta, part, &key).await?;
            (written, tally, true)
        }
        Err(error) => return Err(error),
    };
    let (foreign, doubled) = (tally.foreign, tally.doubled);
    let collected = Collected { key, bytes: written.bytes, digest: written.digest, unjoined, tally };
    // Exactly once: the first attempt to be recorded is the one whose rows are published.
    if services.ledger.record_collected(part, &collected).await? {
        let rows = collected.tally.rows;
        tracing::info!(drop = %meta.id, part = part.plan.number, job = part.job_id, evaluated = rows.evaluated, failed = rows.failed, rejected = rows.rejected, missing = rows.missing, foreign, doubled, "the part is collected");
        return Ok(());
    }
    // Another attempt was first; or it was this one, and the write was sent again after its answer was lost.
    let recorded = services.ledger.part(&meta.id, part.plan.number).await?.and_then(|part| part.collected);
    if recorded.is_none_or(|recorded| recorded.key != collected.key) {
        services.store.delete(&collected.key).await?;
    }
    Ok(())
}

/// What the part's rows get.
async fn fate(services: &Services, part: &Part) -> Result<Fate> {
    match (&part.failure, &part.job_id) {
        (Some(failure), _) if failure.lost => Ok(Fate::Lost(failure.reason.clone())),
        (Some(failure), _) => Ok(Fate::Failed(failure.reason.clone())),
        (None, Some(job)) => Ok(Fate::Answered(answers(services, job, part.plan.accepted).await?)),
        (None, None) => Ok(Fate::Answered(Answers::default())),
    }
}

async fn answers(services: &Services, job: &str, expected: u64) -> Result<Answers> {
    results::fetch(services, job, expected, |download, memory| {
        let (answers, read) = Answers::read(download, memory)?;
        Ok(Fetched { answered: answers.len() as u64, value: answers, read })
    })
    .await
}

async fn write(
    services: &Services,
    meta: &Meta,
    part: &Part,
    fate: Fate,
    key: &str,
) -> Result<(moondrop_shared::store::WrittenObject, Tally)> {
    let rejections = rows::rejections(&services.store, meta, &part.plan).await?;
    let mut join = Join::new(rows::header(meta)?, part.plan.clone(), rejections, fate);
    let mut reader = SourceReader::new(services.s3.clone(), meta.source.clone(), part.plan.offset..part.plan.end);
    store(services, key, part.plan.end - part.plan.offset, async |writer| {
        while let Some(bytes) = reader.next().await? {
            writer.write(&join.push(&bytes)?, None).await?;
        }
        let (rest, tally) = join.finish()?;
        writer.write(&rest, None).await?;
        Ok(tally)
    })
    .await
}

/// Stores what `fill` writes, or nothing.
pub(crate) async fn store<T>(
    services: &Services,
    key: &str,
    expected: u64,
    fill: impl AsyncFnOnce(&mut ObjectWriter) -> Result<T>,
) -> Result<(moondrop_shared::store::WrittenObject, T)> {
    let mut writer = services.store.begin(key, expected);
    let filled = async {
        let value = fill(&mut writer).await?;
        Ok((writer.finish(None).await.context("store the part's rows")?, value))
    }
    .await;
    if filled.is_err() {
        writer.abort().await;
    }
    filled
}
