//! Rule files, see `detect_fuzz::rule`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| detect_fuzz::rule::check(data));
