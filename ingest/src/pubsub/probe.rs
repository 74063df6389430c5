//! What the settings of a subscription mean for reading it, said at start and by `sources test`.

use super::PubsubSource;
use super::api::{CONSUME, GET, Settings};
use crate::probe::Findings;

const NEEDS: &str = "roles/pubsub.subscriber on the subscription (pubsub.subscriptions.consume), and \
                     roles/pubsub.viewer to see its settings (pubsub.subscriptions.get)";
const DOCS: &str = "docs/google-cloud.md";

impl Settings {
    /// Why it cannot be read by pulling.
    pub fn fault(&self) -> Option<String> {
        if self.detached {
            return Some(
                "the subscription is detached from its topic: nothing will come".to_owned(),
            );
        }
        if self.topic == "_deleted-topic_" {
            return Some("the topic of the subscription was deleted: nothing will come".to_owned());
        }
        if self.push_config.contains_key("pushEndpoint") {
            let told = "the subscription pushes: make one that is pulled, or receive it by `http` \
                        with a webhook that verifies `google`";
            return Some(told.to_owned());
        }
        let exports = self.bigquery_config.is_some() || self.cloud_storage_config.is_some();
        if exports {
            return Some("the subscription writes to BigQuery or Cloud Storage".to_owned());
        }
        let is_broken = !matches!(self.state.as_str(), "" | "ACTIVE" | "STATE_UNSPECIFIED");
        is_broken.then(|| format!("the subscription's state is {}", self.state))
    }

    /// What a person should know.
    pub fn remarks(&self) -> Vec<String> {
        let mut out = Vec::new();
        let retention = seconds(&self.message_retention_duration);
        if retention > 0 {
            out.push(format!("messages are kept for {} h", retention / 3_600));
        }
        if retention > 0 && retention < 86_400 {
            out.push(
                "an outage that is longer than that loses messages: keep them for 7 days"
                    .to_owned(),
            );
        }
        if self.enable_message_ordering {
            out.push("messages of one ordering key come in order".to_owned());
        }
        if self.enable_exactly_once_delivery {
            out.push(
                "exactly-once delivery is on; it costs rate and is not needed here".to_owned(),
            );
        }
        if !self.filter.is_empty() {
            out.push(format!("only messages that fit its filter come: {}", self.filter));
        }
        if let Some(policy) =
            self.dead_letter_policy.as_ref().filter(|p| p.max_delivery_attempts > 0)
        {
            out.push(format!(
                "after {} deliveries a message goes to {}: read that topic too, because messages \
                 that the program was killed with several times end there",
                policy.max_delivery_attempts, policy.dead_letter_topic
            ));
        }
        let ttl = self.expiration_policy.as_ref().map_or(0, |policy| seconds(&policy.ttl));
        if ttl > 0 {
            out.push(format!(
                "the subscription is deleted when nobody reads it for {} days: let it never expire",
                ttl / 86_400
            ));
        }
        out
    }
}

/// `604800s`, `3.5s`
fn seconds(duration: &str) -> i64 {
    let whole = duration.trim_end_matches('s').split('.').next().unwrap_or_default();
    whole.parse().unwrap_or(0)
}

/// Says at start how the subscription is set up.
pub(super) fn say(source: &str, settings: &Settings) {
    if let Some(fault) = settings.fault() {
        tracing::error!(source, "{fault}");
    }
    for remark in settings.remarks() {
        tracing::info!(source, "{remark}");
    }
}

impl PubsubSource {
    /// Asks for settings and permissions; no message is taken from others.
    pub(super) async fn try_out(&self) -> Result<Findings, String> {
        let api = self.options.api()?;
        let subscription = &self.options.subscription;
        let mut found = Findings::new(format!("the subscription {subscription}"), NEEDS, DOCS);
        match api.settings().await {
            Ok(settings) => {
                match settings.fault() {
                    Some(fault) => found.bad("settings", fault),
                    None => found.good(format!("topic {}", settings.topic)),
                }
                settings.remarks().into_iter().for_each(|remark| found.good(remark));
            }
            Err(trouble) => found.bad("settings", trouble.words),
        }
        match api.permissions(&[CONSUME, GET]).await {
            Ok(granted) if granted.iter().any(|permission| permission == CONSUME) => {
                found.good("messages may be read and acknowledged");
            }
            Ok(_) => found.bad("messages", format!("the credential lacks {CONSUME}")),
            // An emulator knows no permissions.
            Err(trouble) if trouble.status == 501 => {
                found.good("no permissions are asked for here")
            }
            Err(trouble) => found.bad("messages", trouble.words),
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn settings_that_do_not_fit_are_told() {
        for (json, expected) in [
            (r#"{"pushConfig":{"pushEndpoint":"https://x"}}"#, "pushes"),
            (r#"{"detached":true}"#, "detached"),
            (r#"{"topic":"_deleted-topic_"}"#, "deleted"),
            (r#"{"bigqueryConfig":{"table":"t"}}"#, "BigQuery"),
            (r#"{"state":"RESOURCE_ERROR"}"#, "RESOURCE_ERROR"),
        ] {
            assert!(settings(json).fault().unwrap().contains(expected), "{json}");
        }
        let good =
            settings(r#"{"pushConfig":{},"state":"ACTIVE","messageRetentionDuration":"604800s"}"#);
        assert_eq!((good.fault(), good.remarks().len()), (None, 1));
        let odd = settings(
            r#"{"messageRetentionDuration":"600s","enableMessageOrdering":true,"filter":"a",
                "enableExactlyOnceDelivery":true,"expirationPolicy":{"ttl":"2678400s"},
                "deadLetterPolicy":{"deadLetterTopic":"projects/p/topics/dead","maxDeliveryAttempts":5}}"#,
        );
        let said = odd.remarks().join("\n");
        for expected in
            ["loses messages", "in order", "exactly-once", "filter", "31 days", "5 deliveries"]
        {
            assert!(said.contains(expected), "{expected} in {said}");
        }
    }
}
