//! AWS as Moondrop sees it, on this machine: S3, DynamoDB, EventBridge, Secrets Manager and the
//! queues, served on loopback behind their real protocols, and each function as a process of its own
//! behind the Lambda Runtime API.
//!
//! ```text
//! s3 ────────▶ events::buses ──▶ lambda::queue ─┬▶ lambda::invoker ◀── lambda::runtime ◀── lambda::process
//! json_api ─▶       │                           │      (one of each for submit, poll and collect)
//!                   └ events::schedule ─────────┘
//! ```
//!
//! `emulator` puts them together; `dynamodb` and `secrets` depend on none of them.

mod config;
mod dynamodb;
mod emulator;
mod endpoints;
mod events;
mod json_api;
mod lambda;
mod names;
mod s3;
mod secrets;
mod server;
#[cfg(test)]
mod tests;

pub use config::{AwsConfig, Ports, Processes, Redelivery};
pub use emulator::AwsEmulator;
pub use endpoints::Endpoints;
pub use lambda::{Counts, Function};
pub use names::{ACCESS_KEY, ACCOUNT, BUS, DROPS, INDEX, REGION, RESULTS, SECRET_KEY, TABLE};
pub(crate) use s3::longest_drop;
