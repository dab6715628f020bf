//! The form of the ledger's records.

/// The version of the ledger's records. A record of another version is refused and left as it is:
/// rewriting it would lose the fields that this release does not know. The version goes up when an
/// older release could not continue with a new record. A field that an older release can ignore,
/// and that older records lack, does not change it.
///
/// Version 3 has `problem`, `source_missing`, `unexpected` and `duplicates`, which versions 1 and 2
/// named otherwise.
pub const SCHEMA: u32 = 3;
