//! Results that cannot be used: fetched again, and then held as they came.
//!
//! ```text
//! cannot be used ──▶ doubtful ──the same bytes, ten minutes later──▶ held ──a setting, or better results──▶ collected
//!                       └──other bytes: doubtful again                └──once a day: asked for again
//! ```
//!
//! A held part waits for as long as it takes: it is neither lost nor failed, and its copy outlives the API's.

use crate::part::collect_from;
use crate::results::{self, Doubt, Origin};
use anyhow::{Context, Result};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::drop::object_key::ObjectKey;
use moondrop_shared::error_chain::describe;
use moondrop_shared::event::{NeedsAction, OutgoingEvent};
use moondrop_shared::part::{HeldResults, PartRecord, Unconfirmed};
use moondrop_shared::problem::Problem;
use moondrop_shared::services::Services;
use moondrop_shared::services::metrics::Metric;
use moondrop_shared::services::s3::results_bucket::{Written, WrittenObject};
use std::time::Duration;

/// From when on results that come otherwise each time are held as they came last.
const NEVER_THE_SAME: SignedDuration = SignedDuration::from_hours(24);
/// How often the API is asked for better results than those that are held.
const FETCHED_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Collects a part whose job has completed; `false` if its results cannot be used for now.
pub(crate) async fn collect_answered(services: &Services, meta: &DropRecord, part: &PartRecord, job: &str) -> Result<bool> {
    if let Some(held) = &part.held {
        return visit_again(services, meta, part, job, held.clone()).await;
    }
    match Box::pin(collect_from(services, meta, part, Origin::Api(job))).await? {
        Ok(()) => Ok(true),
        Err(doubt) => {
            services.metrics.count(Metric::ResultsUnreadable, 1);
            Box::pin(doubt_or_hold(services, meta, part, job, doubt)).await.map(|()| false)
        }
    }
}

/// When collect is to try again after a failure: after two minutes, then four, and so on, up to an hour.
pub(crate) fn next_try(services: &Services, part: &PartRecord, now: Timestamp) -> Timestamp {
    let settings = &services.settings;
    let wait = settings.retry_after.saturating_mul(1 << part.attempts.min(16)).min(settings.remind_after);
    now + in_time(wait)
}

fn in_time(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(FETCHED_EVERY)
}

/// Whether these bytes were seen before, long enough ago to be believed.
pub(crate) fn is_confirmed(services: &Services, part: &PartRecord, digest: &str, now: Timestamp) -> bool {
    let confirm_after = in_time(services.settings.confirm_after);
    part.doubtful.as_ref().is_some_and(|seen| seen.digest == digest && now >= seen.since + confirm_after)
}

/// Holds results that came the same way twice, long enough apart, or otherwise each time for a day; otherwise notes them.
async fn doubt_or_hold(services: &Services, meta: &DropRecord, part: &PartRecord, job: &str, doubt: Doubt) -> Result<()> {
    let now = Timestamp::now();
    let seen = part.doubtful.as_ref();
    let same = seen.filter(|seen| seen.digest == doubt.digest);
    let (since, first) = (same.map_or(now, |seen| seen.since), seen.map_or(now, |seen| seen.first));
    let never_the_same = now >= first + NEVER_THE_SAME;
    let expected = (!never_the_same).then_some(doubt.digest.as_str());
    if (never_the_same || is_confirmed(services, part, &doubt.digest, now))
        && hold(services, meta, part, job, &doubt, expected).await?
    {
        return Ok(());
    }
    let (class, line, error) = (doubt.problem.code, doubt.problem.line, &doubt.problem.message);
    tracing::warn!(drop = %meta.id, part = part.plan.number, job, class, line, error, "results cannot be used; they are fetched again");
    let failing = Problem::new(
        "E_RESULTS",
        format!("the results of part {} cannot be used as they came: {error}", part.plan.number),
        "They are fetched again by themselves. If they come the same way again, they are kept, and an event says so.",
    );
    let doubtful = Unconfirmed { digest: doubt.digest, since, first };
    let retry_at = next_try(services, part, now).max(since + in_time(services.settings.confirm_after));
    services.ledger.note_attempt(part, retry_at, &failing, Some(&doubtful)).await?;
    Ok(())
}

