//! Events and paths, see `detect_fuzz::walk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| detect_fuzz::walk::check(data));
