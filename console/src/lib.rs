//! The window that operators and machines look through: health, metrics, rules, a live tap, and the
//! OpenAPI document that describes them.
//!
//! The program fills small handles, [`Health`], [`Metrics`], [`Rules`] and [`Tap`], and hands them to
//! [`serve`] with a listener. Nothing here reaches back into the pipeline: a stuck or hostile client
//! costs itself and never an event.
//!
//! ```text
//! let metrics = Metrics::install(env!("CARGO_PKG_VERSION"))?;
//! let (health, rules, tap) = (Health::default(), Rules::default(), Tap::default());
//! let handles = Handles { metrics, health, rules, tap, token: None };
//! console::serve(listener, handles.clone(), shutdown).await?;
//! ```

mod access;
mod health;
mod listener;
mod metrics;
mod options;
mod process;
mod rules;
mod samples;
mod server;
mod tap;

pub use health::{Check, Condition, Health, Report};
pub use metrics::{Metrics, lint};
pub use options::Options;
pub use rules::{RuleSight, RuleState, Rules};
pub use samples::Sample;
pub use server::{Handles, OPENAPI, serve};
pub use tap::{Feed, Filter, Tap, Watch};

/// Why the console cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another recorder was installed in this process first.
    #[error("metrics are recorded by somebody else in this process already")]
    Recorder,
    /// The listener failed.
    #[error("the console's listener failed")]
    Listen(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
