//! The lake: every event in partitioned Parquet, committed in epochs that prove themselves.

mod arrays;
pub mod dedup;
mod encode;
pub mod error;
pub mod layout;
mod local;
pub mod manifest;
mod part;
mod plan;
pub mod snapshot;
mod store;
mod tables;

pub use arrays::{arrow_schema, data_type};
pub use dedup::Window;
pub use error::{Error, Kind};
pub use manifest::{ColumnKind, ColumnSpec, DataFile, FileKind, Manifest};
pub use part::{Part, Positions, Resume, SpanOutcome};
pub use snapshot::{LaneHead, LiveFile, Snapshot};
pub use store::{LakeOptions, LakeStore, S3Options};
pub use tables::{alert_schema, dead_id};
