//! The context of a tick.

use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::part::PartRecord;
use moondrop_shared::part::decide::When;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;
use std::time::Duration;

#[derive(Clone, Copy)]
pub(crate) struct Tick<'a> {
    pub(crate) services: &'a Services,
    /// The open drops, as they were when the tick began.
    pub(crate) drops: &'a [DropRecord],
    /// The name that this tick's reports are due under.
    pub(crate) report_name: &'a str,
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

    /// The part's drop, if it is among the open ones.
    pub(crate) fn drop_of(&self, part: &PartRecord) -> Option<&DropRecord> {
        self.drops.iter().find(|drop| drop.id == part.drop)
    }
}
