//! The sandbox: a Batch API on this machine, faithful to the Batch API's documentation in its jobs,
//! pre-signed URLs, states and refusals.
//!
//! What it does not do: call webhooks, judge content with any sense (see the word lists in
//! `labels`), or limit a job's size.
//!
//! ```text
//! sandbox ─▶ api (create, get, cancel) ─┐
//!    ├─────▶ transfer (signed PUT, GET) ├▶ shared ─▶ clock, sign, store ─▶ job
//!    └─────▶ worker ─▶ evaluate ────────┘
//! ```
//!
//! All of them look at `quirk`: one way to misbehave, on request, for the tests of `moondrop probe`.

mod api;
mod clock;
mod config;
mod evaluate;
mod job;
mod labels;
mod quirk;
mod sandbox;
mod shared;
mod sign;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod worker;

pub use config::{MissingIds, SandboxConfig};
pub use job::{JobState, JobSummary};
pub use quirk::Quirk;
pub use sandbox::Sandbox;
