//! The vocabulary that every other crate speaks, and nothing else.
//!
//! Bytes arrive as [`Record`]s inside a [`Batch`] that carries its own [`Span`]; a record is parsed
//! into a [`Doc`]; one walk over the document fills [`Slots`], one slot per field that anybody asked
//! for; mapped rows are appended to [`Rows`], plain column buffers that the lake turns into Parquet;
//! a rule that holds becomes an [`Alert`].
//!
//! Invariant: this crate is pure. It knows no file system, network, clock or async runtime; time is
//! an argument. Nothing in [`doc`], [`fields`] and [`columns`] allocates per event once its buffers
//! have grown.

pub mod alert;
pub mod batch;
pub mod beside;
pub mod columns;
pub mod doc;
pub mod fields;
mod json;
pub mod log_source;
pub mod secret;
pub mod shown;
pub mod spelling;
pub mod syslog;
pub mod time;
pub mod uid;

pub use alert::{Alert, AlertId, Correlated, CorrelatedEvent, CorrelatedRule, Facts, Level};
pub use batch::{Batch, DeadLetter, PartitionKey, Record, Span, Stage};
pub use beside::{Beside, Derived, Pivot};
pub use columns::{ColumnDef, ColumnType, Rows, TableSchema};
pub use doc::{Doc, NodeId, ParseError, Parser, Value};
pub use fields::{FieldId, Fields, FieldsBuilder, Slots};
pub use log_source::{LogSource, LogType, Tag};
pub use secret::Secret;
pub use time::Timestamp;
pub use uid::Uid;
