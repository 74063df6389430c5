//! Pub/Sub's REST interface (<https://cloud.google.com/pubsub/docs/reference/rest>): pull, acknowledge, renew,
//! and what a subscription is like.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::leases::{Ask, Outcome};
use crate::poll::request::{Reply, Request, Verb};
use crate::poll::when::Form;
use crate::tokens::Tokens;
use crate::tokens::google::path_of;

/// What pulling and acknowledging need.
pub(super) const CONSUME: &str = "pubsub.subscriptions.consume";
/// What reading the settings needs.
pub(super) const GET: &str = "pubsub.subscriptions.get";

/// A message as it was delivered.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub ack_id: String,
    /// Unique within the topic.
    pub id: String,
    pub payload: Vec<u8>,
    pub attributes: Map<String, Value>,
    pub published_ms: Option<i64>,
}

/// A subscription.
#[derive(Debug)]
pub(crate) struct Api {
    tokens: Tokens,
    /// `https://pubsub.googleapis.com/v1/projects/p/subscriptions/s`
    url: String,
    subscription: String,
}

/// Why something cannot be had.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// 0: no answer.
    pub status: u16,
    pub words: String,
    /// Of acknowledgements: by id, what is wrong with it.
    pub ids: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pulled {
    received_messages: Vec<Received>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    ack_id: String,
    message: Wire,
}

/// A message as JSON has it, pulled or pushed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wire {
    data: String,
    attributes: Map<String, Value>,
    message_id: String,
    publish_time: String,
}

impl Wire {
    /// What it holds. Data that is no base64 is no message of Pub/Sub.
    pub fn open(self, ack_id: String) -> Result<Message, String> {
        let payload = BASE64.decode(&self.data).map_err(|_| "`data` is no base64".to_owned())?;
        Ok(Message {
            ack_id,
            id: self.message_id,
            payload,
            attributes: self.attributes,
            published_ms: Form::Rfc3339.read(&self.publish_time),
        })
    }
}

