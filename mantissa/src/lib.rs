//! The program as a library, so that benchmarks and tests drive the very code that runs.
//!
//! Command line, then *config* as written → *plan* (everything resolved and compiled, no side effect)
//! → *run*. Everything that can be decided without the outside world lives in the other crates; what is
//! here connects them.

mod backfill;
pub mod backtest;
pub mod cli;
pub mod command;
pub mod config;
mod coverage;
mod files;
pub mod pipeline;
pub mod plan;
mod replay;
pub mod report;
pub mod run;
mod sight;
