//! Ask the lake with SQL.
//!
//! An [`Engine`] reads the lake's manifests once and answers every question over exactly those files:
//! what is committed meanwhile is seen by the next engine. One table per log type, the tables
//! `alerts` and `dead_letters`, and the view `events` over all log types; `json_get` reads the vendor's
//! own record. Files are pruned by what the
//! manifests say of their times and partitions before one byte of them is read.
//!
//! Read-only by construction: only statements that read are planned, the session knows no store but
//! the lake's own, and no table but the lake's and the files that its maker names ([`Engine::add_file`]). Nothing here lists data files, and nothing writes.

mod adapt;
mod damage;
mod drive;
mod engine;
mod error;
mod file;
mod format;
mod hint;
mod json;
mod prune;
mod schema;
mod session;
mod statement;
mod store;
mod table;

pub use engine::{Answer, Engine, Limits, Options, Plan};
pub use error::{Error, Kind};
pub use format::{Format, Written, write};
pub use schema::Vocabulary;

#[cfg(test)]
mod tests;
