//! Whole drops, from a file in one bucket to its results in the other, through the functions' own binary or in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod command;
mod drops;
mod events;
mod killed;
mod observed;
mod refusals;
mod scale;
mod upgrade;

/// `moondrop` as it is built for these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_moondrop-under-test");
