//! The strict check of a file, and its parts fed and joined: what must hold stands in `tests/src/fuzzing.rs`.

#![no_main]

#[path = "../../src/fuzzing.rs"]
#[allow(dead_code)]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::check(bytes));
