//! A match that goes to people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::uid::Uid;

/// Identity of an alert: the same on redo, replay and backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub Uid);

impl AlertId {
    /// Of a single-event match: the rule and the event are the identity.
    pub fn of_event(rule_id: &str, event_uid: &str) -> Self {
        Self(Uid::of("alert", &[rule_id.as_bytes(), event_uid.as_bytes()]))
    }

    /// Of a correlation: the rule, the values of its group and the number of the cell of time.
    pub fn of_group<S: AsRef<str>>(rule_id: &str, group: &[S], cell: i64) -> Self {
        let cell = cell.to_be_bytes();
        let ends = [rule_id.as_bytes(), &cell[..]];
        let values = group.iter().map(|value| value.as_ref().as_bytes());
        let parts: Vec<&[u8]> = ends.into_iter().chain(values).collect();
        Self(Uid::of("correlation alert", &parts))
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Severity of a rule (Sigma 2.1, "Level").
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Informational,
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

impl Level {
    /// Reads Sigma's word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "informational" => Self::Informational,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "critical" => Self::Critical,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Five Ws and one H, each one sentence or phrase that stands alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub who: String,
    pub what: String,
    pub when: String,
    #[serde(rename = "where")]
    pub place: String,
    pub why: String,
    pub how: String,
}

/// What a correlation saw: the events that made it hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Correlated {
    /// The `group-by` fields in the rule's spelling, and the values that the events have in common.
    pub group: serde_json::Map<String, serde_json::Value>,
    /// Length of the window in seconds; it ends with the alert's event.
    pub timespan_s: u64,
    /// How many events are in the window.
    pub total: u64,
    /// The rules that they matched.
    pub rules: Vec<CorrelatedRule>,
    /// Events of the window in order of time: all of them, or the newest of each rule and then the newest.
    pub events: Vec<CorrelatedEvent>,
}

impl Correlated {
    /// For readers: as it is, with times in RFC 3339.
    pub fn json(&self) -> serde_json::Value {
        let Self { group, timespan_s, total, rules, events } = self;
        let event = |event: &CorrelatedEvent| {
            let mut shown = serde_json::json!({
                "event_time": event.event_time.to_string(),
                "event_uid": event.event_uid,
                "source": event.source,
                "log_type": event.log_type,
                "rules": event.rules,
            });
            if let Some(alert_id) = event.alert_id {
                shown["alert_id"] = alert_id.to_string().into();
            }
            shown
        };
        serde_json::json!({
            "group": group, "timespan_s": timespan_s, "total": total, "rules": rules,
            "events": events.iter().map(event).collect::<Vec<_>>(),
        })
    }
}

/// A rule that a correlation refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrelatedRule {
    pub id: String,
    pub title: String,
}

/// An event of a correlation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrelatedEvent {
    pub event_time: Timestamp,
    /// As in the event's row.
    pub event_uid: String,
    /// Of an outer correlation: the alert of the inner one that this stands for. The rest is that of the
    /// event with which the inner one held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<AlertId>,
    pub source: String,
    pub log_type: String,
    /// Ids of the rules that it matched.
    pub rules: Vec<String>,
}

/// What a rule says about itself, carried into its alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleInfo {
    /// The rule's UUID, or its file path where it has none.
    pub id: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub level: Level,
    /// As written: `attack.t1078.004`, `attack.persistence`.
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub falsepositives: Vec<String>,
    #[serde(default)]
    pub references: Vec<String>,
}

/// A match on its way to people. Nothing in it is redacted yet: that happens at the outbound choke
/// point of `sink`, through which every destination goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub alert_id: AlertId,
    pub rule: RuleInfo,
    pub source: String,
    pub log_type: String,
    pub event_uid: String,
    pub event_time: Timestamp,
    /// When the rule matched.
    pub detected_at: Timestamp,
    /// The folder of the lake that holds the event, `aws_cloudtrail/dt=2026-03-01/hr=09`.
    pub lake_partition: String,
    /// The event's common columns that are not null.
    pub event: serde_json::Map<String, serde_json::Value>,
    pub facts: Facts,
    /// Alerts with the same key within the suppression time are sent once. Empty: the rule alone.
    #[serde(default)]
    pub dedup_key: String,
    /// Of a correlation only. `event_uid`, `event_time`, `source` and `log_type` are then those of the
    /// event with which it held, and `event` has the columns that all its events have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlated: Option<Correlated>,
    /// Found in the lake by a replay: nobody was told when the event came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_depends_on_rule_and_event_only() {
        assert_eq!(AlertId::of_event("r", "e"), AlertId::of_event("r", "e"));
        assert_ne!(AlertId::of_event("r", "e"), AlertId::of_event("r", "f"));
        assert_ne!(AlertId::of_event("re", "f"), AlertId::of_event("r", "ef"));
    }

    #[test]
    fn levels_are_ordered_and_named_as_sigma_does() {
        assert!(Level::Critical > Level::High && Level::Informational < Level::Low);
        for word in ["informational", "low", "medium", "high", "critical"] {
            assert_eq!(Level::parse(word).unwrap().as_str(), word);
        }
    }
}
