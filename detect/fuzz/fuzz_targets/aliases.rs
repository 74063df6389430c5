//! Alias tables and events, see `detect_fuzz::aliases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| detect_fuzz::aliases::check(data));
