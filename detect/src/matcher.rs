//! The fast evaluator: the cost of an event hardly depends on the number of rules.
//!
//! # How
//! [`Program`] is compiled once per group. Every test of every rule becomes an *atom*; equal tests of
//! different rules are one atom. Literal text tests without case are decided together, per field and
//! in one pass over each value ([`index`]): equality by hash, beginnings and ends by the hash of their
//! first or last bytes, substrings by a scan for a few rare bytes of each ([`scan`]). All other tests are
//! decided on demand and remembered for the event.
//!
//! Each rule is registered under the rarest set of literal atoms of which one must hold for the rule
//! to hold ([`compile`]). Only rules one of whose atoms was seen are evaluated; rules that can hold
//! without any (negations) are evaluated always. Fields that no registration needs are not even read
//! before a rule asks.
//!
//! # Invariants
//! A registration may only be too wide: what is inside a negation never counts, and absent fields
//! satisfy `null`, `not` and `exists: false` without any atom. Nothing allocates per event once the
//! scratch has grown, but for rare comparisons of unusual numbers and times. The meaning of a test is
//! [`crate::ir`]'s; this module must never decide one differently.

mod compile;
mod index;
mod literal;
mod run;
mod scan;

pub(crate) use compile::Program;
pub(crate) use run::{Scratch, matches};

#[cfg(test)]
mod tests;
