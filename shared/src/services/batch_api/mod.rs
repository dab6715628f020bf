//! The Batch API: create a job, ask for jobs, cancel one; and the pre-signed URLs by which rows go up and results come down.
//!
//! `client` makes the calls and says what their answers mean; `wire` reads the answers' JSON; [`transfer`] moves the bytes.

pub mod api_key;
mod client;
mod error;
pub mod http;
pub mod transfer;
mod wire;

pub use client::{BatchApi, JOBS_PER_GET, NewJob};
pub use error::ApiError;
