//! What framing gives back: records as ranges of one buffer, and rejects that carry their bytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use event::{Batch, DeadLetter, LogType, PartitionKey, Record, Span, Stage, Timestamp};

use super::spare;

/// Bytes that could not be framed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its container's own name; see [`Record::name`].
    pub name: Option<Arc<str>>,
    /// Position of its container in the stream.
    pub at: u64,
    /// Which of that container it is, counted together with its records.
    pub index: u32,
    pub reason: String,
    pub bytes: Bytes,
}

/// Records and rejects of one batch as they gather.
#[derive(Debug)]
pub struct Frames {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<Record>,
    pub(super) rejects: Vec<Reject>,
    reject_bytes: usize,
    header: Option<Range<usize>>,
    /// Of the container that is being framed.
    name: Option<Arc<str>>,
    pub(super) bytes_max: usize,
    pub(super) records_max: usize,
    /// A long record comes next, and wants to be alone.
    is_sealed: bool,
}

/// A record of this many bytes goes alone: its bytes become the batch instead of being copied into one.
pub(super) const LONG: usize = 1 << 20;

impl Default for Frames {
    /// The usual size of a batch: 1 MiB or 1,000 records.
    fn default() -> Self {
        Self::new(1 << 20, 1_000)
    }
}

impl Frames {
    /// Full at this many bytes or records; the record that fills it may be longer.
    pub fn new(bytes_max: usize, records_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            records: Vec::new(),
            rejects: Vec::new(),
            reject_bytes: 0,
            header: None,
            name: None,
            bytes_max,
            records_max,
            is_sealed: false,
        }
    }

    pub fn is_full(&self) -> bool {
        self.is_sealed
            || self.bytes.len() + self.reject_bytes >= self.bytes_max
            || self.records.len() + self.rejects.len() >= self.records_max
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rejects.is_empty()
    }

    /// The buffer that the records' ranges point into.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn rejects(&self) -> &[Reject] {
        &self.rejects
    }

    /// What comes next, until the next name or batch, is of a container that has a name of its own at its source.
    pub fn name(&mut self, name: Arc<str>) {
        self.name = Some(name);
    }

    /// Adds a record.
    pub fn record(&mut self, at: u64, index: u32, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let range = start..self.bytes.len();
        self.push(range, at, index);
    }

    /// A record of this many bytes is coming: when it is long, what is here is handed over first, so that
    /// it can be alone. Who frames something whole, without bounds, is never kept waiting.
    pub(super) fn expect(&mut self, len: usize) {
        let is_bounded = self.bytes_max != usize::MAX;
        self.is_sealed |= len >= LONG && !self.bytes.is_empty() && is_bounded;
    }

    /// Adds a record that stands in a buffer. A long one that is alone is not copied.
    pub(super) fn record_within(
        &mut self,
        at: u64,
        index: u32,
        buffer: &mut Vec<u8>,
        range: Range<usize>,
    ) {
        if range.len() < LONG || !self.bytes.is_empty() {
            return self.record(at, index, &buffer[range]);
        }
        self.bytes = std::mem::take(buffer);
        self.push(range, at, index);
    }

    fn push(&mut self, range: Range<usize>, at: u64, index: u32) {
        self.records.push(Record { range, at, index, header: None, name: self.name.clone() });
    }

    /// Adds a record of a text that has a header line. A header that stays the same is stored once a batch.
    pub fn record_under(&mut self, header: &[u8], at: u64, index: u32, bytes: &[u8]) {
        let known = self.header.clone().filter(|range| &self.bytes[range.clone()] == header);
        let range = known.unwrap_or_else(|| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(header);
            start..self.bytes.len()
        });
        self.header = Some(range.clone());
        self.record(at, index, bytes);
        if let Some(last) = self.records.last_mut() {
            last.header = Some(range);
        }
    }

    /// Adds what could not be framed.
    pub fn reject(&mut self, at: u64, index: u32, reason: String, bytes: Vec<u8>) {
        self.reject_bytes += bytes.len();
        let name = self.name.clone();
        self.rejects.push(Reject { name, at, index, reason, bytes: bytes.into() });
    }

    /// Empties itself into a batch that finishes `span`.
    pub fn take(&mut self, span: Span, log_type: &LogType, received_at: Timestamp) -> Batch {
        let rejects = self.rejects.drain(..).map(|reject| DeadLetter {
            at: if reject.name.is_some() { 0 } else { reject.at },
            key: match reject.name {
                Some(partition) => PartitionKey { source: span.key.source.clone(), partition },
                None => span.key.clone(),
            },
            index: reject.index,
            log_type: log_type.clone(),
            stage: Stage::Frame,
            reason: reject.reason,
            bytes: reject.bytes,
            received_at,
        });
        let rejects = rejects.collect();
        (self.header, self.name) = (None, None);
        self.reject_bytes = 0;
        self.is_sealed = false;
        // The next batch will be about as large: buffers that double would take twice the memory. The record that
        // fills it goes over its size.
        let size = self.bytes.len().min(self.bytes_max);
        let bytes = spare::take(size + size / 16);
        let records = Vec::with_capacity(self.records.len());
        Batch {
            span,
            origin: None,
            log_type: log_type.clone(),
            bytes: spare::share(std::mem::replace(&mut self.bytes, bytes)),
            records: std::mem::replace(&mut self.records, records),
            rejects,
            redrives: Vec::new(),
            received_at,
        }
    }
}

/// The bytes of the record that is not complete yet, and how much of it was cut off already.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub bytes: Vec<u8>,
    /// Where `bytes` begins in the stream.
    pub at: u64,
    /// Parts that were cut off because the record is too long.
    pub parts: u32,
}

impl Open {
    /// Keeps a large buffer from staying with the stream for ever.
    const KEEP: usize = 1 << 20;
    /// A record that is longer than that gets room for the longest one of usual settings.
    const RESERVE: usize = crate::framing::RECORD_BYTES_MAX;

    pub fn append(&mut self, bytes: &[u8], at: u64) {
        if self.bytes.is_empty() {
            self.at = at;
        }
        let (len, room) = (self.bytes.len() + bytes.len(), self.bytes.capacity());
        if len > room && len > Self::KEEP {
            // A long record is the largest thing in memory, and growing would hold it twice. What is only
            // reserved takes no memory.
            self.bytes.reserve_exact(Self::RESERVE.max(room / 4).max(bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets the bytes: they have been handed over.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(Self::KEEP);
        self.parts = 0;
    }

    /// Hands the bytes over as one part of a record that is too long.
    pub fn cut(&mut self, at: u64, index: u32, max: usize, out: &mut Frames) {
        self.parts += 1;
        let reason = format!("part {}, record longer than {max} bytes", self.parts);
        self.at += self.bytes.len() as u64;
        out.reject(at, index, reason, std::mem::take(&mut self.bytes));
    }
}
