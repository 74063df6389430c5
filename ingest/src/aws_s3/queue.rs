//! The requests to SQS (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/>).

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageSystemAttributeName, QueueAttributeName,
};

use crate::aws;

/// As many in one request.
pub(super) const BATCH_MAX: usize = 10;
/// So long a request for messages waits. SQS would wait for 20 seconds; a source that is stopped waits for it.
const WAIT_S: i32 = 5;

/// A message as it was delivered.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub id: String,
    pub handle: String,
    pub body: String,
    pub sent_ms: Option<i64>,
    /// How often it was delivered.
    pub receives: u32,
}

/// How a queue is set up and how full it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub visible: u64,
    pub taken: u64,
    pub retention_s: u64,
    /// `{"deadLetterTargetArn":…,"maxReceiveCount":…}`
    pub redrive: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Queue {
    client: Client,
    url: String,
    visibility_s: i32,
}

impl Queue {
    pub fn new(config: &SdkConfig, url: &str, visibility_s: u32) -> Self {
        // What failed is asked again by who asked, with pauses that grow.
        let config = aws_sdk_sqs::config::Builder::from(config)
            .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled())
            .build();
        let visibility_s = i32::try_from(visibility_s).unwrap_or(i32::MAX);
        Self { client: Client::from_conf(config), url: url.to_owned(), visibility_s }
    }

    /// Waits at SQS until there is something, for some seconds.
    pub async fn receive(&self, max: usize) -> Result<Vec<Message>, String> {
        let max = i32::try_from(max.clamp(1, BATCH_MAX)).unwrap_or(1);
        let asked = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max)
            .wait_time_seconds(WAIT_S)
            .visibility_timeout(self.visibility_s)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let given = asked.send().await.map_err(|e| self.told("sqs:ReceiveMessage", &e))?;
        let messages = given.messages.unwrap_or_default().into_iter().map(|message| {
            let number = |name| message.attributes.as_ref()?.get(&name)?.parse::<i64>().ok();
            let receives = number(MessageSystemAttributeName::ApproximateReceiveCount);
            Message {
                sent_ms: number(MessageSystemAttributeName::SentTimestamp),
                receives: receives.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
                id: message.message_id.unwrap_or_default(),
                handle: message.receipt_handle.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
            }
        });
        Ok(messages.collect())
    }

    /// Deletes at most [`BATCH_MAX`] messages.
    pub async fn delete(&self, handles: &[String]) -> Result<(), String> {
        let entry = |(n, handle): (usize, &String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
            entry.receipt_handle(handle).build().map_err(|e| e.to_string())
        };
        let entries = handles.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        let asked =
            self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let done = asked.send().await.map_err(|e| self.told("sqs:DeleteMessage", &e))?;
        // A handle that is too old is no loss: the message comes again and is recognised.
        let ours = done.failed.iter().find(|failed| !failed.sender_fault);
        ours.map_or(Ok(()), |failed| Err(format!("a message cannot be deleted: {}", failed.code)))
    }

    /// Keeps at most [`BATCH_MAX`] messages from others for that long from now; 0 gives them back.
    pub async fn keep(&self, handles: &[(String, u32)]) -> Result<(), String> {
        let entry = |(n, (handle, seconds)): (usize, &(String, u32))| {
            let seconds = i32::try_from(*seconds).unwrap_or(i32::MAX);
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(n.to_string());
            entry
                .receipt_handle(handle)
                .visibility_timeout(seconds)
                .build()
                .map_err(|e| e.to_string())
        };
        let entries = handles.iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        let request = self.client.change_message_visibility_batch().queue_url(&self.url);
        let done = request.set_entries(Some(entries)).send().await;
        done.map(drop).map_err(|e| self.told("sqs:ChangeMessageVisibility", &e))
    }

    pub async fn standing(&self) -> Result<Standing, String> {
        let asked = self.client.get_queue_attributes().queue_url(&self.url);
        let asked = asked.attribute_names(QueueAttributeName::All).send().await;
        let given = asked.map_err(|e| self.told("sqs:GetQueueAttributes", &e))?;
        let text = |name| given.attributes.as_ref()?.get(&name).cloned();
        let number = |name| text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Standing {
            visible: number(QueueAttributeName::ApproximateNumberOfMessages),
            taken: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            retention_s: number(QueueAttributeName::MessageRetentionPeriod),
            redrive: text(QueueAttributeName::RedrivePolicy),
        })
    }

    fn told<E>(&self, permission: &str, error: &SdkError<E>) -> String
    where
        E: aws_sdk_sqs::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let code = error.code().unwrap_or_default();
        match code {
            "AccessDenied" | "AccessDeniedException" => {
                format!("the credential lacks {permission} on {}", self.url)
            }
            _ if code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue") => {
                format!("there is no queue {}", self.url)
            }
            _ => format!("{permission} on {}: {}", self.url, aws::words(error)),
        }
    }
}
