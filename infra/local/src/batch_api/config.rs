//! How the sandbox is started.

use super::quirk::Quirk;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where jobs, their inputs and their outputs are kept. They survive a kill and a restart.
    pub dir: PathBuf,
    /// The bearer key it accepts.
    pub api_key: SecretString,
    /// The port to listen on, on loopback; any if 0, or if this one is taken.
    pub port: u16,
    /// From a complete upload to `COMPLETED`, split evenly over the states between. Zero is at
    /// once.
    pub job_time: Duration,
    /// How fast the clock runs; 1.0 is real time. `job_time`, the 4 hours of a URL and the 30 days
    /// of a job go by it.
    pub clock_speed: f64,
    /// How many jobs may be created per second of real time; above it, the answer is 429 with
    /// `Retry-After`.
    pub max_create_per_second: Option<u32>,
    /// What a query for an unknown or archived job among others answers.
    pub missing_ids: MissingIds,
    /// How it misbehaves; for tests.
    pub quirk: Option<Quirk>,
}

impl SandboxConfig {
    /// Any port, jobs of 3 seconds, real time, no rate limit, the strict reading of missing ids.
    pub fn new(dir: impl Into<PathBuf>, api_key: impl Into<SecretString>) -> Self {
        Self {
            dir: dir.into(),
            api_key: api_key.into(),
            port: 0,
            job_time: Duration::from_secs(3),
            clock_speed: 1.0,
            max_create_per_second: None,
            missing_ids: MissingIds::NotFound,
            quirk: None,
        }
    }
}

/// What a query for an unknown or archived job answers. The Batch API's documentation can be read
/// both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingIds {
    /// The whole request is answered 404.
    #[default]
    NotFound,
    /// The answer holds the other jobs.
    LeftOut,
}
