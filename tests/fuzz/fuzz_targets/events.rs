//! The events that start submit and collect: what must hold stands in `tests/src/fuzzing.rs`.

#![no_main]

#[path = "../../src/fuzzing.rs"]
#[allow(dead_code)]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::event(bytes));
