//! The past once more, and this time people are told: what rules find in the lake that nobody got when the
//! events came.
//!
//! ```text
//! lake ──▶ backtest ──▶ known? ──new──▶ outbox ──▶ redact ──▶ routes ──▶ destinations
//!                                └───────▶ table `alerts` (lane `replay`)
//! ```
//! An alert is known by its `alert_id`, which depends on rule and event alone: in the lake's table `alerts`, or
//! in the outbox. What is sent goes into the outbox first, where inserting it again changes nothing, and then
//! into the table by a lane of the replay's own. So a running process need not be asked: it delivers what it
//! finds in the outbox, and goes on with its own lane. Between any two steps the process may die; whoever does
//! it again finds in the outbox what is missing in the table.

mod send;
mod sift;

use std::collections::BTreeMap;

use serde::Serialize;

pub use send::{Delivery, Sender};
pub use sift::{Sift, Sifted};

/// The lane of the lake that a replay writes.
pub const LANE: &str = "replay";

/// What a replay has found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub events: u64,
    /// Events that cannot be matched again, by log type.
    pub unreadable: BTreeMap<String, u64>,
    pub without_record: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub total: Counts,
    /// By rule id.
    pub rules: BTreeMap<String, OfRule>,
    /// What was done; nothing without `--send`.
    pub sent: Option<Delivery>,
}

/// What became of the alerts that were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Nobody was told.
    pub new: u64,
    /// They were raised before.
    pub known: u64,
    /// Of correlations for which events may still come: the running process says them.
    pub open: u64,
}

/// The alerts of one rule.
#[derive(Debug, Default, Serialize)]
pub struct OfRule {
    pub title: String,
    pub level: String,
    #[serde(flatten)]
    pub counts: Counts,
    /// How many of the new ones go to which destination.
    pub destinations: BTreeMap<String, u64>,
    /// How many a route holds back, because another one with the same values goes out.
    pub held_back: u64,
    /// How many no route takes.
    pub unrouted: u64,
}
