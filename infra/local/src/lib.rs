//! Moondrop on one machine: the functions of AWS, unmodified, with S3, DynamoDB, EventBridge,
//! Secrets Manager, the Lambda Runtime API and a sandbox of the Batch API served to them on
//! loopback, behind their real protocols.
//!
//! ```text
//! main ─▶ commands ─▶ run ──────────┐
//!            │    ├──▶ up ──────────┤
//!            │    │                 ▼
//!            │    │     upload, export ─▶ local_stack ─▶ aws (S3, DynamoDB, events, secrets, the functions' processes)
//!            │    │                           └────────▶ batch_api (the sandbox), or the real one by its URL
//!            │    ├──▶ sandbox ────────────────────────▶ batch_api
//!            │    └──▶ probe ──────────────────────────▶ batch_api, or the real one by its URL
//!            ├───────▶ check (files and the shared crate's checker, and nothing of the stack)
//!            └───────▶ function (one of the functions, in this process)
//! ```
//!
//! On the ground floor, used by all: `exit` (exit codes, usage errors), `files` (a file written
//! whole or not at all, or named by the user), `folder_lock` (one process at a time in a folder), `sync`, `uuid`. Arrows
//! go down only: no file uses one that uses it.

// The crate is a command and is never published: its docs say why, not what a name says already.
#![allow(missing_docs)]
// Tests may; what is not a test is linted without this when the library itself is.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout))]

pub mod aws;
pub mod batch_api;
pub mod commands;
pub mod exit;
pub mod export;
mod files;
mod folder_lock;
pub mod local_stack;
mod sync;
pub mod upload;
mod uuid;
