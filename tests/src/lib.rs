//! What the end-to-end tests share: a whole Moondrop on real sockets, to drop files into and read results from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

pub mod direct;
pub mod emf;
pub mod front;
pub mod logs;
pub mod rows;
pub mod scripted;
pub mod stage;
pub mod wire;
pub mod world;

/// The example file of the README.
pub const POSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/posts.csv");
