//! The fast evaluator: the cost of an event hardly depends on the number of rules.
//!
//! # How
//! [`Program`] is compiled once per group. Every test of every rule becomes an *atom*; equal tests of
//! different rules are one atom. Literal text tests without case are decided together, per field and
//! in one pass over each value ([`index`]): equality by hash, beginnings and ends by the hash of their
//! first or last bytes, substrings by a scan for a few rare bytes of each ([`scan`]). Networks of one field are decided
//! together for each address ([`networks`]). All other tests are decided on demand and remembered for the event.
//!
//! Each rule is registered under the rarest set of such atoms of which one must hold for the rule
//! to hold ([`registration`]), rare by an estimate at first and then by what was counted. Only rules one of whose atoms
//! was seen are evaluated; rules that can hold without any (negations) are evaluated always. Fields that no registration
//! needs are not even read before a rule asks.
//!
//! # Invariants
//! A registration may only be too wide: what is inside a negation never counts, and absent fields
//! satisfy `null`, `not` and `exists: false` without any atom. Nothing allocates per event once the
//! scratch has grown, but for rare comparisons of unusual numbers and times. The meaning of a test is
//! [`crate::ir`]'s; this module must never decide one differently.
//!
//! # What no test sees
//! Of 412 mutations (cargo-mutants' list for this module and for the parser of conditions, 2026-11-26; 33 more do not
//! compile or could not be switched), the unit tests, the cases and the random rules miss 100. By our
//! reading none of them changes an answer:
//! - estimates and orders, by which a rule is registered elsewhere or asked in another order (`prior`, `cost`, the
//!   sums in `count` and `necessary`; `commonness` in [`scan`]);
//! - hashes and keys that tell less apart, because what a key finds is compared in full (`mix`, `exact_hash`,
//!   `edge_key`, `place`, `is_set`, `gram`, and `is_empty` as a short cut);
//! - short cuts to what follows anyway: `shortest` and the parts of `too_short` that pass over fewer values, ASCII in
//!   `fold`, the arms of `holds`, a literal added twice, truths of atoms that are not remembered;
//! - in [`literal`], what a later check decides again (a text of no length, how many forms of a letter are looked at)
//!   and a rank that orders the same;
//! - memory that is given back earlier or later, or stamps that begin anew (`Scratch::begin`);
//! - how many substrings are sought alone before all are (`search`): `tests/linear.rs` measures that;
//! - texts of 4 GiB, which no record has.
//!
//! Of 58 mutations of operators in [`networks`], [`glance`] and [`registration`] (2026-11-26; three more do not compile) they miss 33, none of which
//! changes an answer either: estimates, prices and the length of pauses; which pairs are thought to be seldom; limits that are one off; parts of a
//! text that touch instead of being joined.

mod compile;
mod glance;
mod index;
mod literal;
mod networks;
mod registration;
mod run;
mod scan;
mod text;

pub(crate) use compile::Program;
pub(crate) use registration::{Tuned, WINDOW};
pub(crate) use run::{Scratch, matches};

#[cfg(test)]
mod tests;