/// The settings of a subscription that matter here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    pub topic: String,
    pub ack_deadline_seconds: i64,
    pub message_retention_duration: String,
    pub enable_message_ordering: bool,
    pub enable_exactly_once_delivery: bool,
    pub filter: String,
    pub detached: bool,
    pub push_config: Map<String, Value>,
    pub bigquery_config: Option<Value>,
    pub cloud_storage_config: Option<Value>,
    pub dead_letter_policy: Option<DeadLetterPolicy>,
    pub expiration_policy: Option<ExpirationPolicy>,
    pub state: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeadLetterPolicy {
    pub dead_letter_topic: String,
    pub max_delivery_attempts: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExpirationPolicy {
    pub ttl: String,
}

impl Api {
    pub fn new(tokens: Tokens, endpoint: &str, subscription: &str) -> Self {
        let endpoint = endpoint.trim_end_matches('/');
        let url = format!("{endpoint}/v1/{}", path_of(subscription));
        Self { tokens, url, subscription: subscription.to_owned() }
    }

    /// Waits at Pub/Sub until there is something, for a minute or so.
    pub async fn pull(&self, max: usize) -> Result<Vec<Message>, Trouble> {
        let reply = self.post("pull", json!({ "maxMessages": max })).await?;
        let broken = |words: String| Trouble { status: 0, words, ids: Map::new() };
        let pulled: Pulled = serde_json::from_slice(&reply.body)
            .map_err(|e| broken(format!("the answer is no list of messages: {e}")))?;
        let open = |received: Received| received.message.open(received.ack_id);
        pulled.received_messages.into_iter().map(open).collect::<Result<_, _>>().map_err(broken)
    }

    /// Acknowledges or renews.
    pub async fn settle(&self, ask: &Ask, lease_s: i64) -> (Outcome, Option<Trouble>) {
        let (verb, ids, body) = match ask {
            Ask::Acknowledge(ids) => ("acknowledge", ids, json!({ "ackIds": ids })),
            Ask::Extend(ids) => {
                let body = json!({ "ackIds": ids, "ackDeadlineSeconds": lease_s });
                ("modifyAckDeadline", ids, body)
            }
            Ask::Pull(_) => return (Outcome::Done, None),
        };
        match self.post(verb, body).await {
            Ok(_) => (Outcome::Done, None),
            Err(trouble) => {
                let outcome = outcome(&trouble, ids);
                (outcome, Some(trouble))
            }
        }
    }

    pub async fn settings(&self) -> Result<Settings, Trouble> {
        let reply = self.tokens.send(Request::new(Verb::Get, &self.url)).await;
        let reply = self.judge(reply, GET)?;
        serde_json::from_slice(&reply.body).map_err(|e| Trouble {
            status: 0,
            words: format!("the answer is no subscription: {e}"),
            ids: Map::new(),
        })
    }

    /// Which of these permissions the credential has on the subscription.
    pub async fn permissions(&self, wanted: &[&str]) -> Result<Vec<String>, Trouble> {
        #[derive(Default, Deserialize)]
        struct Granted {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let reply = self.post("testIamPermissions", json!({ "permissions": wanted })).await?;
        Ok(serde_json::from_slice::<Granted>(&reply.body).unwrap_or_default().permissions)
    }

    async fn post(&self, verb: &str, body: Value) -> Result<Reply, Trouble> {
        let mut request = Request::new(Verb::Post, format!("{}:{verb}", self.url));
        request.header("Content-Type", "application/json");
        request.body = Some(body.to_string());
        self.judge(self.tokens.send(request).await, CONSUME)
    }

    fn judge(&self, reply: Result<Reply, String>, permission: &str) -> Result<Reply, Trouble> {
        let reply = reply.map_err(|words| Trouble { status: 0, words, ids: Map::new() })?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let said = event::shown::line(body["error"]["message"].as_str().unwrap_or_default());
        let words = match reply.status {
            401 => format!("the credential is not accepted: {said}"),
            403 => format!(
                "the credential lacks {permission} on {} (or the API is not enabled): {said}",
                self.subscription
            ),
            404 => format!("there is no {}: {said}", self.subscription),
            429 => format!("over the quota: {said}"),
            status => format!("status {status}: {said}"),
        };
        let details = body["error"]["details"].as_array().into_iter().flatten();
        let ids = details.filter_map(|detail| detail["metadata"].as_object()).flatten();
        let ids = ids.map(|(id, what)| (id.clone(), what.clone())).collect();
        Err(Trouble { status: reply.status, words, ids })
    }
}

/// What became of the ids. With exactly-once delivery the answer names those that failed, the others have
/// gone through (<https://cloud.google.com/pubsub/docs/exactly-once-delivery>).
fn outcome(trouble: &Trouble, ids: &[String]) -> Outcome {
    let named = |id: &&String| trouble.ids.contains_key(*id);
    let failed: Vec<&String> = ids.iter().filter(named).collect();
    let passes = |id: &&&String| {
        trouble.ids[**id].as_str().is_some_and(|what| what.starts_with("TRANSIENT_FAILURE"))
    };
    if !failed.is_empty() && !failed.iter().any(|id| passes(&id)) {
        return Outcome::Expired(failed.into_iter().cloned().collect());
    }
    // One id that cannot be used fails all of a request: whoever asks tries them in smaller numbers.
    match (trouble.status, ids) {
        (400, [only]) => Outcome::Expired(vec![only.clone()]),
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(status: u16, ids: &[(&str, &str)]) -> Trouble {
        let ids = ids.iter().map(|(id, what)| ((*id).to_owned(), (*what).into())).collect();
        Trouble { status, words: String::new(), ids }
    }

    #[test]
    fn an_id_that_is_no_longer_good_is_given_up_and_others_are_tried_again() {
        let ids = ["a".to_owned(), "b".to_owned()];
        let check = |trouble: Trouble, ids: &[String], expected: Outcome| {
            assert_eq!(outcome(&trouble, ids), expected, "{trouble:?}");
        };
        let gone = ("a", "PERMANENT_FAILURE_INVALID_ACK_ID");
        let later = ("b", "TRANSIENT_FAILURE_UNORDERED_ACK_ID");
        check(trouble(400, &[gone]), &ids, Outcome::Expired(vec!["a".to_owned()]));
        check(trouble(400, &[gone, later]), &ids, Outcome::Failed);
        check(trouble(503, &[]), &ids, Outcome::Failed);
        check(trouble(400, &[]), &ids, Outcome::Failed);
        check(trouble(400, &[]), &ids[..1], Outcome::Expired(vec!["a".to_owned()]));
        check(trouble(503, &[]), &ids[..1], Outcome::Failed);
    }
}
