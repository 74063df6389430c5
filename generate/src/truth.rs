//! What is hidden in a generated day: the answer sheet.

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::log::Log;

/// The answer sheet of one day. Running the project's rules over the day must raise the expected
/// alerts of all attacks and the accepted ones, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    pub seed: u64,
    /// First moment of the day.
    pub start: Timestamp,
    /// How many events there are per log type.
    pub events: BTreeMap<Log, u64>,
    pub attacks: Vec<Attack>,
    /// Alerts that are right by their rule although nobody did wrong: a person has to look.
    pub accepted: Vec<Accepted>,
    /// Events that look much like an attack and must not alert.
    pub look_alikes: Vec<LookAlike>,
}

/// A little story over one or more log types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attack {
    /// `leaked-key`
    pub id: String,
    pub name: String,
    pub description: String,
    /// Tags of ATT&CK techniques, `attack.t1078.004`.
    pub techniques: Vec<String>,
    /// Times of the first and the last of its events, alerting or not.
    pub begins: Timestamp,
    pub ends: Timestamp,
    /// In order of time.
    pub expected: Vec<Expected>,
}

/// One alert: this rule on this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The rule's UUID.
    pub rule_id: String,
    /// The rule's file name without its ending.
    pub rule: String,
    pub event: EventRef,
}

/// An alert without an attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    #[serde(flatten)]
    pub alert: Expected,
    pub why: String,
}

/// An event that is nearly an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    /// The rule that must stay quiet, by file name.
    pub near: String,
    pub why: String,
    pub event: EventRef,
}

/// Finds one event again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    pub log_type: Log,
    /// As the provider writes it, with all digits that the generator has. Flow logs: the start.
    pub time: Timestamp,
    /// Line among those of its log type, from 0, not counting the header.
    pub line: u64,
    /// The provider's own identity: `eventID`, `id` of the finding, `uuid`, `_document_id`,
    /// `auditID`. The `event_uid` of the lake begins with it. Flow logs have none.
    pub provider_id: Option<String>,
    /// For flow logs: `source:port > target:port`.
    pub connection: Option<String>,
}
