//! A job's results, fetched through a fresh signed address.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::Stream;
use moondrop_shared::answers::{Answers, broke_off};
use moondrop_shared::aws::Services;
use moondrop_shared::job::JobState;
use moondrop_shared::metrics::Metric;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Fetches a job's answers. If rows are missing they are fetched once more: a body cut short on a connection without a length
/// ends as if it were whole.
pub(crate) async fn fetch(services: &Services, job: &str, expected: u64) -> Result<Answers> {
    let first = fetch_once(services, job).await?;
    if first.len() as u64 >= expected && !first.may_be_cut_short() {
        return Ok(first);
    }
    let (answered, bytes) = (first.len(), first.bytes());
    // Two of them would take twice the memory there is for one.
    drop(first);
    tracing::warn!(job, answered, expected, "results are missing or may be cut short; they are fetched once more");
    let second = fetch_once(services, job).await?;
    let whole = second.len() as u64 >= expected && !second.may_be_cut_short();
    // What came short the same way twice is so. Two different cuts say nothing: the next attempt fetches again.
    let same = second.bytes() == bytes;
    ensure!(whole || same, "the results came with {answered} and then with {} of {expected} rows", second.len());
    Ok(second)
}

async fn fetch_once(services: &Services, job: &str) -> Result<Answers> {
    let body = open(services, job).await?;
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(body)));
    let memory = services.settings.answer_memory;
    read(services, move || Answers::read(reader, memory)).await
}

/// Reads results on a thread of their own, since the csv crate reads synchronously and waits for bytes there. That they are no
/// results is counted; that they broke off on their way is not.
pub(crate) async fn read<T: Send + 'static>(
    services: &Services,
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let read = tokio::task::spawn_blocking(read).await.context("read the results")?;
    if read.as_ref().is_err_and(|error| !broke_off(error)) {
        services.metrics.count(Metric::ResultsUnreadable, 1);
    }
    read
}

/// Opens a job's results. Each time a fresh address is asked for: one lives four hours, and this may be days later.
pub(crate) async fn open(services: &Services, job: &str) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>> {
    let jobs = services.api.jobs(&[job]).await.context("ask for the results' address")?;
    let Some(found) = jobs.into_iter().find(|j| j.id == job) else { bail!("the API does not know the job") };
    match (found.state, found.output_file_url) {
        (JobState::Completed, Some(url)) => services.transfer.download(&url).await.context("download the results"),
        (state, _) => bail!("the job is {}, without results to fetch", state.as_str()),
    }
}
