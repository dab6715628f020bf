//! The reader of a job's results: what must hold is in `tests/properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| moondrop_properties::results(bytes));
