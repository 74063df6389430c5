//! Framed records on their way in, the spans they finish, and what could not be read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::log_source::LogType;
use crate::time::Timestamp;
use crate::uid::Uid;

/// The part of a source that is ordered and finished on its own: a file, a Kafka topic partition,
/// a write-ahead log, a poll endpoint. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionKey {
    /// The configured connector, `okta-prod`.
    pub source: Arc<str>,
    /// Stable over restarts and unique within the source, `audit-0` or `file:3f9a…`.
    pub partition: Arc<str>,
}

/// `(after, upto]` of one partition: the unit that is finished.
///
/// A position counts what of the partition is done: bytes of a file or write-ahead log, Kafka offset
/// plus one, or a running count where the vendor has no positions. Spans of a partition are emitted
/// in order and touch: the next one's `after` is this one's `upto`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub key: PartitionKey,
    pub after: u64,
    pub upto: u64,
    /// What the source wants back at restart beside `upto`: JSON text that only it understands, such
    /// as a poller's cursor and seen-set. It becomes durable with the epoch that holds the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Arc<str>>,
}

/// One framed vendor event: where its bytes are in [`Batch::bytes`] and where it stood in the
/// partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub range: Range<usize>,
    /// Position of its container (line, message, object) in the partition.
    pub at: u64,
    /// Which record of that container it is, from 0.
    pub index: u32,
    /// Start of the column names in [`Batch::bytes`] for text that has a header line (flow logs).
    pub header: Option<Range<usize>>,
    /// The name that its container has at its source, where positions do not outlive a crash: a message of a queue
    /// may then come in another order, at the position of another one.
    pub name: Option<Arc<str>>,
}

/// Records that travel together with the span that they finish. A span whose bytes held nothing
/// (blank lines) still travels, with no records.
#[derive(Clone, Debug)]
pub struct Batch {
    pub span: Span,
    /// What the positions of the records count in, where that is not the partition: an object of a store,
    /// whose partition counts the pieces of all objects.
    pub origin: Option<Box<PartitionKey>>,
    pub log_type: LogType,
    pub bytes: Bytes,
    pub records: Vec<Record>,
    /// What could not be framed. Counted as received.
    pub rejects: Vec<DeadLetter>,
    /// Identities of the dead letters that these records are, when they are given to the pipeline again.
    pub redrives: Vec<Uid>,
    pub received_at: Timestamp,
}

impl Batch {
    /// How many records arrived in this batch, framed or not.
    pub fn received(&self) -> u64 {
        (self.records.len() + self.rejects.len()) as u64
    }

    /// Where its records stand: with their positions, what tells apart records that have no identity of
    /// their own.
    pub fn origin(&self) -> &PartitionKey {
        self.origin.as_deref().unwrap_or(&self.span.key)
    }

    /// Where a record stands that goes by its place alone: by name where its container has one, else by position.
    pub fn place(&self, record: &Record) -> (PartitionKey, u64) {
        let origin = self.origin().clone();
        match &record.name {
            Some(name) => (PartitionKey { partition: Arc::clone(name), ..origin }, 0),
            None => (origin, record.at),
        }
    }

    /// Bytes of the longest record, framed or not.
    pub fn longest(&self) -> usize {
        let framed = self.records.iter().map(|record| record.range.len());
        framed.chain(self.rejects.iter().map(|reject| reject.bytes.len())).max().unwrap_or(0)
    }

    /// The bytes of a record.
    pub fn record(&self, record: &Record) -> Bytes {
        self.bytes.slice(record.range.clone())
    }
}

/// Where a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes to records: decompression, envelope, size limit.
    Frame,
    /// Record to document.
    Parse,
    /// Document to row.
    Map,
    /// Anything later.
    Store,
}

impl Stage {
    /// The name used in the `dead_letters` table.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Frame => "frame",
            Stage::Parse => "parse",
            Stage::Map => "map",
            Stage::Store => "store",
        }
    }
}

/// A record that could not be stored as an event, with everything needed to try again.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub key: PartitionKey,
    pub at: u64,
    pub index: u32,
    pub log_type: LogType,
    pub stage: Stage,
    /// For people: what is wrong and where in the bytes.
    pub reason: String,
    /// Exactly what arrived.
    pub bytes: Bytes,
    pub received_at: Timestamp,
}
