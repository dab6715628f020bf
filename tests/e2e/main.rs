//! Whole drops, from a file in one bucket to its results in the other, through the functions' own
//! binary or in this process.
//!
//! The tests run side by side: each has servers, ports, folders and processes of its own, `scale`
//! measures its own processes, and no test changes this process's environment. They share the log
//! that `logs` keeps, where each looks for its own drop.

mod cancel;
mod check;
mod command;
mod drops;
mod events;
mod inbox;
mod killed;
mod levels;
mod map;
mod observed;
mod probe;
mod reading;
mod refusals;
mod scale;
mod template;
mod upgrade;

/// `moondrop` as it is built for these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_moondrop-under-test");

/// Held by the tests that keep the machine busy or go by how long something takes: beside one
/// another they would mislead.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
