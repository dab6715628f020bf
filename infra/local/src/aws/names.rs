//! What things are called in the emulated AWS.

/// The region everything is in.
pub const REGION: &str = "us-east-1";
/// The account everything is in.
pub const ACCOUNT: &str = "000000000000";
/// The access key that S3 takes; the others take any.
pub const ACCESS_KEY: &str = "test";
pub const SECRET_KEY: &str = "test";
/// The bucket that files are dropped into, below `incoming/`.
pub const DROPS: &str = "drops";
/// The bucket that results are found in.
pub const RESULTS: &str = "results";
/// The ledger's table.
pub const TABLE: &str = "moondrop";
/// The table's sparse index of what is still open.
pub const INDEX: &str = "open-index";
/// The bus that the functions put events on.
pub const BUS: &str = "moondrop";
/// The bus that AWS itself puts events on.
pub(crate) const DEFAULT_BUS: &str = "default";
