//! Events: what comes in from S3 and from poll, and what goes out on Moondrop's bus.

#![warn(missing_docs)]

mod incoming;
mod outgoing;

pub use incoming::{Bucket, CreatedObject, JobEnded, JobEndedDetail, ObjectCreated, ObjectCreatedDetail};
pub use outgoing::{
    DropEvent, EVENT_SCHEMA, EVENT_SOURCE, EventFiles, EventPart, EventRows, HeldFile, JobFailed, NeedsAction, OutgoingEvent,
};
