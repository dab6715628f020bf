//! How the command ends: its exit codes, and the error that means a wrong command line.

/// Every drop completed (rows may have errors, which are reported).
pub const EXIT_OK: u8 = 0;
/// Anything that is none of the others.
pub const EXIT_OTHER: u8 = 1;
/// The command line cannot be carried out.
pub const EXIT_USAGE: u8 = 2;
/// A drop was rejected or failed; `moondrop check`: it would be.
pub const EXIT_DROP: u8 = 3;
/// `moondrop probe`: the API does not meet an assumption.
pub const EXIT_NOT_MET: u8 = 3;

/// A command line that cannot be carried out: the command ends with [`EXIT_USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
