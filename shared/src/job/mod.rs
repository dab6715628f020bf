//! A batch job as the API reports it.

#![warn(missing_docs)]

mod name;
pub(crate) mod report;
mod signed_url;
mod signed_url_hosts;
mod state;

pub use name::JobName;
pub use report::{Job, JobError, Provenance, Reported};
pub use signed_url::SignedUrl;
pub use signed_url_hosts::{SignedUrlHosts, is_aws};
pub use state::JobState;

use jiff::SignedDuration;
use std::time::Duration;

/// How long a pre-signed upload URL is valid, from the job's creation (Batch API's documentation: 4
/// hours).
pub const UPLOAD_URL_LIFE: Duration = Duration::from_secs(4 * 3600);
/// The age up to which an upload URL is used: 15 minutes before it expires, so that a long upload
/// still ends in time.
pub const UPLOAD_URL_USED_FOR: SignedDuration = SignedDuration::from_mins(3 * 60 + 45);
/// The age from which a job that the API does not report is gone: the API keeps records for at
/// least 30 days (Batch API's documentation), and Moondrop waits five days more.
pub const OVERDUE_AFTER: SignedDuration = SignedDuration::from_hours(35 * 24);
