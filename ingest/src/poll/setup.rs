//! What a partition's poller is given, and what it tells.

use std::sync::Arc;

use super::connector::{Connector, Values};

/// What a poller needs to know.
#[derive(Clone, Debug)]
pub struct Setup {
    pub connector: Arc<Connector>,
    pub base_url: String,
    pub settings: Values,
    /// This partition's value of the setting `each`.
    pub each: Option<String>,
    /// Where to begin when there is no state.
    pub start_ms: i64,
    pub record_bytes_max: usize,
    pub seen_max: usize,
}

/// For people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub requests: u64,
    /// Whole pages that were read.
    pub pages: u64,
    pub limited: u64,
    pub failures: u64,
    /// New events that an earlier reading of their time had not shown.
    pub late: u64,
    /// Events that were met again.
    pub repeated: u64,
    /// Time that was lost because the vendor does not keep it.
    pub gap_ms: i64,
    /// Where the last of it ended.
    pub gap_to_ms: i64,
    pub last_event_ms: Option<i64>,
    pub last_success_ms: Option<i64>,
    /// What keeps it from reading, in words.
    pub trouble: Option<String>,
}

/// What the last answer means for all of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    /// The credential is to be left alone until then.
    Pause(i64),
    /// The credential is not accepted.
    Unauthorized(String),
}
