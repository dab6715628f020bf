//! What the end-to-end tests share: one environment ([`env`]) with three drivers ([`processes`], [`in_process`] and [`crash`]), to drop
//! files into and read results from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

pub mod crash;
pub mod emf;
pub mod env;
pub mod fake_batch_api;
pub mod fault_proxy;
pub mod in_process;
pub mod logs;
pub mod processes;
pub mod raw_http;
pub mod rows;

/// The example file of the README.
pub const POSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/posts.csv");
