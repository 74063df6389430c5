//! Conditions, see `detect_fuzz::condition`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| detect_fuzz::condition::check(data));
