//! The context of a tick.

use jiff::Timestamp;
use moondrop_shared::drop::DropRecord;
use moondrop_shared::part::PartRecord;
use moondrop_shared::services::Services;
use moondrop_shared::services::lambda::Deadline;

#[derive(Clone, Copy)]
pub(crate) struct Tick<'a> {
    pub(crate) services: &'a Services,
    /// The open drops, as they were when the tick began.
    pub(crate) drops: &'a [DropRecord],
    pub(crate) now: Timestamp,
    pub(crate) deadline: Deadline,
}

impl Tick<'_> {
    /// The part's drop, if it is among the open ones.
    pub(crate) fn drop_of(&self, part: &PartRecord) -> Option<&DropRecord> {
        self.drops.iter().find(|drop| drop.id == part.drop)
    }
}
