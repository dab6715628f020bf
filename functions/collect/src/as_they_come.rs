//! Joins a part with results while they come, and stores its rows meanwhile: what comes in the order
//! of the rows takes no memory.
//!
//! Only results without any flaw are joined so: well-formed to their end, with one answer for each
//! row, and none for another. Of others nothing is stored, and [`results::fetch`] reads them whole.

use crate::collector::{Collector, NotCollected};
use crate::results::{self, Earlier, Origin};
use crate::rows;
use crate::work_file::{WorkFile, store_if};
use anyhow::{Context, Result};
use moondrop_shared::lifecycle::PartSource;
use moondrop_shared::part::join::{Join, PartResult};
use moondrop_shared::problem::Code;
use moondrop_shared::results::{Form, ResultsReader};

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
        let are_all = rows::write(&mut join, (&mut reader, &mut results), writer).await?;
        // Whether the results are well-formed, and these bytes, only their end shows.
        while let Some(bytes) = results::next(&mut results).await? {
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
                "results lack rows, have some twice or unexpected ones, or may be cut short; they are fetched once more"
            );
            Ok(Joined::Not(Earlier::of(came)))
        }
    }
}
