//! S3: the bucket for drops, and the bucket for results.

pub mod assembly;
pub mod drops_bucket;
mod multipart;
pub mod object_writer;
pub mod results_bucket;
pub mod source_reader;
