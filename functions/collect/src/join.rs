//! Joins a part's rows with their results, stores and records them.

use crate::as_they_come::{self, Joined};
use crate::collector::{Collector, NotCollected, Unusable};
use crate::results::{self, Fetched, Origin};
use crate::rows;
use crate::source_missing;
use crate::work_file::{WorkFile, store};
use anyhow::{Result, anyhow};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use moondrop_shared::lifecycle::PartSource;
use moondrop_shared::part::join::{Join, PartResult};
use moondrop_shared::results::{ResultsProblem, judge};
use moondrop_shared::services::s3::source_reader::is_gone;

/// Collects a part that has no results to fetch; `false` if it changed meanwhile.
pub(crate) async fn collect_unanswered(
    collector: &Collector<'_>,
    result: PartResult,
) -> Result<bool> {
    let stored = match write(collector, result).await {
        Err(error) if is_gone(&error) => source_missing::write(collector, None).await?,
        stored => stored?,
    };
    stored.record(collector).await
}

/// Collects a part with the results from `origin`; `false` if it changed meanwhile.
///
/// # Errors
/// [`NotCollected::Unusable`] if they cannot be used.
pub(crate) async fn collect_from(
    collector: &Collector<'_>,
    origin: Origin<'_>,
) -> Result<bool, NotCollected> {
    let stored = match Box::pin(join(collector, origin)).await {
        Err(NotCollected::Failed(error)) if is_gone(&error) => {
            without_source(collector, origin).await?
        }
        stored => stored?,
    };
    Ok(stored.record(collector).await?)
}

async fn join(collector: &Collector<'_>, origin: Origin<'_>) -> Result<WorkFile, NotCollected> {
    let mut earlier = None;
    if let Origin::Api(job) = origin {
        match Box::pin(as_they_come::join(collector, job)).await? {
            Joined::All(stored, digest) => return judged(collector, origin, stored, &digest).await,
            Joined::Not(read) => earlier = Some(read),
        }
    }
    let fetched = results::fetch(collector, origin, false, earlier).await?;
    check_confirmed(collector, origin, &fetched)?;
    let Fetched { answers, digest, came_twice } = fetched;
    let stored = write(collector, PartResult::Answered(answers.into())).await?;
    let stored = judged(collector, origin, stored, &digest).await?;
    // The number of answers was right, but unexpected rows can make up for rows that were cut off.
    if let Origin::Api(job) | Origin::Better(job) = origin
        && stored.tally.rows.missing > 0
        && !came_twice
        && !results::are_unchanged(collector.services, job, &digest).await?
    {
        stored.discard(collector).await?;
        return Err(anyhow!("the results lack rows, and were different the second time").into());
    }
    Ok(stored)
}

/// Discards rows whose results do not belong to them.
async fn judged(
    collector: &Collector<'_>,
    origin: Origin<'_>,
    stored: WorkFile,
    digest: &str,
) -> Result<WorkFile, NotCollected> {
    let reading = results::reading(collector.services, origin);
    let Some(problem) = judge(&stored.tally, collector.part.plan.accepted, &reading) else {
        return Ok(stored);
    };
    stored.discard(collector).await?;
    Err(results::unusable(&problem, digest.to_owned()))
}

async fn without_source(
    collector: &Collector<'_>,
    origin: Origin<'_>,
) -> Result<WorkFile, NotCollected> {
    let Collector { services, part, .. } = collector;
    let fetched = results::fetch(collector, origin, true, None).await?;
    let reading = results::reading(services, origin);
    if let Some(problem) = source_missing::judge(&fetched.answers, part.plan.accepted, &reading) {
        return Err(NotCollected::Unusable(Unusable { problem, digest: fetched.digest }));
    }
    check_confirmed(collector, origin, &fetched)?;
    Ok(source_missing::write(collector, Some(fetched.answers)).await?)
}

/// With `RESULTS_UNREADABLE=rows`, unreadable results of the API count only if the same bytes come
/// twice, far enough apart: an error page that the API serves for a minute must not end every row.
fn check_confirmed(
    collector: &Collector<'_>,
    origin: Origin<'_>,
    fetched: &Fetched,
) -> Result<(), NotCollected> {
    let from_api = !matches!(origin, Origin::Kept(_));
    let unreadable: Option<&ResultsProblem> = fetched.answers.unreadable().filter(|_| from_api);
    match unreadable {
        Some(problem) if !collector.is_confirmed(&fetched.digest, Timestamp::now()) => {
            Err(NotCollected::Unusable(Unusable {
                problem: problem.clone(),
                digest: fetched.digest.clone(),
            }))
        }
        _ => Ok(()),
    }
}

async fn write(collector: &Collector<'_>, result: PartResult) -> Result<WorkFile> {
    let Collector { services, drop, part, .. } = collector;
    let PartSource { header, rejections, mut reader } =
        PartSource::open(services, drop, &part.plan).await?;
    let mut join = Join::new(header, part.plan.clone(), rejections, result);
    store(collector, part.plan.end - part.plan.offset, async |writer| {
        // No more results come.
        rows::write(&mut join, (&mut reader, &mut stream::empty().boxed()), writer).await?;
        let (rest, tally) = join.finish()?;
        writer.write(&rest, None).await?;
        Ok(tally)
    })
    .await
}
