//! What the end-to-end tests share: the servers and what is done with them (`env`), three drivers
//! that run the functions (`processes`, `in_process`, `crash`), servers that fail as a test says,
//! and readers of what comes out.

pub mod crash;
pub mod emf;
pub mod env;
pub mod fake_batch_api;
pub mod fault_proxy;
pub mod files;
pub mod in_process;
pub mod logs;
pub mod processes;
pub mod raw_http;
pub mod rows;
pub mod slow_proxy;

/// The example file of the README.
pub const POSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/posts.csv");
