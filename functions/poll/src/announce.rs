//! Telling collect of parts that have ended.

use anyhow::Result;
use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::event::{JobFailed, OutgoingEvent};
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::Services;
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

/// Announces the ends of parts, in one call, and notes that.
pub(crate) async fn announce(services: &Services, drops: &[DropRecord], parts: Vec<PartRecord>, now: Timestamp) -> Result<()> {
    // What fails of one part holds back no other's announcement; the first failure is told in the end.
    let mut outcome = Ok(());
    let (mut announcements, mut announced) = (Vec::new(), Vec::new());
    for part in parts {
        match announcement(services, drops, &part).await {
            Ok(announcement) => {
                announcements.push(announcement);
                announced.push(part);
            }
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    services.bus.put(&announcements).await?;
    outcome.and(services.ledger.note_announced(&announced, now).await)
}

async fn announcement(services: &Services, drops: &[DropRecord], part: &PartRecord) -> Result<OutgoingEvent> {
    let Some(failure) = &part.failure else {
        let (drop, number, job) = (part.drop.clone(), part.plan.number, part.job_id.clone());
        return Ok(OutgoingEvent::JobCompleted { drop, part: number, job });
    };
    let failed = |meta: Option<&DropRecord>| OutgoingEvent::JobFailed(Box::new(JobFailed::of(part, failure, meta)));
    match drops.iter().find(|meta| meta.id == part.drop) {
        Some(meta) => Ok(failed(Some(meta))),
        // The index lags: the drop may not be in it yet.
        None => Ok(failed(services.ledger.meta(&part.drop).await?.as_ref())),
    }
}
