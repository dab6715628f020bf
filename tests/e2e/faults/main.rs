//! Each fault that a service, a network or a file can bring, by name: the functions are called in this process, over real
//! sockets, with a Batch API that answers what the test says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod collect;
mod collect_bytes;
mod poll_answers;
mod poll_heals;
mod secrets;
mod submit_create;
mod submit_queue;
mod submit_upload;

const BINARY: &str = env!("CARGO_BIN_EXE_moondrop-under-test");

/// How many parts are many: `MOONDROP_MANY_PARTS`, up to 10,000; fewer by default, since the local DynamoDB takes its time.
fn many() -> u32 {
    std::env::var("MOONDROP_MANY_PARTS").map_or(1_500, |text| text.parse().unwrap())
}
