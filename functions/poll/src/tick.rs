//! One tick: ask, decide, record, announce, heal, report.

use crate::ask::{Answers, Asked, ask, key_trouble};
use crate::decide::{Move, decide};
use crate::{gauge, heal};
use anyhow::{Context, Result};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use moondrop_shared::aws::Services;
use moondrop_shared::batch_api::ApiError;
use moondrop_shared::drop::DropId;
use moondrop_shared::event::{Announcement, JobFailed};
use moondrop_shared::ledger::{Open, WRITES_AT_ONCE};
use moondrop_shared::metrics::Metric;
use moondrop_shared::record::{DropState, KEY_REFUSED, Meta, Part, PartState};
use moondrop_shared::runtime::{Deadline, describe};
use std::collections::BTreeSet;

/// Reports under way at once. Each holds the records of all parts of its drop.
const REPORTS_AT_ONCE: usize = 4;

pub(crate) async fn tick(services: &Services, now: Timestamp, deadline: Deadline) -> Result<()> {
    services.metrics.count(Metric::Ticks, 1);
    let Open { records: mut parts, refused: parts_refused } = services.ledger.open_parts().await?;
    let Open { records: drops, refused: drops_refused } = services.ledger.open_drops().await?;
    let mut changed = BTreeSet::new();

    // What fails of one step stops no other: what has ended is announced though the API cannot be asked.
    let asked = move_parts(services, &mut parts, now, deadline, &mut changed).await;
    tell_of_key(services, &drops, &asked, &mut changed).await;
    let announced = announce_ends(services, &drops, &parts, now).await;
    let healed = heal::heal_drops(services, &drops, &parts, now).await;
    gauge::note(&services.metrics, &gauge::read(&drops, &parts, now));
    let swept = if deadline.is_near() { Ok(()) } else { heal::sweep(services, now).await };
    stream::iter(&changed).for_each_concurrent(REPORTS_AT_ONCE, |drop| services.reporter.try_report(drop, 0)).await;
    if drops.is_empty() && parts.is_empty() {
        tracing::debug!("ticked, with nothing open");
    } else {
        tracing::info!(drops = drops.len(), parts = parts.len(), changed = changed.len(), "ticked");
    }
    asked.and(announced).and(healed).and(swept).and(parts_refused).and(drops_refused)
}