/// Keeps a copy of the results and records it; `false` if what came is not what was expected, or another was first.
async fn hold(
    services: &Services,
    meta: &DropRecord,
    part: &PartRecord,
    job: &str,
    doubt: &Doubt,
    expected: Option<&str>,
) -> Result<bool> {
    let key = ObjectKey::Held { drop: &meta.id, part: part.plan.number, digest: &doubt.digest }.to_string();
    let Some(kept) = keep(services, job, &key, expected).await? else { return Ok(false) };
    let now = Timestamp::now();
    let held = HeldResults {
        key,
        bytes: kept.bytes,
        digest: kept.digest,
        class: String::new(),
        reason: String::new(),
        line: None,
        setting: String::new(),
        judged_under: String::new(),
        since: now,
        fetched_at: now,
    };
    let held = judged(services, held, doubt);
    tell(services, meta, part, &held).await?;
    services.ledger.hold(part, &held, now + FETCHED_EVERY).await
}

/// Says that results are held, and why. The event goes before the record: one that the bus did not take is put again by the next
/// attempt.
async fn tell(services: &Services, meta: &DropRecord, part: &PartRecord, held: &HeldResults) -> Result<()> {
    let kept = PartRecord { held: Some(held.clone()), ..part.clone() };
    let event = NeedsAction::of(&kept, Some(meta), &services.settings.results_bucket);
    let event: Vec<_> = event.map(|event| OutgoingEvent::DropNeedsAction(Box::new(event))).into_iter().collect();
    services.bus.put(&event).await?;
    let (class, line, error, setting, object) = (&held.class, held.line, &held.reason, &held.setting, &held.key);
    tracing::error!(drop = %meta.id, key = meta.source.key, folder = meta.folder, part = part.plan.number, job = part.job_id, alarm = "results_held", class, line, error, setting, object, "results cannot be used; they are kept, and the part is held");
    Ok(())
}

/// Stores the results as they come; `None` if they are not those expected.
async fn keep(services: &Services, job: &str, key: &str, expected: Option<&str>) -> Result<Option<WrittenObject>> {
    let mut body = results::open(services, job).await?;
    let mut writer = services.store.begin(key, 0);
    let kept = async {
        while let Some(bytes) = body.next().await {
            writer.write(&bytes.context("read the results")?, expected).await?;
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
    let is_expected = expected.is_none_or(|expected| kept.digest == expected) && kept.written != Written::Conflict;
    if !is_expected && kept.written == Written::New {
        services.store.delete(key).await?;
    }
    Ok(is_expected.then_some(kept))
}

/// What is wrong with held results, by the settings of now.
fn judged(services: &Services, held: HeldResults, doubt: &Doubt) -> HeldResults {
    let problem = &doubt.problem;
    HeldResults {
        class: problem.code.to_owned(),
        reason: problem.message.clone(),
        line: problem.line,
        setting: problem.setting.to_owned(),
        judged_under: services.settings.reading.to_string(),
        ..held
    }
}

/// Looks at held results again: at the kept ones, once a setting has changed, and then, once a day, at the API's.
async fn visit_again(
    services: &Services,
    meta: &DropRecord,
    part: &PartRecord,
    job: &str,
    mut held: HeldResults,
) -> Result<bool> {
    let now = Timestamp::now();
    let failed = |error: &anyhow::Error, what: &str| {
        let error = describe(error);
        tracing::warn!(drop = %meta.id, part = part.plan.number, job, error, what, "held results stay as they are");
    };
    if held.judged_under != services.settings.reading.to_string() {
        match Box::pin(collect_from(services, meta, part, Origin::Kept(&held))).await {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(doubt)) => {
                let was = (held.class.clone(), held.setting.clone());
                held = judged(services, held, &doubt);
                if was != (held.class.clone(), held.setting.clone()) {
                    tell(services, meta, part, &held).await?;
                }
            }
            Err(error) => failed(&error, "the kept ones could not be read"),
        }
    }
    if now.duration_since(held.fetched_at) >= FETCHED_EVERY {
        match Box::pin(collect_from(services, meta, part, Origin::Better(job))).await {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(_)) => {}
            Err(error) => failed(&error, "better ones could not be fetched"),
        }
        held.fetched_at = now;
    }
    services.ledger.hold(part, &held, held.fetched_at + FETCHED_EVERY).await?;
    Ok(false)
}
