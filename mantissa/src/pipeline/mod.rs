//! The way of a batch: intake → worker threads → epoch → acknowledgement.
//!
//! ```text
//! sources ──Envelope──▶ drive ──Job::Batch──▶ worker 0..n ──Part──▶ commit ──Span──▶ sources
//!                         └────Job::Cut (barrier, in every worker's queue)───┘
//! ```
//! Every queue is bounded. A cut is put behind the batches that each worker already has, so the parts
//! of an epoch hold exactly the batches that were dispatched before it. One commit is in flight at a
//! time; meanwhile the workers fill the next epoch, and when that is full too, intake waits.

mod correlations;
mod detection;
mod epochs;
mod in_order;
mod lateness;
mod seen;
mod spare;
mod states;
mod stream;
mod worker;

pub use correlations::{CorrelationConfig, Correlations, tell_of_loss};
pub(crate) use correlations::{alert as correlation_alert, titles};
pub use detection::{Compiled, Detection};
pub use epochs::{Epochs, drive};
pub use lateness::{BOUNDS_S, Lateness};
pub use seen::{Arrival, Seen};
pub use spare::Spare;
pub use states::States;
pub use stream::{Origin, Stream, Verdict};
pub(crate) use worker::alert;
pub use worker::{AlertSink, Shared, Workers};

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use event::Timestamp;

/// The wall clock: the only place where the pipeline asks for the time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// What became of the records, for the summary and for progress on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    pub received: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead: u64,
    pub dropped: u64,
    /// Alerts raised in committed epochs.
    pub alerts: u64,
    pub epochs: u64,
    pub files: u64,
    /// Bytes of the lake files written.
    pub lake_bytes: u64,
    /// Alerts by rule title.
    pub alerts_by_rule: BTreeMap<String, u64>,
    /// Dead letters by reason (the first 200 characters).
    pub dead_by_reason: BTreeMap<String, u64>,
}

/// Reasons carry positions; more distinct ones than this are not told apart in the summary.
const REASONS_MAX: usize = 100;

impl Tally {
    /// Adds an epoch that is about to be committed.
    pub fn add(&mut self, parts: &[sink::lake::Part]) {
        for part in parts {
            for span in &part.spans {
                self.received += span.received;
                self.stored += span.stored;
                self.duplicates += span.duplicates;
                self.dead += span.dead;
                self.dropped += span.dropped;
            }
            self.alerts += part.alerts.len() as u64;
            for alert in &part.alerts {
                *self.alerts_by_rule.entry(alert.rule.title.clone()).or_default() += 1;
            }
            for letter in &part.dead_letters {
                let mut reason: String = letter.reason.chars().take(200).collect();
                let known = self.dead_by_reason.contains_key(&reason);
                if !known && self.dead_by_reason.len() >= REASONS_MAX {
                    reason = "other reasons".to_owned();
                }
                *self.dead_by_reason.entry(reason).or_default() += 1;
            }
        }
    }
}
