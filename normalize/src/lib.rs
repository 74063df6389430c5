//! From vendor bytes to rows, and what may leave.

pub mod redact;
