//! The metrics of one source, by conventional names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event::Batch;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::source::Summary;
use crate::standing::Standing;

/// Says what the numbers mean; saying it again changes nothing.
fn describe() {
    for (name, meaning) in [
        ("mantissa_source_records_total", "Records that a source handed over."),
        ("mantissa_source_rejects_total", "Pieces of input in which a source found no record."),
        ("mantissa_source_bytes_total", "Bytes that a source handed over."),
        ("mantissa_source_errors_total", "Failed attempts to read."),
        ("mantissa_source_repeated_total", "Messages that were delivered again and recognised."),
        (
            "mantissa_source_gaps_total",
            "Times that a source found that its other side no longer had what came next.",
        ),
    ] {
        describe_counter!(name, meaning);
    }
    for (name, meaning) in [
        ("mantissa_source_up", "Whether the other side of a source answers."),
        ("mantissa_source_lag_messages", "Messages that a partition has yet to be read."),
        ("mantissa_source_lag_bytes", "Bytes that a partition has yet to be read."),
        ("mantissa_source_lag_seconds", "How old the last message was when it came."),
        ("mantissa_source_held_messages", "Messages that are here and not yet in the lake."),
        ("mantissa_source_seen_ids", "Messages that are remembered, to be recognised."),
        ("mantissa_source_halted", "1 for a partition that waits for a person."),
    ] {
        describe_gauge!(name, meaning);
    }
}

#[derive(Default)]
struct Totals {
    records: AtomicU64,
    rejects: AtomicU64,
    bytes: AtomicU64,
}

/// Counts what a source hands over. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Meter {
    source: Arc<str>,
    records: Counter,
    rejects: Counter,
    bytes: Counter,
    errors: Counter,
    up: Gauge,
    standing: Standing,
    totals: Arc<Totals>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meter({})", self.source)
    }
}

impl Meter {
    pub fn new(source: &Arc<str>, standing: &Standing) -> Self {
        describe();
        let name = source.to_string();
        Self {
            source: source.clone(),
            records: counter!("mantissa_source_records_total", "source" => name.clone()),
            rejects: counter!("mantissa_source_rejects_total", "source" => name.clone()),
            bytes: counter!("mantissa_source_bytes_total", "source" => name.clone()),
            errors: counter!("mantissa_source_errors_total", "source" => name.clone()),
            up: {
                let up = gauge!("mantissa_source_up", "source" => name);
                // Until it is known otherwise; sources without another side never say.
                up.set(1.0);
                up
            },
            standing: standing.clone(),
            totals: Arc::default(),
        }
    }

    pub fn batch(&self, batch: &Batch) {
        let rejected: usize = batch.rejects.iter().map(|r| r.bytes.len()).sum();
        let (records, rejects) = (batch.records.len() as u64, batch.rejects.len() as u64);
        let bytes = (batch.bytes.len() + rejected) as u64;
        self.records.increment(records);
        self.rejects.increment(rejects);
        self.bytes.increment(bytes);
        self.totals.records.fetch_add(records, Ordering::Relaxed);
        self.totals.rejects.fetch_add(rejects, Ordering::Relaxed);
        self.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn error(&self) {
        self.errors.increment(1);
    }

    /// The other side answers, or why it does not.
    pub fn stands(&self, trouble: Option<&str>) {
        self.up.set(f64::from(u8::from(trouble.is_none())));
        self.standing.stands(trouble);
    }

    /// Everything that the other side had before that time was handed over, in milliseconds since 1970.
    pub fn read_to(&self, ms: i64) {
        self.standing.read_to(ms);
    }

    /// What the other side had between these times it has no longer.
    pub fn gap(&self, from_ms: i64, to_ms: i64) {
        self.standing.gap(from_ms, to_ms);
    }

    /// How many messages a partition is behind its other side.
    pub fn lag(&self, partition: &str, messages: u64) {
        let (source, partition) = (self.source.to_string(), partition.to_owned());
        gauge!("mantissa_source_lag_messages", "source" => source, "partition" => partition)
            .set(messages as f64);
    }

    /// How many bytes a partition is behind its other side.
    pub fn lag_bytes(&self, partition: &str, bytes: u64) {
        let (source, partition) = (self.source.to_string(), partition.to_owned());
        gauge!("mantissa_source_lag_bytes", "source" => source, "partition" => partition)
            .set(bytes as f64);
    }

    /// A message was delivered again, and recognised.
    pub fn repeated(&self) {
        counter!("mantissa_source_repeated_total", "source" => self.source.to_string())
            .increment(1);
    }

    /// The other side no longer had what came next.
    pub fn missed(&self) {
        counter!("mantissa_source_gaps_total", "source" => self.source.to_string()).increment(1);
    }

    /// How old the last message was when it came.
    pub fn age(&self, ms: i64) {
        gauge!("mantissa_source_lag_seconds", "source" => self.source.to_string())
            .set(ms.max(0) as f64 / 1_000.0);
    }

    /// How many messages are here and not yet in the lake, and how many are remembered.
    pub fn held(&self, here: usize, remembered: usize) {
        let source = self.source.to_string();
        gauge!("mantissa_source_held_messages", "source" => source.clone()).set(here as f64);
        gauge!("mantissa_source_seen_ids", "source" => source).set(remembered as f64);
    }

    /// A partition cannot be read on and waits for a person.
    pub fn halted(&self, partition: &str) {
        let (source, partition) = (self.source.to_string(), partition.to_owned());
        gauge!("mantissa_source_halted", "source" => source, "partition" => partition).set(1.0);
    }

    /// Adds the totals to a summary.
    pub fn summarize(&self, summary: &mut Summary) {
        summary.records = self.totals.records.load(Ordering::Relaxed);
        summary.rejects = self.totals.rejects.load(Ordering::Relaxed);
        summary.bytes = self.totals.bytes.load(Ordering::Relaxed);
    }
}
