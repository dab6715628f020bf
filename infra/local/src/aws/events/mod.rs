//! EventBridge: the buses with their rules and patterns, `PutEvents`, and the schedule of `poll`.

mod buses;
mod envelope;
mod pattern;
mod put_events;
mod schedule;

pub(super) use buses::Buses;
pub(super) use envelope::Event;
pub(super) use put_events::check;
pub(super) use schedule::tick;
