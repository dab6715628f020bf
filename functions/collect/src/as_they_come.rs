//! Joins a part with results while they come, and stores its rows meanwhile: what comes in the order
//! of the rows takes no memory.
//!
//! Only results without any flaw are joined so: well-formed to their end, with one answer for each
//! row, and none for another. Of others nothing is stored, and [`results::fetch`] reads them whole.

use crate::collector::{Collector, NotCollected};
use crate::results::{self, Earlier, Origin};
use crate::work_file::{WorkFile, store_if};
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use moondrop_shared::lifecycle::PartSource;
use moondrop_shared::part::join::{Join, JoinRows, PartResult, Wrote};
use moondrop_shared::problem::Code;
use moondrop_shared::results::{Form, ResultsReader};
use moondrop_shared::services::s3::object_writer::ObjectWriter;
use moondrop_shared::services::s3::source_reader::SourceReader;

type Body = BoxStream<'static, std::io::Result<Bytes>>;

pub(crate) enum Joined {
    /// All rows are stored; the SHA-256 of the results, in hex.
    All(WorkFile, String),
    /// Nothing is stored: the results have to be read whole.
    Not(Earlier),
}

/// Joins the part with the results of its job.
///
/// # Errors
/// [`NotCollected::Unusable`] if the results cannot be used, and reading them again does not help.
pub(crate) async fn join(collector: &Collector<'_>, job: &str) -> Result<Joined, NotCollected> {
    let Collector { services, drop, part, .. } = collector;
    let PartSource { header, rejections, mut reader } =
        PartSource::open(services, drop, &part.plan).await?;
    let mut results = results::open(services, job).await?;
    let reading = results::reading(services, Origin::Api(job));
    let coming = ResultsReader::new(reading, services.settings.answer_memory, false);
    let coming = PartResult::Coming(Box::new(coming));
    let mut join = Join::new(header, part.plan.clone(), rejections, coming);
    let mut read = None;
    let stored = store_if(collector, part.plan.end - part.plan.offset, async |writer| {
        let are_all = write_rows(&mut join, (&mut reader, &mut results), writer).await?;
        // Whether the results are well-formed, and these bytes, only their end shows.
        while let Some(bytes) = next(&mut results).await? {
            join.push_results(&bytes)?;
        }
        let came = join.end_results()?.context("there were no results")?;
        let came = read.insert(came);
        if !are_all || !came.is_flawless() {
            return Ok(None);
        }
        let (rest, mut tally) = join.finish()?;
        came.answers.count_rest(&mut tally);
        writer.write(&rest, None).await?;
        Ok(Some(tally))
    })
    .await?;
    let came = read.context("the results were not read")?;
    match (stored, &came.form) {
        (Some(stored), _) => Ok(Joined::All(stored, came.digest)),
        // What is left may be the better answer to a row that took an empty one.
        (None, Form::Held(problem))
            if problem.code != Code::BlankLabels || came.answers.left() == 0 =>
        {
            Err(results::unusable(problem, came.digest))
        }
        (None, _) => {
            let (answered, expected) = (came.answers.len(), part.plan.accepted);
            tracing::warn!(
                job,
                answered,
                expected,
                "results are missing, are there twice, or may be cut short; they are fetched once more"
            );
            Ok(Joined::Not(Earlier::of(came)))
        }
    }
}

/// Writes the part's rows as far as they have an answer; returns whether all have one.
async fn write_rows(
    join: &mut Join,
    (source, results): (&mut SourceReader, &mut Body),
    writer: &mut ObjectWriter,
) -> Result<bool> {
    while let Some(bytes) = source.next().await? {
        if !write_block(join.rows(&bytes), results, writer).await? {
            return Ok(false);
        }
    }
    write_block(join.last_rows()?, results, writer).await
}

async fn write_block(
    mut rows: JoinRows<'_>,
    results: &mut Body,
    writer: &mut ObjectWriter,
) -> Result<bool> {
    loop {
        let wrote = rows.write()?;
        writer.write(&rows.take_written(), None).await?;
        match wrote {
            Wrote::All => return Ok(true),
            Wrote::Much => {}
            Wrote::SomeWait => {
                let Some(bytes) = next(results).await? else { return Ok(false) };
                rows.push_results(&bytes)?;
            }
        }
    }
}

async fn next(results: &mut Body) -> Result<Option<Bytes>> {
    results.next().await.transpose().context("read the results")
}
