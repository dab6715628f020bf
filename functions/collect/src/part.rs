//! Collecting one part: its rows, in the source's order, each with its answer, stored as a work file of this attempt's own.

use crate::results::{self, Doubt, Fetched, Origin};
use crate::{held, unjoined};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::drop::object_key::ObjectKey;
use moondrop_shared::job::OVERDUE_AFTER;
use moondrop_shared::lifecycle::part_source;
use moondrop_shared::part::join::{Join, PartResult};
use moondrop_shared::part::{CollectedPart, PartFailure, PartRecord};
use moondrop_shared::results::tally::Tally;
use moondrop_shared::results::{Answers, ResultsProblem, judge};
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::drops_bucket::{SourceReader, is_gone};
use moondrop_shared::services::s3::results_bucket::{ObjectWriter, WrittenObject};

/// Joins and stores a part, and records it; `false` if it waits, for better results, a setting, or poll.
pub(crate) async fn collect(services: &Services, meta: &DropRecord, part: &PartRecord) -> Result<bool> {
    let fate = match (&part.failure, &part.job_id) {
        (Some(failure), _) if failure.lost => match look_once_more(services, part, failure).await? {
            Some(fate) => fate,
            None => return Ok(false),
        },
        (Some(failure), _) => PartResult::Failed(failure.reason.clone()),
        (None, Some(job)) => return Box::pin(held::collect_answered(services, meta, part, job)).await,
        (None, None) => PartResult::Answered(Answers::default()),
    };
    let key = work_key(meta, part);
    let stored = match write(services, meta, part, fate, &key).await {
        Ok((written, tally)) => Stored { written, tally, unjoined: false },
        Err(error) if is_gone(&error) => {
            let (written, tally) = unjoined::write(services, meta, part, None, &key).await?;
            Stored { written, tally, unjoined: true }
        }
        Err(error) => return Err(error),
    };
    record(services, meta, part, key, stored).await?;
    Ok(true)
}

/// A part's rows, stored.
struct Stored {
    written: WrittenObject,
    tally: Tally,
    unjoined: bool,
}

/// Asks for a lost job once more, before its rows end as missing; `None` if the API reports it after all.
async fn look_once_more(services: &Services, part: &PartRecord, failure: &PartFailure) -> Result<Option<PartResult>> {
    let lost = Some(PartResult::Lost(failure.reason.clone()));
    // A job to which nothing was sent has no rows to be found again.
    let Some(job) = part.job_id.as_ref().filter(|_| part.may_be_fed()) else { return Ok(lost) };
    let found = results::look_up(services, job).await;
    let overdue = part.created_at.is_some_and(|at| Timestamp::now().duration_since(at) > OVERDUE_AFTER);
    match found {
        Ok(None) => Ok(lost),
        Ok(Some(_)) => {
            if services.ledger.find_again(part).await? {
                tracing::warn!(drop = %part.drop, part = part.plan.number, job, "the API reports a job again that was lost");
            }
            Ok(None)
        }
        Err(error) if matches!(error.downcast_ref(), Some(ApiError::NotFound(_))) => Ok(lost),
        Err(_) if overdue => Ok(lost),
        Err(error) => Err(error),
    }
}

fn work_key(meta: &DropRecord, part: &PartRecord) -> String {
    let attempt = format!("{:x}", Timestamp::now().as_nanosecond());
    ObjectKey::Work { drop: &meta.id, part: part.plan.number, attempt: &attempt }.to_string()
}

/// Collects a part by the results from there, if they can be used.
pub(crate) async fn collect_from(
    services: &Services,
    meta: &DropRecord,
    part: &PartRecord,
    origin: Origin<'_>,
) -> Result<Result<(), Doubt>> {
    let key = work_key(meta, part);
    let stored = match Box::pin(join(services, meta, part, origin, &key)).await {
        Ok(Ok((written, tally))) => Stored { written, tally, unjoined: false },
        Ok(Err(doubt)) => return Ok(Err(doubt)),
        Err(error) if is_gone(&error) => {
            let fetched = match results::fetch(services, origin, part.plan.accepted, true).await? {
                Ok(fetched) => fetched,
                Err(doubt) => return Ok(Err(doubt)),
            };
            let reading = results::reading(services, origin);
            let problem = unjoined::judge(&fetched.answers, part.plan.accepted, &reading);
            if let Some(problem) = problem.or_else(|| unconfirmed(services, part, origin, &fetched)) {
                return Ok(Err(Doubt { problem, digest: fetched.digest }));
            }
            let (written, tally) = unjoined::write(services, meta, part, Some(fetched.answers), &key).await?;
            Stored { written, tally, unjoined: true }
        }
        Err(error) => return Err(error),
    };
    record(services, meta, part, key, stored).await.map(Ok)
}

