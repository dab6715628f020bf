//! Announcing to collect the parts that have ended.

use crate::context::Tick;
use anyhow::Result;
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::event::{JobFailed, OutgoingEvent};
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::settings::Settings;

/// How many are announced in one call: as many as EventBridge takes.
pub(crate) const AT_ONCE: usize = 10;

/// Whether a part's end is to be announced: at once, when collect's next try is due, and now and then if nothing comes of it.
/// Results that are held are looked at again as soon as a setting has changed.
pub(crate) fn is_due(part: &PartRecord, settings: &Settings, now: Timestamp) -> bool {
    if !part.state.is_collectable() {
        return false;
    }
    let Some(announced) = part.announced_at else { return true };
    let waited = now.duration_since(announced).unsigned_abs();
    let judged_otherwise = part.held.as_ref().is_some_and(|held| held.judged_under != settings.reading.to_string());
    if judged_otherwise && waited >= settings.retry_after {
        return true;
    }
    match part.retry_at {
        Some(due) if now < due => false,
        Some(due) => announced < due || waited >= settings.remind_after,
        None => waited >= settings.remind_after,
    }
}

/// Announces the ends of parts, in one call, and records that.
pub(crate) async fn announce(tick: &Tick<'_>, parts: Vec<PartRecord>) -> Result<()> {
    // What fails of one part holds back no other's announcement; the first failure is reported in the end.
    let mut outcome = Ok(());
    let (mut events, mut announced) = (Vec::new(), Vec::new());
    for part in parts {
        match event_of(tick, &part).await {
            Ok(event) => {
                events.push(event);
                announced.push(part);
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    tick.services.bus.put(&events).await?;
    outcome.and(tick.services.ledger.record_announced(&announced, tick.now).await)
}

async fn event_of(tick: &Tick<'_>, part: &PartRecord) -> Result<OutgoingEvent> {
    let Some(failure) = &part.failure else {
        let (drop, number, job) = (part.drop.clone(), part.plan.number, part.job_id.clone());
        return Ok(OutgoingEvent::JobCompleted { drop, part: number, job });
    };
    let failed = |drop: Option<&DropRecord>| OutgoingEvent::JobFailed(Box::new(JobFailed::of(part, failure, drop)));
    match tick.drop_of(part) {
        Some(drop) => Ok(failed(Some(drop))),
        // The index lags: the drop may not be in it yet.
        None => Ok(failed(tick.services.ledger.drop_record(&part.drop).await?.as_ref())),
    }
}
