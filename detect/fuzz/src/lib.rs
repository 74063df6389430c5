//! What the fuzz targets do with arbitrary bytes.
//!
//! Each looks for more than a crash: it compares what the fast code says with something slow, or with a
//! second way to the same answer, so whatever it asserts holds for all input and a failure is a bug of ours.
//! `fuzz_targets/` gives them to libFuzzer; `detect/tests/fuzz.rs` runs them on the corpus and on mutations of
//! it. They must need nothing but the bytes.

pub mod aliases;
pub mod condition;
pub mod engines;
pub mod rule;
pub mod walk;
