//! Reads a job's results, from the API through a new pre-signed URL, or from the kept copy.

use crate::collector::{Collector, NotCollected, Unusable};
use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use moondrop_shared::job::{Job, JobState};
use moondrop_shared::part::HeldResults;
use moondrop_shared::results::{
    Answers, Form, OnUnreadable, ReadResults, Reading, ResultsProblem, ResultsReader,
};
use moondrop_shared::services::Services;
use sha2::{Digest, Sha256};

/// Results, as they come.
pub(crate) type Body = BoxStream<'static, std::io::Result<Bytes>>;

/// Where results are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// The API, for this job.
    Api(&'a str),
    /// The API, which may have better results than the kept copy: they count only if they are
    /// well-formed.
    Better(&'a str),
    /// The kept copy.
    Kept(&'a HeldResults),
}

/// Results that were read to their end, and could not be joined as they came.
pub(crate) struct Earlier {
    pub(crate) digest: String,
    /// How many rows they answer.
    pub(crate) answered: usize,
}

impl Earlier {
    pub(crate) fn of(read: ReadResults) -> Self {
        Earlier { digest: read.digest, answered: read.answers.len() }
    }
}

pub(crate) struct Fetched {
    pub(crate) answers: Answers,
    /// The SHA-256 of their bytes, in hex.
    pub(crate) digest: String,
    /// Whether the same bytes came twice: then rows that they lack are missing, and not cut off.
    pub(crate) came_twice: bool,
}

/// Fetches and reads results. If rows are missing or the file may be cut, it is fetched once more:
/// a truncated body without a `Content-Length` looks complete. If it came `earlier`, it is fetched
/// now for the second time.
///
/// # Errors
/// [`NotCollected::Unusable`] if they cannot be used.
pub(crate) async fn fetch(
    collector: &Collector<'_>,
    origin: Origin<'_>,
    keep_rows: bool,
    mut earlier: Option<Earlier>,
) -> Result<Fetched, NotCollected> {
    let (services, expected) = (collector.services, collector.part.plan.accepted);
    let is_complete = |read: &ReadResults| read.answers.len() as u64 >= expected;
    let is_good = |read: &ReadResults| read.form == Form::Whole && is_complete(read);
    let mut read = read_once(services, origin, keep_rows).await?;
    if earlier.is_none() && !is_good(&read) {
        if let Form::Held(problem) = &read.form {
            return Err(unusable(problem, read.digest));
        }
        if let Origin::Api(job) | Origin::Better(job) = origin {
            // The memory is enough for one file, not for two.
            let first = Earlier::of(read);
            tracing::warn!(
                job,
                answered = first.answered,
                expected,
                "results are missing or may be cut short; they are fetched once more"
            );
            read = read_once(services, origin, keep_rows).await?;
            earlier = Some(first);
        }
    }
    let came_twice = earlier.as_ref().is_some_and(|first| first.digest == read.digest);
    if is_good(&read) && !came_twice {
        return Ok(Fetched { answers: read.answers, digest: read.digest, came_twice });
    }
    if let Some(first) = earlier.filter(|_| !came_twice) {
        // Two different cuts prove nothing: the next attempt fetches again.
        let (then, now) = (first.answered, read.answers.len());
        let error = anyhow!("the results came with {then} and then with {now} of {expected} rows");
        return Err(error.into());
    }
    // The same bytes came twice: the file is not cut.
    match read.confirmed() {
        Form::NoLineEnd(problem) if !is_complete(&read) => {
            Err(unusable(problem, read.digest.clone()))
        }
        Form::MayBeCut(problem) | Form::Held(problem) => {
            Err(unusable(problem, read.digest.clone()))
        }
        Form::Whole | Form::NoLineEnd(_) => {
            Ok(Fetched { answers: read.answers, digest: read.digest, came_twice: true })
        }
    }
}

pub(crate) fn unusable(problem: &ResultsProblem, digest: String) -> NotCollected {
    NotCollected::Unusable(Unusable { problem: problem.clone(), digest })
}

/// Whether the API's results are still these bytes.
pub(crate) async fn are_unchanged(services: &Services, job: &str, digest: &str) -> Result<bool> {
    let mut body = open(services, job).await?;
    let mut hash = Sha256::new();
    while let Some(bytes) = next(&mut body).await? {
        hash.update(bytes);
    }
    Ok(hex::encode(hash.finalize()) == digest)
}

async fn read_once(
    services: &Services,
    origin: Origin<'_>,
    keep_rows: bool,
) -> Result<ReadResults> {
    let mut reader =
        ResultsReader::new(reading(services, origin), services.settings.answer_memory, keep_rows);
    match origin {
        Origin::Api(job) | Origin::Better(job) => {
            let mut body = open(services, job).await?;
            while let Some(bytes) = next(&mut body).await? {
                reader.push(&bytes)?;
            }
        }
        Origin::Kept(held) => {
            let body = services.results.read(&held.key, None).await?;
            let mut body =
                body.with_context(|| format!("the kept results {} are gone", held.key))?;
            while let Some(bytes) = body.next().await {
                reader.push(&bytes.context("read the kept results")?)?;
            }
        }
    }
    let read = reader.finish()?;
    if let Origin::Kept(held) = origin {
        ensure!(read.digest == held.digest, "the kept results {} were changed", held.key);
    }
    Ok(read)
}

/// How results from `origin` are read.
pub(crate) fn reading(services: &Services, origin: Origin<'_>) -> Reading {
    let reading = services.settings.reading;
    match origin {
        Origin::Better(_) => Reading { unreadable: OnUnreadable::Hold, ..reading },
        Origin::Api(_) | Origin::Kept(_) => reading,
    }
}

/// Opens a job's results, with a new URL each time: a URL is valid for four hours, and this may be
/// days later.
pub(crate) async fn open(services: &Services, job: &str) -> Result<Body> {
    let Some(found) = look_up(services, job).await? else {
        bail!("the API does not report the job")
    };
    match (found.state, found.output_file_url) {
        (JobState::Completed, Some(url)) => {
            Ok(services.transfer.download(&url).await.context("download the results")?.boxed())
        }
        (state, _) => bail!("the job is {}, without results to fetch", state.as_str()),
    }
}

/// The next bytes of results; `None` at their end.
pub(crate) async fn next(results: &mut Body) -> Result<Option<Bytes>> {
    results.next().await.transpose().context("read the results")
}

/// The job as the API reports it.
pub(crate) async fn look_up(services: &Services, job: &str) -> Result<Option<Job>> {
    let reported = services.api.jobs(&[job]).await.context("ask the API for the job")?;
    Ok(reported.jobs.into_iter().find(|found| found.id == job))
}
