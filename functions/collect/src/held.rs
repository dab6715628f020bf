//! Results that cannot be used: fetched again, and then held unchanged.
//!
//! ```text
//! cannot be used ──▶ unconfirmed ──the same bytes, ten minutes later──▶ held ──a setting, or better results──▶ collected
//!                       └──other bytes: unconfirmed again               └──once a day: fetched again
//! ```
//!
//! A held part waits without limit: it is neither lost nor failed, and its copy outlives the API's.

use crate::collector::{Collector, NotCollected, Unusable};
use crate::join::collect_from;
use crate::results::{self, Origin};
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::{NeedsAction, OutgoingEvent};
use moondrop_shared::object_key::ObjectKey;
use moondrop_shared::part::{HeldResults, PartRecord, Unconfirmed};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::ledger::FailedAttempt;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::object_writer::WrittenObject;
use moondrop_shared::services::s3::results_bucket::Written;

/// After how long results that change with each fetch are held as they last came.
const CHANGING_HELD_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// How often held results are fetched from the API again, which may have better ones.
const FETCHED_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Collects a part whose job has completed; `false` if its results cannot be used for now.
pub(crate) async fn collect_answered(collector: &Collector<'_>, job: &str) -> Result<bool> {
    if let Some(held) = &collector.part.held {
        return judge_again(collector, job, held.clone()).await;
    }
    match Box::pin(collect_from(collector, Origin::Api(job))).await {
        Ok(collected) => Ok(collected),
        Err(NotCollected::Failed(error)) => Err(error),
        Err(NotCollected::Unusable(unusable)) => {
            collector.services.metrics.count(Metric::ResultsUnreadable, 1);
            Box::pin(hold_or_retry(collector, job, unusable)).await.map(|()| false)
        }
    }
}

/// Holds results if the same bytes came twice, far enough apart, or if they changed with each fetch
/// for a day. Otherwise records that they were seen.
async fn hold_or_retry(collector: &Collector<'_>, job: &str, unusable: Unusable) -> Result<()> {
    let Collector { services, drop, part, .. } = collector;
    let now = Timestamp::now();
    let seen = part.unconfirmed.as_ref();
    let same = seen.filter(|seen| seen.digest == unusable.digest);
    let (since, first) = (same.map_or(now, |seen| seen.since), seen.map_or(now, |seen| seen.first));
    let keeps_changing = now >= first + CHANGING_HELD_AFTER;
    let expected = (!keeps_changing).then_some(unusable.digest.as_str());
    if (keeps_changing || collector.is_confirmed(&unusable.digest, now))
        && hold(collector, job, &unusable, expected).await?
    {
        return Ok(());
    }
    let (code, line, error) =
        (unusable.problem.code.as_str(), unusable.problem.line, &unusable.problem.message);
    tracing::warn!(
        drop = %drop.id, part = part.plan.number, job, code, line, error,
        "results cannot be used; they are fetched again"
    );
    let attempt = FailedAttempt {
        retry_at: collector.next_try(now).max(since + collector.confirm_after()),
        problem: Some(Problem::results_unconfirmed(part.plan.number, error)),
        unconfirmed: Some(Unconfirmed { digest: unusable.digest, since, first }),
    };
    collector.report_is_due().await?;
    services.ledger.record_attempt(part, &attempt).await.map(|_| ())
}

/// Keeps a copy of the results and records it; `false` if other bytes came than expected, or
/// another attempt was first.
async fn hold(
    collector: &Collector<'_>,
    job: &str,
    unusable: &Unusable,
    expected: Option<&str>,
) -> Result<bool> {
    let Collector { services, drop, part, .. } = collector;
    let key = ObjectKey::held(&drop.id, part.plan.number, &unusable.digest);
    let Some(kept) = keep(collector, job, &key, expected).await? else { return Ok(false) };
    let now = Timestamp::now();
    let held = HeldResults {
        key,
        bytes: kept.bytes,
        digest: kept.digest,
        code: unusable.problem.code,
        message: unusable.problem.message.clone(),
        line: unusable.problem.line,
        setting: unusable.problem.setting.to_owned(),
        judged_under: services.settings.reading.to_string(),
        since: now,
        fetched_at: now,
    };
    collector.report_is_due().await?;
    announce(collector, &held).await?;
    Ok(services.ledger.hold(part, &held, now + FETCHED_EVERY).await?.ours)
}

