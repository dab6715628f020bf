//! A job's results, fetched through a fresh signed address.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::Stream;
use moondrop_shared::answers::{ReadResults, broke_off};
use moondrop_shared::aws::Services;
use moondrop_shared::job::JobState;
use moondrop_shared::metrics::Metric;
use std::io::Read;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// A download of results, as what reads them takes it.
pub(crate) type Download = Box<dyn Read + Send>;

/// What was made of a download, and what is known of it.
pub(crate) struct Fetched<T> {
    pub(crate) value: T,
    /// How many rows it has an answer for.
    pub(crate) answered: u64,
    pub(crate) read: ReadResults,
}

/// Fetches a job's results and makes of them what `read` makes; it is told how many bytes of memory there are. If rows are missing
/// they are fetched once more: a body cut short on a connection without a length ends as if it were whole.
pub(crate) async fn fetch<T: Send + 'static>(
    services: &Services,
    job: &str,
    expected: u64,
    read: impl Fn(Download, usize) -> Result<Fetched<T>> + Clone + Send + 'static,
) -> Result<T> {
    let is_whole = |fetched: &Fetched<T>| fetched.answered >= expected && !fetched.read.may_be_cut_short;
    let first = fetch_once(services, job, read.clone()).await?;
    if is_whole(&first) {
        return Ok(first.value);
    }
    let (answered, bytes) = (first.answered, first.read.bytes);
    // Two of them would take twice the memory there is for one.
    drop(first);
    tracing::warn!(job, answered, expected, "results are missing or may be cut short; they are fetched once more");
    let second = fetch_once(services, job, read).await?;
    // What came short the same way twice is so. Two different cuts say nothing: the next attempt fetches again.
    let same = second.read.bytes == bytes;
    ensure!(is_whole(&second) || same, "the results came with {answered} and then with {} of {expected} rows", second.answered);
    Ok(second.value)
}

/// Reads results on a thread of their own, since the csv crate reads synchronously and waits for bytes there. That they are no
/// results is counted; that they broke off on their way is not.
async fn fetch_once<T: Send + 'static>(
    services: &Services,
    job: &str,
    read: impl FnOnce(Download, usize) -> Result<Fetched<T>> + Send + 'static,
) -> Result<Fetched<T>> {
    let body = open(services, job).await?;
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(body)));
    let memory = services.settings.answer_memory;
    let read = tokio::task::spawn_blocking(move || read(Box::new(reader), memory)).await.context("read the results")?;
    if read.as_ref().is_err_and(|error| !broke_off(error)) {
        services.metrics.count(Metric::ResultsUnreadable, 1);
    }
    read
}

/// Opens a job's results. Each time a fresh address is asked for: one lives four hours, and this may be days later.
async fn open(services: &Services, job: &str) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>> {
    let jobs = services.api.jobs(&[job]).await.context("ask for the results' address")?;
    let Some(found) = jobs.into_iter().find(|j| j.id == job) else { bail!("the API does not know the job") };
    match (found.state, found.output_file_url) {
        (JobState::Completed, Some(url)) => services.transfer.download(&url).await.context("download the results"),
        (state, _) => bail!("the job is {}, without results to fetch", state.as_str()),
    }
}
