//! The events that start submit and collect: what must hold is in `tests/properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| moondrop_properties::event(bytes));
