//! Moondrop on one machine: the functions of AWS, unmodified, with S3, DynamoDB, EventBridge, Secrets Manager, the Lambda
//! Runtime API and a sandbox of the Batch API served to them on loopback, behind their real protocols.
//!
//! ```text
//! cli ──▶ run, up ──▶ machine ──▶ stack (AWS, and a process for each function)
//!                          └────▶ sandbox (the Batch API), or the real one by its address
//! ```

pub mod cli;
pub mod export;
pub mod machine;
pub mod place;
pub mod run;
pub mod sandbox;
pub mod stack;
pub mod up;
