//! What is known about one alert on its way to one destination, and how it is asked for.

use event::{Alert, AlertId, Level, Timestamp, Uid};
use serde::{Deserialize, Serialize};

/// One alert on its way to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub state: State,
    /// Attempts begun.
    pub attempts: u32,
    /// Not before this time; only of use while pending.
    pub next_attempt_at: Timestamp,
    #[serde(default)]
    pub first_attempt_at: Option<Timestamp>,
    /// An attempt began whose answer never came: the destination may have the alert already.
    #[serde(default)]
    pub maybe_sent: bool,
    /// Why the last attempt did not succeed; bounded, without secrets.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Alerts with the same key that were held back before this one.
    #[serde(default)]
    pub suppressed_before: u64,
}

/// Where a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Sent {
        at: Timestamp,
        /// What the destination calls it: an issue key, a message id.
        reference: Option<String>,
    },
    /// Given up until somebody retries it.
    Parked {
        at: Timestamp,
        reason: String,
    },
    /// Held back because `by` went out with the same key.
    Suppressed {
        by: AlertId,
    },
}

/// The name of a [`State`], to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Pending,
    Sent,
    Parked,
    Suppressed,
}

impl StateName {
    /// Reads what [`StateName::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Sent, Self::Parked, Self::Suppressed]
            .into_iter()
            .find(|name| name.as_str() == word)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Parked => "parked",
            Self::Suppressed => "suppressed",
        }
    }
}

impl State {
    pub fn name(&self) -> StateName {
        match self {
            Self::Pending => StateName::Pending,
            Self::Sent { .. } => StateName::Sent,
            Self::Parked { .. } => StateName::Parked,
            Self::Suppressed { .. } => StateName::Suppressed,
        }
    }
}

impl Delivery {
    /// Due at once.
    pub fn pending(now: Timestamp) -> Self {
        Self {
            state: State::Pending,
            attempts: 0,
            next_attempt_at: now,
            first_attempt_at: None,
            maybe_sent: false,
            last_error: None,
            suppressed_before: 0,
        }
    }
}

/// A delivery that is to be attempted now.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub alert: Alert,
    /// As it was before this attempt, except for `attempts` and `first_attempt_at`, which count it.
    pub delivery: Delivery,
}

/// One destination of a routed alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    pub destination: String,
    pub suppress: Option<Suppress>,
}

/// Of the alerts with one key only the first of a window goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppress {
    /// Hash of destination, rule and dedup values.
    pub key: Uid,
    pub window_ns: i64,
}

/// An alert with all its deliveries, by name of the destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    pub alert: Alert,
    pub deliveries: Vec<(String, Delivery)>,
}

/// Which entries [`super::Outbox::list`] gives; newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    /// With at least one delivery in this state (and to `destination`, if that is given).
    pub state: Option<StateName>,
    pub destination: Option<String>,
    pub level_min: Option<Level>,
    /// Part of the rule's id or title, in any case.
    pub rule: Option<String>,
    /// Detected at or after.
    pub since: Option<Timestamp>,
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            state: None,
            destination: None,
            level_min: None,
            rule: None,
            since: None,
            limit: 100,
        }
    }
}

impl Filter {
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        let rule = &entry.alert.rule;
        let names_rule = |part: &String| {
            let part = part.to_lowercase();
            rule.id.to_lowercase().contains(&part) || rule.title.to_lowercase().contains(&part)
        };
        let has_delivery = entry.deliveries.iter().any(|(name, delivery)| {
            self.destination.as_ref().is_none_or(|wanted| wanted == name)
                && self.state.is_none_or(|wanted| wanted == delivery.state.name())
        });
        (has_delivery || (self.destination.is_none() && self.state.is_none()))
            && self.level_min.is_none_or(|min| rule.level >= min)
            && self.rule.as_ref().is_none_or(names_rule)
    }
}
