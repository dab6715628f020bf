//! The strict check of a file, and its parts fed and joined: what must hold is in
//! `tests/properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    moondrop_properties::check(bytes);
    moondrop_properties::resumed_check(bytes);
});
