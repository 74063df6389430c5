//! What is added to an alert before people read it: facts, and later tables, places and prose.
//!
//! Invariant: the facts are pure. They are filled from the event's common columns by a fixed
//! template; the same event gives the same text, and nothing is said that the event does not say.

pub mod attack;
pub mod facts;

pub use facts::{FactsInput, facts, facts_of};
