//! The lake: every event in partitioned Parquet, committed in epochs that prove themselves.
//!
//! [`Lake`] is the writer of one lane, [`Snapshot`] what a reader sees. An epoch is written as intent,
//! data files, manifest; only the manifest makes it part of the lake, and only then may its spans be
//! acknowledged. What decides is pure ([`manifest`], `part`, `plan`, `commit`, `recovery`, [`dedup`]);
//! what does I/O only carries out.

#[macro_use]
mod mistake;

mod alert_file;
mod arrays;
mod board;
#[cfg(test)]
mod bucket_tests;
mod checkpoint;
mod checksum;
mod claim;
mod commit;
pub mod dead_letters;
pub mod dedup;
mod encode;
pub mod error;
mod hold;
pub mod identities;
#[allow(clippy::module_inception)]
mod lake;
pub mod layout;
mod live;
mod local;
pub mod manifest;
#[cfg(test)]
mod model;
mod part;
mod plan;
mod protocol;
mod reader;
pub mod records;
mod recovery;
#[cfg(test)]
mod simulation;
pub mod snapshot;
mod store;
mod tables;
pub mod upkeep;
pub mod verify;
mod window;

pub use alert_file::AlertFile;
pub use arrays::{arrow_schema, data_type};
pub use board::Board;
pub use checkpoint::write::checkpoint;
pub use commit::StateChange;
pub use dedup::Window;
pub use error::{Error, Kind};
pub use lake::{Committed, Lake, Recovered};
pub use live::{End, Former, LiveFile};
pub use manifest::{ColumnKind, ColumnSpec, DataFile, FileKind, Manifest, StateFile, Why};
pub use part::{Part, Positions, Resume, SpanOutcome};
pub use snapshot::{LaneHead, Snapshot};
pub use store::{AzureOptions, GcsOptions, LakeOptions, LakeStore, S3Options};
pub use tables::{alert_schema, dead_id};
pub use upkeep::{
    Collected, Compacted, CompactionOptions, ERASED, Erased, ErasedTable, Expired, Forgotten,
    Person, RetentionOptions, Upkeep, collect, erasable, expirable, texts,
};
pub use verify::{Fault, Scope, Since, verify};
