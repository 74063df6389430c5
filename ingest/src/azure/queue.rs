//! A storage queue to which Event Grid sends what happens to blobs
//! (<https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api>).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::credentials::Proof;
use crate::objects::{Notice, Notices, Says};
use crate::poll::request::{Reply, Request, Verb, encode};
use crate::stores::xml;

/// An empty queue is asked again after this: it has no way to wait.
const EMPTY: Duration = Duration::from_secs(5);

/// What reading the queue needs.
pub(super) const ROLE: &str = "Storage Queue Data Message Processor";

#[derive(Debug)]
pub(super) struct Queue {
    proof: Arc<Proof>,
    /// `https://account.queue.core.windows.net/name`
    url: String,
    container: String,
    lease_s: u64,
}

impl Queue {
    pub fn new(proof: Arc<Proof>, url: String, container: &str, lease_s: u64) -> Self {
        Self { proof, url, container: container.to_owned(), lease_s }
    }

    /// About how many messages wait.
    pub async fn waiting(&self) -> Result<u64, String> {
        let mut request = Request::new(Verb::Get, &self.url);
        request.query = "comp=metadata".to_owned();
        let reply = self.send(request).await?;
        let count = reply.header("x-ms-approximate-messages-count");
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Looks at messages without taking them.
    pub async fn peek(&self) -> Result<usize, String> {
        let mut request = Request::new(Verb::Get, format!("{}/messages", self.url));
        request.query = "peekonly=true&numofmessages=1".to_owned();
        let reply = self.send(request).await?;
        Ok(xml::elements(&String::from_utf8_lossy(&reply.body), "QueueMessage").len())
    }

    async fn send(&self, request: Request) -> Result<Reply, String> {
        let reply = self.proof.send(request).await.map_err(|words| format!("queue: {words}"))?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let code = reply.header("x-ms-error-code").unwrap_or_default();
        let code = event::shown::line(code);
        Err(match reply.status {
            401 | 403 => format!("queue: the credential needs the role {ROLE} ({code})"),
            404 if code == "QueueNotFound" => "queue: there is no such queue".to_owned(),
            status => format!("queue: status {status} {code}"),
        })
    }

    fn notice(&self, message: &str) -> Notice {
        let member = |name| xml::text(message, name).unwrap_or_default();
        let text = member("MessageText");
        let decoded =
            BASE64.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = decoded.unwrap_or(text);
        Notice {
            id: member("MessageId"),
            receipt: member("PopReceipt"),
            deliveries: member("DequeueCount").parse().unwrap_or(0),
            says: says(&text, &self.container),
            text,
        }
    }

    fn of(&self, verb: Verb, notice: &Notice) -> Request {
        let mut request =
            Request::new(verb, format!("{}/messages/{}", self.url, encode(&notice.id)));
        request.query = format!("popreceipt={}", encode(&notice.receipt));
        request
    }
}

#[async_trait]
impl Notices for Queue {
    async fn receive(&self) -> Result<Vec<Notice>, String> {
        let mut request = Request::new(Verb::Get, format!("{}/messages", self.url));
        request.query = format!("numofmessages=32&visibilitytimeout={}", self.lease_s);
        let reply = self.send(request).await?;
        let text = String::from_utf8_lossy(&reply.body);
        let messages = xml::elements(&text, "QueueMessage");
        let found: Vec<_> = messages.iter().map(|message| self.notice(message.content)).collect();
        if found.is_empty() {
            tokio::time::sleep(EMPTY).await;
        }
        Ok(found)
    }

    async fn extend(&self, notice: &mut Notice) -> Result<(), String> {
        let mut request = self.of(Verb::Put, notice);
        request.query += &format!("&visibilitytimeout={}", self.lease_s);
        let reply = self.send(request).await?;
        if let Some(receipt) = reply.header("x-ms-popreceipt") {
            receipt.clone_into(&mut notice.receipt);
        }
        Ok(())
    }

    async fn delete(&self, notice: &Notice) -> Result<(), String> {
        self.send(self.of(Verb::Delete, notice)).await.map(|_| ())
    }

    fn lease_s(&self) -> u64 {
        self.lease_s
    }
}

/// What a message says about the blobs of this container: Event Grid's own schema or CloudEvents, one or
/// several (<https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage>).
fn says(text: &str, container: &str) -> Says {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Says::Foreign("it is no JSON".to_owned());
    };
    let events = match message {
        Value::Array(events) => events,
        event => vec![event],
    };
    let mut keys = Vec::new();
    for event in &events {
        let kind = event["eventType"].as_str().or(event["type"].as_str());
        let subject = event["subject"].as_str();
        let (Some(kind), Some(subject)) = (kind, subject) else {
            return Says::Foreign("it has no `subject`, or says not what happened".to_owned());
        };
        let path = subject.split_once("/containers/").map(|(_, path)| path);
        let of_blob = path.and_then(|path| path.split_once("/blobs/"));
        let is_new =
            matches!(kind, "Microsoft.Storage.BlobCreated" | "Microsoft.Storage.BlobRenamed");
        if let Some((_, key)) = of_blob.filter(|(of, _)| *of == container && is_new) {
            keys.push(key.to_owned());
        }
    }
    if keys.is_empty() { Says::Nothing } else { Says::Objects(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemas_of_event_grid_are_read() {
        let check = |text: &str, expected: Says| assert_eq!(says(text, "logs"), expected, "{text}");
        let blob = "/blobServices/default/containers/logs/blobs/y=2026/PT1H.json";
        let objects = || Says::Objects(vec!["y=2026/PT1H.json".to_owned()]);
        check(
            &format!(r#"{{"eventType":"Microsoft.Storage.BlobCreated","subject":"{blob}"}}"#),
            objects(),
        );
        check(
            &format!(r#"[{{"type":"Microsoft.Storage.BlobCreated","subject":"{blob}"}}]"#),
            objects(),
        );
        check(
            &format!(r#"{{"eventType":"Microsoft.Storage.BlobDeleted","subject":"{blob}"}}"#),
            Says::Nothing,
        );
        let other = blob.replace("/logs/", "/other/");
        check(
            &format!(r#"{{"eventType":"Microsoft.Storage.BlobCreated","subject":"{other}"}}"#),
            Says::Nothing,
        );
        assert!(matches!(says("hello", "logs"), Says::Foreign(_)));
        assert!(matches!(says(r#"{"a":1}"#, "logs"), Says::Foreign(_)));
    }
}
