//! The Batch API: create a job, ask for jobs, cancel one, and move rows and results through
//! pre-signed URLs.
//!
//! `client` makes the calls and interprets the answers; `wire` reads the answers' JSON;
//! [`transfer`] moves the bytes.

pub mod api_key;
mod client;
mod error;
pub mod http;
pub mod transfer;
mod wire;

pub use client::{BatchApi, JOBS_PER_GET, NewJob};
pub use error::ApiError;