/// Announces that results are held, and why. The event goes before the record: if the bus does not
/// accept it, the next attempt puts it again.
async fn announce(collector: &Collector<'_>, held: &HeldResults) -> Result<()> {
    let Collector { services, drop, part, .. } = collector;
    let kept = PartRecord { held: Some(held.clone()), ..(*part).clone() };
    let event = NeedsAction::of(&kept, Some(drop), &services.settings.results_bucket);
    let event: Vec<_> =
        event.map(|event| OutgoingEvent::DropNeedsAction(Box::new(event))).into_iter().collect();
    services.bus.put(&event).await?;
    let (key, folder, number, job) =
        (&drop.source.key, &drop.folder, part.plan.number, part.job_id.as_deref());
    let (code, line, error, setting, object) =
        (held.code.as_str(), held.line, &held.message, &held.setting, held.key.as_str());
    tracing::error!(
        drop = %drop.id, key, folder, part = number, job, alarm = "results_held", code, line, error,
        setting, object,
        "results cannot be used; they are kept, and the part is held"
    );
    Ok(())
}

/// Stores the results unchanged; `None` if they are not the expected ones.
async fn keep(
    collector: &Collector<'_>,
    job: &str,
    key: &ObjectKey,
    expected: Option<&str>,
) -> Result<Option<WrittenObject>> {
    let bucket = &collector.services.results;
    let mut body = results::open(collector.services, job).await?;
    let mut writer = bucket.begin(key, 0);
    let kept = async {
        while let Some(bytes) = results::next(&mut body).await? {
            writer.write(&bytes, expected).await?;
        }
        writer.finish(expected).await.context("keep the results")
    }
    .await;
    let kept = match kept {
        Ok(kept) => kept,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    let is_expected = expected.is_none_or(|expected| kept.digest == expected)
        && kept.written != Written::Conflict;
    if !is_expected && kept.written == Written::New {
        bucket.delete(key).await?;
    }
    Ok(is_expected.then_some(kept))
}

/// Judges held results again: the kept copy if a setting has changed, and then, once a day, the
/// API's results.
async fn judge_again(collector: &Collector<'_>, job: &str, mut held: HeldResults) -> Result<bool> {
    let Collector { services, drop, part, .. } = collector;
    let now = Timestamp::now();
    let failed = |error: &anyhow::Error, what: &str| {
        let error = describe(error);
        tracing::warn!(
            drop = %drop.id, part = part.plan.number, job, error, what,
            "held results stay as they are"
        );
    };
    let reading = services.settings.reading.to_string();
    if held.judged_under != reading {
        match Box::pin(collect_from(collector, Origin::Kept(&held))).await {
            Ok(collected) => return Ok(collected),
            Err(NotCollected::Unusable(Unusable { problem, .. })) => {
                let was = (held.code, held.setting);
                (held.code, held.message, held.line) =
                    (problem.code, problem.message, problem.line);
                (held.setting, held.judged_under) = (problem.setting.to_owned(), reading);
                if was != (held.code, held.setting.clone()) {
                    announce(collector, &held).await?;
                }
            }
            Err(NotCollected::Failed(error)) => {
                failed(&error, "the kept results could not be read")
            }
        }
    }
    if now.duration_since(held.fetched_at) >= FETCHED_EVERY {
        match Box::pin(collect_from(collector, Origin::Better(job))).await {
            Ok(collected) => return Ok(collected),
            Err(NotCollected::Unusable(_)) => {}
            Err(NotCollected::Failed(error)) => {
                failed(&error, "better results could not be fetched")
            }
        }
        held.fetched_at = now;
    }
    collector.report_is_due().await?;
    services.ledger.hold(part, &held, held.fetched_at + FETCHED_EVERY).await?;
    Ok(false)
}
