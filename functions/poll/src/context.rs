//! The context of a tick.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::part::PartRecord;
use moondrop_shared::part::decide::When;
use moondrop_shared::services::Services;
use moondrop_shared::services::batch_api::ApiError;
use moondrop_shared::services::lambda::Deadline;
use moondrop_shared::source::DropId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the API said of the key's right to cancel jobs, or to list them for the sweep, in this tick.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    accepted: AtomicBool,
    refused: AtomicBool,
}

impl Cancels {
    pub(crate) fn accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    /// Notes an error if it is about that right (403).
    pub(crate) fn failed(&self, error: &ApiError) {
        if matches!(error, ApiError::NotPermitted(_)) {
            self.refused.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the key has the right; `None` if nothing shows it.
    pub(crate) fn allowed(&self) -> Option<bool> {
        match (self.refused.load(Ordering::Relaxed), self.accepted.load(Ordering::Relaxed)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Tick<'a> {
    pub(crate) services: &'a Services,
    /// The open drops, as they were when the tick began.
    pub(crate) drops: &'a [DropRecord],
    /// How many parts each of them had that were not collected.
    pub(crate) open_parts: &'a HashMap<DropId, u32>,
    /// The name that this tick's reports are due under.
    pub(crate) report_name: &'a str,
    pub(crate) cancels: &'a Cancels,
    /// When the invocation began, by the clock.
    pub(crate) began: Timestamp,
    /// The time that the tick decides by.
    pub(crate) now: Timestamp,
    pub(crate) deadline: Deadline,
}

impl Tick<'_> {
    /// The times that decisions depend on; `started_at` is when a job was last seen to have started.
    pub(crate) fn when(&self, started_at: Option<Timestamp>) -> When {
        let settings = &self.services.settings;
        let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        When {
            now: self.now,
            poll_every: signed(settings.poll_every),
            lost_after: signed(settings.lost_after),
            started_at,
        }
    }

    /// How many parts of a drop were not collected when the tick began.
    pub(crate) fn open_parts(&self, drop: &DropId) -> u32 {
        self.open_parts.get(drop).copied().unwrap_or_default()
    }

    /// The part's drop, if it is among the open ones.
    pub(crate) fn drop_of(&self, part: &PartRecord) -> Option<&DropRecord> {
        self.drops.iter().find(|drop| drop.id == part.drop)
    }
}
