//! Evaluates jobs as they fall due, one at a time.

use super::evaluate::{Evaluation, evaluate};
use super::job::Outcome;
use super::shared::Shared;
use super::store::Next;
use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long to wait after an error of the machine (a full disk, say) before evaluating again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Works for as long as the sandbox is up.
pub(super) async fn evaluate_all(shared: Arc<Shared>) {
    while !shared.stopping.load(Ordering::Relaxed) {
        match shared.store.next(shared.clock.now()) {
            Next::Job(id) => {
                let worker = Arc::clone(&shared);
                let evaluated =
                    tokio::task::spawn_blocking(move || evaluate_one(&worker, &id)).await;
                let failure = match evaluated {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error,
                    Err(error) => error.into(),
                };
                tracing::error!(
                    error = format!("{failure:#}"),
                    "the sandbox could not evaluate a job"
                );
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Next::At(due) => {
                let wait = shared.clock.until(due);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shared.bell.notified() => {}
                }
            }
            Next::Nothing => shared.bell.notified().await,
        }
    }
}

fn evaluate_one(shared: &Shared, id: &str) -> anyhow::Result<()> {
    let unfinished = shared.store.unfinished();
    let input = shared.store.input(id);
    let evaluated = evaluate(&input, unfinished.path(), &shared.stopping, shared.quirk).and_then(
        |evaluation| {
            let at = shared.clock.now();
            Ok(match evaluation {
                Evaluation::Done(rows) => {
                    unfinished.publish(&shared.store.output(id)).context("placing the output")?;
                    Some(Outcome::Evaluated { rows, at })
                }
                Evaluation::Refused(message) => Some(Outcome::Refused { message, at }),
                Evaluation::Stopped => None,
            })
        },
    );
    let outcome = evaluated.as_ref().map_or(None, Clone::clone);
    shared.store.evaluated(id, outcome).context("recording the outcome")?;
    evaluated.map(drop).with_context(|| format!("evaluating job {id}"))
}
