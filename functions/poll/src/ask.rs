//! Asking after many jobs in few calls.

use futures_util::{StreamExt, stream};
use moondrop_shared::batch_api::{ApiError, BatchApi, JOBS_PER_GET, Job};
use moondrop_shared::record::Trouble;
use moondrop_shared::runtime::describe;
use std::collections::HashMap;

/// Calls under way at once: 10,000 jobs are 100 calls.
const CALLS_AT_ONCE: usize = 4;

/// What the API says of the jobs that were asked after; `None` where it does not know one. A job whose call failed is not in
/// it at all.
pub(crate) type Answers = HashMap<String, Option<Job>>;

/// What was learnt of jobs, and what kept the rest from being learnt: what is wrong with the key, or else the first failure.
#[derive(Default)]
pub(crate) struct Asked {
    /// What the API said.
    pub(crate) answers: Answers,
    /// Why it did not say all.
    pub(crate) failure: Option<anyhow::Error>,
}

/// Asks after jobs by their ids. A failed call holds back no other, but for one that had no good key: none would have.
///
/// A 404 for many ids says only that one of them is unknown: they are asked after in halves, down to the one it is.
pub(crate) async fn ask(api: &BatchApi, ids: Vec<String>) -> Asked {
    let mut all = Asked::default();
    let mut asking = stream::iter(ids.chunks(JOBS_PER_GET).map(<[String]>::to_vec).collect::<Vec<_>>())
        .map(|chunk| ask_chunk(api, chunk))
        .buffer_unordered(CALLS_AT_ONCE);
    while let Some(some) = asking.next().await {
        all.answers.extend(some.answers);
        if some.failure.as_ref().and_then(key_trouble).is_some() {
            all.failure = some.failure;
            break;
        }
        all.failure = all.failure.or(some.failure);
    }
    all
}

async fn ask_chunk(api: &BatchApi, ids: Vec<String>) -> Asked {
    let Asked { mut answers, mut failure } = Asked::default();
    let mut open = vec![ids];
    while let Some(ids) = open.pop() {
        let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
        match api.jobs(&asked).await {
            Ok(jobs) => {
                let mut known: HashMap<String, Job> = HashMap::new();
                for job in jobs {
                    // Jobs that were not asked after are passed over; of one told twice, what is further along counts.
                    let further = known.get(&job.id).is_none_or(|k| k.state.rank() < job.state.rank());
                    if further {
                        known.insert(job.id.clone(), job);
                    }
                }
                let asked = ids.len();
                let (told, untold): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| known.contains_key(id));
                answers.extend(told.into_iter().map(|id| {
                    let job = known.remove(&id);
                    (id, job)
                }));
                // An answer may hold fewer jobs than were asked after: only one asked after alone is unknown.
                match untold.len() {
                    0 => {}
                    1 if asked == 1 => answers.extend(untold.into_iter().map(|id| (id, None))),
                    n if n < asked => open.push(untold),
                    _ => open.extend(halves(untold)),
                }
            }
            // Only the API's own 404 says that a job is unknown: that of another server, in its place for an hour, would lose it.
            Err(ApiError::NotFound(said)) if ids.len() == 1 && !said.is_empty() => {
                answers.extend(ids.into_iter().map(|id| (id, None)))
            }
            Err(ApiError::NotFound(said)) if ids.len() > 1 && !said.is_empty() => open.extend(halves(ids)),
            Err(ApiError::Refused(_)) if ids.len() > 1 => open.extend(halves(ids)),
            // What is not known of these now, the next tick asks again.
            Err(error) => {
                let error = anyhow::Error::new(error);
                let job = ids.first().filter(|_| ids.len() == 1);
                tracing::warn!(jobs = ids.len(), job, error = describe(&error), "some jobs could not be asked after");
                if key_trouble(&error).is_some() {
                    return Asked { answers, failure: Some(error) };
                }
                failure = failure.or(Some(error));
            }
        }
    }
    Asked { answers, failure }
}

/// What is wrong with our key, if it was that.
pub(crate) fn key_trouble(error: &anyhow::Error) -> Option<Trouble> {
    match error.downcast_ref() {
        Some(ApiError::Key) => Some(Trouble::key_refused()),
        Some(ApiError::NoKey(_)) => Some(Trouble::no_key()),
        _ => None,
    }
}

fn halves(mut ids: Vec<String>) -> [Vec<String>; 2] {
    let half = ids.split_off(ids.len() / 2);
    [half, ids]
}
