//! Vendors that are asked: the parts of one engine for every API that answers JSON over HTTP.
//!
//! Nothing in here does I/O or knows the time: what must never be wrong (proof of identity, what was seen
//! before, how often may be asked) is a state machine that is given both.

pub mod allowance;
pub mod auth;
pub mod backoff;
pub mod request;
pub mod scan;
pub mod seen;
pub mod when;
