//! The form of the ledger's records.

/// The version of the form of what is written to the ledger. A record of another form is refused by name and left as it is: what is
/// not understood here could only be lost. It grows when an older release could not continue with such a record; a field that an
/// older release may ignore, and that is absent from older records, changes nothing.
///
/// Form 3 has `problem`, `source_missing`, `unexpected` and `duplicates` where forms 1 and 2 had other names.
pub const SCHEMA: u32 = 3;