async fn join(
    services: &Services,
    meta: &DropRecord,
    part: &PartRecord,
    origin: Origin<'_>,
    key: &str,
) -> Result<Result<(WrittenObject, Tally), Doubt>> {
    let fetched = match results::fetch(services, origin, part.plan.accepted, false).await? {
        Ok(fetched) => fetched,
        Err(doubt) => return Ok(Err(doubt)),
    };
    if let Some(problem) = unconfirmed(services, part, origin, &fetched) {
        return Ok(Err(Doubt { problem, digest: fetched.digest }));
    }
    let Fetched { answers, digest, twice } = fetched;
    let (written, tally) = write(services, meta, part, PartResult::Answered(answers), key).await?;
    if let Some(problem) = judge(&tally, part.plan.accepted, &results::reading(services, origin)) {
        services.store.delete(key).await?;
        return Ok(Err(Doubt { problem, digest }));
    }
    // Unexpected rows in them can make up for rows that a cut took away.
    if let Origin::Api(job) | Origin::Better(job) = origin
        && tally.rows.missing > 0
        && !twice
        && !results::are_still(services, job, &digest).await?
    {
        services.store.delete(key).await?;
        bail!("the results lack rows, and came otherwise the second time");
    }
    Ok(Ok((written, tally)))
}

/// What is unreadable in results of the API that are used as far as they can be read (`RESULTS_UNREADABLE=rows`), until the same
/// bytes have come twice, well apart: a page in their place for a minute must not end every row.
fn unconfirmed(services: &Services, part: &PartRecord, origin: Origin<'_>, fetched: &Fetched) -> Option<ResultsProblem> {
    let from_api = !matches!(origin, Origin::Kept(_));
    let problem = fetched.answers.unreadable().filter(|_| from_api)?;
    (!held::is_confirmed(services, part, &fetched.digest, Timestamp::now())).then(|| problem.clone())
}

/// Records a part's rows. Of several attempts one gets its work file recorded; the others' are deleted.
async fn record(services: &Services, meta: &DropRecord, part: &PartRecord, key: String, stored: Stored) -> Result<()> {
    let Stored { written, tally, unjoined } = stored;
    let number = part.plan.number;
    if unjoined {
        tracing::error!(drop = %meta.id, part = number, alarm = "source_gone", "the file is gone; the rows are stored in the API's order");
    }
    let collected = CollectedPart { key, bytes: written.bytes, digest: written.digest, unjoined, tally };
    // Exactly once: the first attempt to be recorded is the one whose rows are published.
    if !services.ledger.record_collected(part, &collected).await? {
        return services.store.delete(&collected.key).await;
    }
    let tally = &collected.tally;
    services.metrics.count(Metric::LabelsUnreadable, tally.unreadable_labels);
    let (rows, foreign, doubled) = (tally.rows, tally.foreign, tally.doubled);
    tracing::info!(drop = %meta.id, part = number, job = part.job_id, evaluated = rows.evaluated, failed = rows.failed, rejected = rows.rejected, missing = rows.missing, foreign, doubled, "the part is collected");
    Ok(())
}

async fn write(
    services: &Services,
    meta: &DropRecord,
    part: &PartRecord,
    fate: PartResult,
    key: &str,
) -> Result<(WrittenObject, Tally)> {
    let rejections = part_source::rejections(&services.store, meta, &part.plan).await?;
    let mut join = Join::new(part_source::header(meta)?, part.plan.clone(), rejections, fate);
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
) -> Result<(WrittenObject, T)> {
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
