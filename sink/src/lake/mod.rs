//! The lake: every event in partitioned Parquet, committed in epochs that prove themselves.

pub mod error;
pub mod layout;
pub mod manifest;
pub mod snapshot;

pub use error::{Error, Kind};
pub use manifest::{ColumnKind, ColumnSpec, DataFile, FileKind, Manifest};
pub use snapshot::{LaneHead, LiveFile, Snapshot};
