//! The form of the ledger's records.

/// The version of the form of what is written here. Records of every older form are read, as long as a drop may live; one of a
/// newer form is refused. It grows when an older release could not go on with such a record: a field that it may pass over, and
/// that is absent from older records, changes nothing.
///
/// Form 2: an upload is recorded before its first byte ([`Part::upload_began_at`]), so that a part without that mark was never
/// uploaded. A release that reads form 1 only would upload without it.
pub const SCHEMA: u32 = 2;
/// The first form whose records say whether an upload began.
pub const MARKS_UPLOADS: u32 = 2;
/// The form of records that do not say theirs.
pub const FIRST_SCHEMA: u32 = 1;

pub(crate) fn first_schema() -> u32 {
    FIRST_SCHEMA
}
