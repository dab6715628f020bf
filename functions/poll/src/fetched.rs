//! The outcome of asking the API for all open jobs.

use crate::context::Tick;
use crate::queries::Outcome;
use anyhow::{Result, anyhow};
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::source::DropId;
use std::collections::{BTreeSet, HashSet};

/// The outcome of the stream.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Whether the API accepted the key, or why not; `None` if no call was made, or calls failed
    /// for another reason.
    pub(crate) key: Option<Result<(), ApiError>>,
    /// The first host of a completed job's results that is not allowed.
    pub(crate) host: Option<String>,
    /// The parts that were to be asked for and have no recorded answer; `None` if nothing is known.
    pub(crate) unanswered: Option<HashSet<(DropId, u32)>>,
    /// The drops whose parts changed in a way that status.json shows.
    pub(crate) changed: BTreeSet<DropId>,
    /// The first failure.
    pub(crate) outcome: Result<()>,
}

impl Fetched {
    /// Nothing was asked.
    pub(crate) fn nothing(outcome: Result<()>) -> Self {
        let unanswered = outcome.is_ok().then(HashSet::new);
        Fetched { key: None, host: None, unanswered, changed: BTreeSet::new(), outcome }
    }
}

/// How many jobs are open, and for how many of them an answer was recorded.
pub(crate) struct Count {
    pub(crate) asked: usize,
    pub(crate) recorded: usize,
}

impl Count {
    /// The outcome of the queries, as the tick reports it; `written` is that of the writes.
    pub(crate) fn summarize(
        &self,
        tick: &Tick<'_>,
        outcome: Outcome,
        written: Result<()>,
    ) -> Result<()> {
        let Count { asked, recorded } = *self;
        let none_reported = !outcome.reported && outcome.left_out > 0;
        tick.services.metrics.count(Metric::NoJobReported, u64::from(none_reported));
        if none_reported {
            let error = format!("the API reports none of {asked} jobs: another account's key?");
            tracing::error!(alarm = "no_job_reported", error, "no job is taken for absent");
            return Err(anyhow!(error));
        }
        let failure = outcome.failure.map_or(written, |error| Err(error.into()));
        let count = format!("{recorded} of {asked} jobs asked");
        match failure {
            failure if recorded == asked => failure,
            Err(error) => Err(error.context(count)),
            Ok(()) => Err(anyhow!("{count}; the next tick begins with the others")),
        }
    }
}
