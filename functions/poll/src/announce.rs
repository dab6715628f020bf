//! Announces parts that have ended, for collect.

use crate::context::Tick;
use anyhow::Result;
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::event::{JobFailed, OutgoingEvent};
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::settings::Settings;

/// How many parts one call announces: as many as EventBridge accepts.
pub(crate) const AT_ONCE: usize = 10;

/// Whether to announce a part's end: at once, again when collect's next attempt is due, and every
/// `remind_after` if collect has recorded nothing. Held results are announced again as soon as a
/// setting has changed.
pub(crate) fn is_due(part: &PartRecord, settings: &Settings, now: Timestamp) -> bool {
    if !part.state.is_collectable() {
        return false;
    }
    let Some(announced) = part.announced_at else { return true };
    let waited = now.duration_since(announced).unsigned_abs();
    let settings_changed =
        part.held.as_ref().is_some_and(|held| held.judged_under != settings.reading.to_string());
    if settings_changed && waited >= settings.retry_after {
        return true;
    }
    match part.retry_at {
        Some(due) if now < due => false,
        Some(due) => announced < due || waited >= settings.remind_after,
        None => waited >= settings.remind_after,
    }
}

/// Announces the ends of parts in one call, and records that.
pub(crate) async fn announce(tick: &Tick<'_>, parts: Vec<PartRecord>) -> Result<()> {
    // A failure of one part does not hold back the others; the first one is returned at the end.
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
        return Ok(OutgoingEvent::JobCompleted { drop, part: number, job, publish: false });
    };
    let failed = |drop: Option<&DropRecord>| {
        OutgoingEvent::JobFailed(Box::new(JobFailed::of(part, failure, drop)))
    };
    match tick.drop_of(part) {
        Some(drop) => Ok(failed(Some(drop))),
        // The index lags: the drop may not be in it yet.
        None => Ok(failed(tick.services.ledger.drop_record(&part.drop).await?.as_ref())),
    }
}
