//! Notifications of a bucket through Pub/Sub
//! (<https://cloud.google.com/storage/docs/pubsub-notifications>).

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::objects::{Notice, Notices, Says};
use crate::pubsub::{Api, Ask, Message, Outcome};

/// Messages that one request takes.
const MESSAGES_MAX: usize = 32;
/// Pub/Sub counts deliveries only for subscriptions with a dead-letter topic: they are counted here, for so many.
const COUNTED_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct News {
    api: Api,
    bucket: String,
    lease_s: u32,
    /// Deliveries by id of messages that are not done with.
    deliveries: Mutex<HashMap<String, u32>>,
}

impl News {
    pub fn new(api: Api, bucket: &str, lease_s: u32) -> Self {
        Self { api, bucket: bucket.to_owned(), lease_s, deliveries: Mutex::default() }
    }

    fn notice(&self, message: Message) -> Notice {
        let mut counted = self.deliveries.lock();
        if counted.len() >= COUNTED_MAX {
            counted.clear();
        }
        let count = counted.entry(message.id.clone()).or_default();
        *count += 1;
        let says = says(&message.attributes, &self.bucket);
        Notice {
            id: message.id,
            receipt: message.ack_id,
            deliveries: *count,
            says,
            text: Value::Object(message.attributes).to_string(),
        }
    }

    async fn settle(&self, ask: Ask) -> Result<(), String> {
        match self.api.settle(&ask, i64::from(self.lease_s)).await {
            (Outcome::Failed, trouble) => {
                Err(trouble.map_or_else(String::new, |trouble| trouble.words))
            }
            _ => Ok(()),
        }
    }
}

fn says(attributes: &Map<String, Value>, bucket: &str) -> Says {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str);
    let (Some(kind), Some(of), Some(key)) = (text("eventType"), text("bucketId"), text("objectId"))
    else {
        return Says::Foreign("it lacks `eventType`, `bucketId` or `objectId`".to_owned());
    };
    match kind == "OBJECT_FINALIZE" && of == bucket {
        true => Says::Objects(vec![key.to_owned()]),
        false => Says::Nothing,
    }
}

#[async_trait]
impl Notices for News {
    async fn receive(&self) -> Result<Vec<Notice>, String> {
        let messages = self.api.pull(MESSAGES_MAX).await.map_err(|trouble| trouble.words)?;
        let notices: Vec<_> = messages.into_iter().map(|message| self.notice(message)).collect();
        if !notices.is_empty() {
            // The subscription's own lease may be short.
            let ids = notices.iter().map(|notice| notice.receipt.clone()).collect();
            self.settle(Ask::Extend(ids)).await?;
        }
        Ok(notices)
    }

    async fn extend(&self, notice: &mut Notice) -> Result<(), String> {
        self.settle(Ask::Extend(vec![notice.receipt.clone()])).await
    }

    async fn delete(&self, notice: &Notice) -> Result<(), String> {
        self.settle(Ask::Acknowledge(vec![notice.receipt.clone()])).await?;
        self.deliveries.lock().remove(&notice.id);
        Ok(())
    }

    fn lease_s(&self) -> u64 {
        u64::from(self.lease_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_objects_of_the_bucket_are_read() {
        let check = |pairs: &[(&str, &str)], expected: Option<Says>| {
            let attributes = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
            let said = says(&attributes, "logs");
            match expected {
                Some(expected) => assert_eq!(said, expected, "{pairs:?}"),
                None => assert!(matches!(said, Says::Foreign(_)), "{said:?}"),
            }
        };
        let of =
            |kind, bucket| [("eventType", kind), ("bucketId", bucket), ("objectId", "a/b.json")];
        let found = Says::Objects(vec!["a/b.json".to_owned()]);
        check(&of("OBJECT_FINALIZE", "logs"), Some(found));
        check(&of("OBJECT_DELETE", "logs"), Some(Says::Nothing));
        check(&of("OBJECT_FINALIZE", "other"), Some(Says::Nothing));
        check(&[("x", "y")], None);
    }
}
