//! How the destinations and the outbox are doing, for health, metrics and the log. Kept from answers
//! as they come; it decides nothing about delivery.

use std::collections::BTreeMap;

use event::AlertId;

use super::lane::Answer;
use crate::outbox::{Delivery, State};

/// What is wrong at present; nothing when all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why the outbox can not be read or written.
    pub outbox: Option<String>,
    /// By destination that does not work, why. Its alerts wait.
    pub down: BTreeMap<String, String>,
}

/// Why an answer is not a yes, without secrets.
pub(super) fn reason(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Accepted { .. } => None,
        Answer::Refused { reason }
        | Answer::Misconfigured { reason }
        | Answer::Busy { reason, .. }
        | Answer::Failed { reason, .. } => Some(reason),
    }
}

/// Logs and counts how an attempt ended.
pub(super) fn report(destination: &str, alert_id: AlertId, answer: &Answer, after: &Delivery) {
    let attempts = after.attempts;
    let reason = after.last_error.as_deref().unwrap_or_default();
    match (&after.state, answer) {
        (State::Sent { .. }, _) => {
            tracing::debug!(destination, %alert_id, attempts, "alert delivered");
            count(destination, "sent");
        }
        (State::Parked { .. }, _) => {
            tracing::error!(destination, %alert_id, attempts, reason, "alert parked");
            count(destination, "parked");
        }
        (_, Answer::Misconfigured { .. }) => {
            tracing::error!(destination, %alert_id, attempts, reason, "check the configuration");
            count(destination, "retried");
        }
        _ => {
            tracing::warn!(destination, %alert_id, attempts, reason, "alert not delivered yet");
            count(destination, "retried");
        }
    }
}

/// Says what the numbers mean.
pub(super) fn describe_metrics() {
    metrics::describe_counter!("mantissa_alerts_total", "Alerts raised, by rule and level.");
    metrics::describe_counter!(
        "mantissa_alerts_unrouted_total",
        "Alerts that no route sends anywhere."
    );
    metrics::describe_counter!(
        "mantissa_deliveries_total",
        "Ended attempts by destination: sent, retried, parked; and alerts suppressed."
    );
    metrics::describe_gauge!("mantissa_outbox_pending", "Deliveries that wait, by destination.");
}

/// Counts one ended attempt, or one alert that was held back.
pub(super) fn count(destination: &str, outcome: &'static str) {
    let destination = destination.to_owned();
    metrics::counter!("mantissa_deliveries_total", "destination" => destination, "outcome" => outcome)
        .increment(1);
}
