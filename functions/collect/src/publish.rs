//! Publishing a drop: its parts one after the other, in one object that appears whole or not at all.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use moondrop_shared::drop::object_key::ObjectKey;
use moondrop_shared::drop::{DropRecord, DropState};
use moondrop_shared::lifecycle::conclude::conclude;
use moondrop_shared::lifecycle::part_source;
use moondrop_shared::part::join::results_header;
use moondrop_shared::part::{CollectedPart, PartRecord, PartState};
use moondrop_shared::problem::Problem;
use moondrop_shared::results::tally::Tally;
use moondrop_shared::services::Services;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::results_bucket::{ObjectWriter, Written, WrittenObject};
use sha2::{Digest, Sha256};

/// Publishes the drop if every part of it is collected.
pub(crate) async fn publish_if_last(services: &Services, mut meta: DropRecord) -> Result<()> {
    let parts = services.ledger.parts(&meta.id).await?;
    let planned = meta.plan.as_ref().map_or(0, |plan| plan.parts as usize);
    if parts.len() != planned || parts.iter().any(|p| p.state != PartState::Collected) {
        return Ok(());
    }
    let collected: Vec<&CollectedPart> = parts.iter().filter_map(|p| p.collected.as_ref()).collect();
    let tally = add_up(&meta, &collected)?;
    // Whoever publishes is at work: poll need not ask for it again.
    services.ledger.touch(&meta, Timestamp::now()).await?;
    let written = write_results(services, &meta, &collected).await?;
    let was = meta.state;
    let taken = matches!(&written, Some(WrittenObject { written: Written::Conflict, .. }));
    match written {
        // Another attempt has published and tidied up.
        None => return Ok(()),
        Some(WrittenObject { written: Written::Conflict, .. }) => {
            tracing::error!(drop = %meta.id, alarm = "results_conflict", "another results.csv stands in the drop's place; it was not overwritten");
            meta.state = DropState::Failed;
            meta.trouble = Some(conflict());
        }
        Some(WrittenObject { bytes, .. }) => {
            meta.state = end_state(&tally, &parts);
            meta.results_bytes = Some(bytes);
            meta.trouble = (meta.state == DropState::Failed).then(|| nothing_evaluated(&tally, &parts));
        }
    }
    meta.times.ended_at = Some(Timestamp::now());
    if !services.ledger.move_drop(&meta, was).await? {
        meta = services.ledger.meta(&meta.id).await?.context("the drop has no record")?;
        ensure!(meta.state.is_final(), "the drop moved to {} while it was published", meta.state.as_str());
        if meta.closed_at.is_some() {
            return Ok(());
        }
    } else if taken {
        services.metrics.count(Metric::ResultsConflicts, 1);
    }
    if meta.state != DropState::Failed || meta.results_bytes.is_some() {
        tidy(services, &meta).await;
    }
    conclude(services, &meta).await
}

/// What became of all rows. They must be the rows that came in: anything else is a fault of ours, and is not published.
fn add_up(meta: &DropRecord, collected: &[&CollectedPart]) -> Result<Tally> {
    let mut tally = Tally::default();
    collected.iter().for_each(|c| tally.add(&c.tally));
    let plan = meta.plan.as_ref().context("the drop has no plan")?;
    let (told, came) = (tally.rows.total(), plan.rows);
    ensure!(told == came, "{came} rows came in and {told} would go out");
    Ok(tally)
}

/// Writes `results.csv`; `None` if work files are gone because the drop is published already.
async fn write_results(services: &Services, meta: &DropRecord, collected: &[&CollectedPart]) -> Result<Option<WrittenObject>> {
    let header = results_header(&part_source::header(meta)?);
    // What the parts are says what the whole is, before it is written.
    let mut digest = Sha256::new_with_prefix(&header);
    collected.iter().for_each(|c| digest.update(c.digest.as_bytes()));
    let digest = hex::encode(digest.finalize());
    let expected = header.len() as u64 + collected.iter().map(|c| c.bytes).sum::<u64>();
    let key = ObjectKey::Results { folder: &meta.folder }.to_string();
    let mut writer = services.store.begin(&key, expected);
    let written = async {
        writer.write(&header, Some(&digest)).await?;
        for part in collected {
            append(services, part, &digest, &mut writer).await?;
        }
        writer.finish(Some(&digest)).await
    }
    .await;
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) => {
            writer.abort().await;
            let now = services.ledger.meta(&meta.id).await?;
            if now.is_some_and(|meta| meta.state.is_final()) { Ok(None) } else { Err(error) }
        }
    }
}

async fn append(services: &Services, part: &CollectedPart, digest: &str, writer: &mut ObjectWriter) -> Result<()> {
    if part.bytes == 0 {
        return Ok(());
    }
    let mut body = services.store.read(&part.key, None).await?.context("a part's work file is gone")?;
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.context("read a part's work file")?;
        bytes += piece.len() as u64;
        writer.write(&piece, Some(digest)).await?;
    }
    ensure!(bytes == part.bytes, "a part's work file has {bytes} bytes; {} were written", part.bytes);
    Ok(())
}

fn end_state(tally: &Tally, parts: &[PartRecord]) -> DropState {
    let rows = tally.rows;
    let unjoined = parts.iter().filter_map(|p| p.collected.as_ref()).any(|c| c.unjoined);
    match () {
        () if rows.evaluated == 0 => DropState::Failed,
        () if rows.evaluated == rows.total() && !unjoined && tally.unreadable_labels == 0 => DropState::Completed,
        () => DropState::CompletedWithErrors,
    }
}

fn nothing_evaluated(tally: &Tally, parts: &[PartRecord]) -> Problem {
    let rows = tally.rows;
    let why = parts.iter().find_map(|p| p.failure.as_ref()).map(|f| format!(": {}", f.reason)).unwrap_or_default();
    Problem {
        class: "E_NOTHING".to_owned(),
        reason: format!(
            "no row was evaluated; {} failed, {} were rejected, {} are missing{why}",
            rows.failed, rows.rejected, rows.missing
        ),
        next: "Each row of results.csv says why. When the cause is mended, drop the file again.".to_owned(),
    }
}

fn conflict() -> Problem {
    Problem {
        class: "E_CONFLICT".to_owned(),
        reason: "another results.csv stands in this drop's place; it was not overwritten".to_owned(),
        next: "It needs you to see who wrote it. To have this drop's results, move it away and drop the file again.".to_owned(),
    }
}

/// Deletes the drop's work files: the parts', other attempts', and results that were held. What is left of them, the bucket's
/// lifecycle deletes.
async fn tidy(services: &Services, meta: &DropRecord) {
    let tidied = async {
        for key in services.store.list(&ObjectKey::WorkFolder { drop: &meta.id }.to_string()).await? {
            services.store.delete(&key).await?;
        }
        anyhow::Ok(())
    };
    if let Err(error) = tidied.await {
        tracing::info!(error = format!("{error:#}"), "work files were left to the bucket's lifecycle");
    }
}
