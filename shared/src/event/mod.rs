//! Events: those that the functions receive from S3 and poll, and those that Moondrop puts on its
//! bus.

#![warn(missing_docs)]

mod incoming;
mod outgoing;

pub use incoming::{
    Announcement, Bucket, CreatedObject, JobEnded, JobEndedDetail, ObjectCreated,
    ObjectCreatedDetail,
};
pub use outgoing::{
    DropEvent, EVENT_SCHEMA, EVENT_SOURCE, EventFiles, EventPart, EventRows, HeldFile, JobFailed,
    NeedsAction, OutgoingEvent,
};
