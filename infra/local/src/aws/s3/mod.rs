//! S3: the protocol, the objects as files, which keys can be kept as files, what listings say,
//! multipart uploads, and a lock for each object.

mod checksums;
mod completion;
mod keys;
mod listings;
mod locks;
mod multipart;
mod objects;
mod protocol;
mod uploads;

pub(crate) use keys::longest_drop;
pub(super) use objects::Objects;
pub(super) use protocol::router;
