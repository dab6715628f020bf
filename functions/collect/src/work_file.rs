//! A work file: the rows of a part, stored by one attempt, until the drop is published.

use crate::collector::Collector;
use anyhow::{Context, Result};
use jiff::Timestamp;
use moondrop_shared::object_key::ObjectKey;
use moondrop_shared::part::{CollectedPart, PartState};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::object_writer::ObjectWriter;

pub(crate) struct WorkFile {
    key: ObjectKey,
    bytes: u64,
    digest: String,
    etag: Option<String>,
    pub(crate) tally: Tally,
    /// The rows are not joined to their source, which is gone.
    source_missing: bool,
}

/// Stores what `fill` writes, about `expected` bytes, or nothing if it fails; `fill` returns the
/// counts of the rows.
pub(crate) async fn store(
    collector: &Collector<'_>,
    expected: u64,
    fill: impl AsyncFnOnce(&mut ObjectWriter) -> Result<Tally>,
) -> Result<WorkFile> {
    let filled = store_if(collector, expected, async |writer| fill(writer).await.map(Some)).await?;
    filled.context("nothing was written")
}

/// As [`store`]; stores nothing if `fill` returns no counts.
pub(crate) async fn store_if(
    collector: &Collector<'_>,
    expected: u64,
    fill: impl AsyncFnOnce(&mut ObjectWriter) -> Result<Option<Tally>>,
) -> Result<Option<WorkFile>> {
    let Collector { services, drop, part, .. } = collector;
    let key = ObjectKey::work(&drop.id, part.plan.number, Timestamp::now());
    let mut writer = services.results.begin(&key, expected);
    let stored = async {
        let Some(tally) = fill(&mut writer).await? else { return Ok(None) };
        let written = writer.finish(None).await.context("store the part's rows")?;
        Ok(Some(WorkFile {
            key,
            bytes: written.bytes,
            digest: written.digest,
            etag: written.etag,
            tally,
            source_missing: false,
        }))
    }
    .await;
    if !matches!(stored, Ok(Some(_))) {
        writer.abort().await;
    }
    stored
}

impl WorkFile {
    pub(crate) fn without_source(self) -> Self {
        WorkFile { source_missing: true, ..self }
    }

    /// Deletes it: its rows do not belong to the part.
    pub(crate) async fn discard(self, collector: &Collector<'_>) -> Result<()> {
        collector.services.results.delete(&self.key).await
    }

    /// Records it as the part's rows. Of several attempts, one gets its work file recorded; the
    /// others delete theirs. Returns whether the part is collected.
    pub(crate) async fn record(self, collector: &Collector<'_>) -> Result<bool> {
        let Collector { services, drop, part, .. } = collector;
        let WorkFile { key, bytes, digest, etag, tally, source_missing } = self;
        let number = part.plan.number;
        if source_missing {
            tracing::error!(
                drop = %drop.id, part = number, alarm = "source_missing",
                "the file is gone; the rows are stored in the API's order"
            );
        }
        let collected = CollectedPart { key, bytes, digest, etag, source_missing, tally };
        // Exactly once: the first attempt to be recorded is the one whose rows are published.
        let recorded = services.ledger.record_collected(part, &collected).await?;
        if !recorded.ours {
            services.results.delete(&collected.key).await?;
            return Ok(recorded.record.state == PartState::Collected);
        }
        let (rows, job) = (collected.tally.rows, part.job_id.as_deref());
        let Tally { unexpected, duplicates, unreadable_labels, .. } = collected.tally;
        services.metrics.count(Metric::LabelsUnreadable, unreadable_labels);
        let (evaluated, failed, rejected, missing) =
            (rows.evaluated, rows.failed, rows.rejected, rows.missing);
        tracing::info!(
            drop = %drop.id, part = number, job, evaluated, failed, rejected, missing, unexpected,
            duplicates,
            "the part is collected"
        );
        Ok(true)
    }
}
