//! Sigma: from rule text to matches.
//!
//! ```text
//! text --yaml--> tree --parse--> Rule (ir) --bind to a log source--> Group --per worker--> Matcher
//!                                Correlation (ir) --> Plans --> Correlator <-- Observation <--┘
//! ```
//!
//! [`RuleSet::load`] never fails: what cannot be used is a [`Diagnostic`] and is left out. The [`ir`]
//! says what a rule means; [`oracle`] evaluates it slowly and obviously, the matcher fast.
//!
//! Invariant: this crate is pure. It knows no file system, network, clock or async runtime.

pub mod cases;
pub mod correlate;
pub mod diagnostic;
pub mod engine;
pub mod explain;
pub mod fold;
pub mod ip;
pub mod ir;
pub mod log_source;
mod matcher;
pub mod number;
pub mod oracle;
pub mod parse;
mod resolve;
pub mod rule_set;
pub mod schema;
pub mod time_part;
pub mod value;
pub mod witness;
pub mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use engine::{Bound, BoundField, DeadField, Engine, Group, Matcher, Step};
pub use ir::{Correlation, Expr, Item, ItemId, Position, Rule, RuleLogSource, Test};
pub use parse::Placeholders;
pub use rule_set::RuleSet;
