//! S3: the protocol, the objects as files, which keys can be kept as files, what listings say, and
//! a lock for each object.

mod keys;
mod listings;
mod locks;
mod objects;
mod protocol;

pub(crate) use keys::longest_drop;
pub(super) use objects::Objects;
pub(super) use protocol::router;
