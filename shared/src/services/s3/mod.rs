//! S3: the bucket that files are dropped into, and the one that results are written to.

pub mod drops_bucket;
pub mod results_bucket;