/// Asks after every job that is open, and moves its part.
async fn move_parts(
    services: &Services,
    parts: &mut [Part],
    now: Timestamp,
    deadline: Deadline,
    changed: &mut BTreeSet<DropId>,
) -> Result<()> {
    let ids: Vec<String> = parts.iter().filter(|p| p.state.has_open_job()).filter_map(|p| p.job_id.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let asked = tokio::time::timeout(deadline.left(), ask(&services.api, ids)).await;
    let Asked { answers, failure } = asked.context("the API took too long to tell of the jobs")?;
    // What was learnt is made use of; what failed first is told in the end, so that the tick counts as failed.
    let mut outcome = failure.map_or(Ok(()), Err);
    let mut moving = stream::iter(parts.iter_mut().filter(|p| p.state.has_open_job()))
        .map(|part| Box::pin(move_part(services, part, &answers, now, deadline)))
        .buffer_unordered(WRITES_AT_ONCE);
    while let Some(moved) = moving.next().await {
        match moved {
            Ok(drop) => changed.extend(drop),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

/// Moves one part by what the API said of its job; gives its drop, if it changed in a way worth telling.
async fn move_part(
    services: &Services,
    part: &mut Part,
    answers: &Answers,
    now: Timestamp,
    deadline: Deadline,
) -> Result<Option<DropId>> {
    let Some(job) = part.job_id.as_ref().and_then(|id| answers.get(id)).filter(|_| !deadline.is_near()) else {
        return Ok(None);
    };
    let decided = decide(part, job.as_ref(), now);
    let carried = carry_out(services, part, &decided).await;
    if let Err(error) = &carried {
        tracing::warn!(drop = %part.drop, part = part.plan.number, error = describe(error), "a part could not be moved");
    }
    Ok(carried?.then(|| part.drop.clone()))
}

/// A key that the API does not take stands in the status of every drop that waits for it, until it is taken again. Where the
/// asking failed of something else, nothing is known of the key, and what stands there stays.
async fn tell_of_key(services: &Services, drops: &[Meta], asked: &Result<()>, changed: &mut BTreeSet<DropId>) {
    let trouble = match asked.as_ref().map_err(key_trouble) {
        Ok(()) => None,
        Err(None) => return,
        Err(of_key) => of_key,
    };
    if let Some(trouble) = &trouble {
        tracing::error!(alarm = "api_key_refused", error = trouble.reason, "the API cannot be called with the API key");
    }
    for meta in drops.iter().filter(|meta| meta.state == DropState::Evaluating) {
        let told = meta.trouble.as_ref().is_some_and(|trouble| trouble.class == KEY_REFUSED);
        if told == trouble.is_some() {
            continue;
        }
        let trouble = trouble.clone();
        if let Err(error) = services.ledger.note_trouble(&Meta { trouble, ..meta.clone() }).await {
            tracing::warn!(drop = %meta.id, error = describe(&error), "the drop's trouble was not noted");
        }
        changed.insert(meta.id.clone());
    }
}

/// Does what was decided; whether the part's record changed in a way worth telling. `part` then stands as it is recorded.
async fn carry_out(services: &Services, part: &mut Part, decided: &Move) -> Result<bool> {
    let ledger = &services.ledger;
    let number = part.plan.number;
    match decided {
        Move::Nothing => Ok(false),
        Move::Record { job, state, failure } => {
            if !ledger.record_job_state(part, job, *state, failure.as_ref()).await? {
                return Ok(false);
            }
            if let Some(failure) = failure {
                tracing::error!(drop = %part.drop, part = number, job = part.job_id, state = job.as_str(), alarm = "job_failed", error = failure.reason, "a job ended without results");
                services.metrics.count(Metric::JobsFailed, 1);
                part.failure = Some(failure.clone());
            }
            part.state = state.unwrap_or(part.state);
            (part.job_state, part.job_rank) = (Some(job.clone()), job.rank());
            Ok(true)
        }
        Move::NoteMissing(since) => {
            if since.is_some() {
                tracing::warn!(drop = %part.drop, part = number, job = part.job_id, "the API does not know a job; it is held for an hour");
            }
            ledger.note_missing(part, *since).await
        }
        Move::Lose(failure) => {
            let lost = ledger.lose(part, failure).await?;
            if lost {
                tracing::error!(drop = %part.drop, part = number, job = part.job_id, alarm = "job_lost", error = failure.reason, "a job is lost; its rows end as missing");
                services.metrics.count(Metric::JobsLost, 1);
                (part.state, part.failure) = (PartState::Failed, Some(failure.clone()));
            }
            Ok(lost)
        }
        Move::Abandon => {
            // The claim first: cancelling without it could hit a job that another attempt is feeding.
            let claimed = ledger.abandon(part).await?;
            if claimed {
                part.state = PartState::Abandoning;
                cancel(services, part).await?;
            }
            Ok(claimed)
        }
        Move::Cancel => cancel(services, part).await.map(|()| false),
        Move::PlanAgain => plan_again(services, part).await,
    }
}

async fn cancel(services: &Services, part: &Part) -> Result<()> {
    let job = part.job_id.as_deref().context("a claimed part has no job")?;
    match services.api.cancel(job).await {
        // What became of it, the next tick sees; a job that cannot be cancelled has ended, or is gone.
        Ok(()) | Err(ApiError::NotFound(_) | ApiError::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn plan_again(services: &Services, part: &mut Part) -> Result<bool> {
    let planned = services.ledger.plan_again(part).await?;
    if planned {
        tracing::info!(drop = %part.drop, part = part.plan.number, job = part.job_id, "a job that was never fed is given up; the part gets another");
        (part.state, part.job_id) = (PartState::Planned, None);
    }
    Ok(planned)
}

/// Tells collect of every part that has ended and is not collected: at once, and again if nothing comes of it.
async fn announce_ends(services: &Services, drops: &[Meta], parts: &[Part], now: Timestamp) -> Result<()> {
    let remind_after = services.settings.remind_after;
    let due = |part: &&Part| {
        let waited = part.announced_at.map(|at| now.duration_since(at).unsigned_abs());
        part.state.is_collectable() && waited.is_none_or(|waited| waited >= remind_after)
    };
    // What fails of one part holds back no other's announcement; the first failure is told in the end.
    let mut outcome = Ok(());
    let (mut announcements, mut announced) = (Vec::new(), Vec::new());
    for part in parts.iter().filter(due) {
        match announcement(services, drops, part).await {
            Ok(announcement) => {
                announcements.push(announcement);
                announced.push(part);
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    services.bus.put(&announcements).await?;
    let mut noting =
        stream::iter(announced).map(|part| services.ledger.note_announced(part, now)).buffer_unordered(WRITES_AT_ONCE);
    while let Some(noted) = noting.next().await {
        outcome = outcome.and(noted.map(|_| ()));
    }
    outcome
}

async fn announcement(services: &Services, drops: &[Meta], part: &Part) -> Result<Announcement> {
    let Some(failure) = &part.failure else {
        let (drop, number, job) = (part.drop.clone(), part.plan.number, part.job_id.clone());
        return Ok(Announcement::JobCompleted { drop, part: number, job });
    };
    let failed = |meta: Option<&Meta>| Announcement::JobFailed(Box::new(JobFailed::of(part, failure, meta)));
    match drops.iter().find(|meta| meta.id == part.drop) {
        Some(meta) => Ok(failed(Some(meta))),
        // The index lags: the drop may not be in it yet.
        None => Ok(failed(services.ledger.meta(&part.drop).await?.as_ref())),
    }
}
