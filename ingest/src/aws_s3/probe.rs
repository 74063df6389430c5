//! Whether the queue or the bucket can be read, and what their settings mean.

use futures::TryStreamExt as _;
use serde::Deserialize;

use super::AwsS3Options;
use super::listing::{self, Looked};
use super::queue::{Queue, Standing};
use super::store::Stores;
use crate::poll::source::now_ms;
use crate::probe::Findings;
use crate::stores::Entry;

const DOCS: &str = "docs/aws.md";
const NEEDS: &str = "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and \
                     sqs:GetQueueAttributes on the queue, s3:GetObject on the objects, s3:ListBucket on the \
                     bucket (to list it, and to tell an object that is gone from one that is forbidden), and \
                     kms:Decrypt on the key of either";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
    max_receive_count: serde_json::Value,
}

impl Standing {
    /// What a person should know.
    pub fn remarks(&self) -> Vec<String> {
        let mut out =
            vec![format!("{} messages wait, {} are with readers", self.visible, self.taken)];
        let days = self.retention_s / 86_400;
        if days < 4 {
            let hours = self.retention_s / 3_600;
            out.push(format!(
                "messages are kept for {hours} h: a longer outage loses announcements; keep them for 14 days"
            ));
        }
        let redrive = self.redrive.as_deref().and_then(|text| serde_json::from_str(text).ok());
        out.push(match redrive {
            Some(Redrive { dead_letter_target_arn, max_receive_count }) => format!(
                "after {max_receive_count} deliveries a message goes to {dead_letter_target_arn}: watch it"
            ),
            None => "there is no queue for messages that fail: set a redrive policy, or what cannot be \
                     read is tried until it is as old as the queue keeps messages"
                .replace("                     ", ""),
        });
        out
    }
}

/// Looks at the queue's settings, or lists the bucket; no message is taken from others.
pub(super) async fn try_out(options: &AwsS3Options) -> Findings {
    let config = options.aws.load().await;
    if let Some(url) = &options.queue_url {
        let mut found = Findings::new(format!("the queue {url}"), NEEDS, DOCS);
        match Queue::new(&config, url, options.visibility_s).standing().await {
            Ok(standing) => standing.remarks().into_iter().for_each(|remark| found.good(remark)),
            Err(words) => found.bad("queue", words),
        }
        return found;
    }
    let Some(listing) = &options.listing else { return Findings::default() };
    let mut found = Findings::new(format!("the bucket {}", listing.bucket), NEEDS, DOCS);
    let stores = match Stores::new(&config, options.aws.endpoint.as_deref()) {
        Ok(stores) => stores,
        Err(words) => {
            found.bad("settings", words);
            return found;
        }
    };
    let now_ms = now_ms();
    let mut sample = None;
    for prefix in listing::prefixes(listing, Looked::since_ms(None, listing, now_ms), now_ms) {
        let bucket = stores.bucket(&listing.bucket, None);
        let wanted = bucket.entries(prefix.clone()).try_filter(|entry| {
            futures::future::ready(options.wants(&entry.key) && !entry.is_folder())
        });
        match std::pin::pin!(wanted).try_next().await {
            Ok(entry) => {
                found.good(format!("`{prefix}` can be listed"));
                sample = entry;
            }
            Err(trouble) => found.bad(prefix, trouble.words()),
        }
        if sample.is_some() {
            break;
        }
    }
    let Some(Entry { key, .. }) = sample else {
        found.good("no object of the days in question is there");
        return found;
    };
    let shown = event::shown::line(&key);
    match stores.get(&listing.bucket, &key, None).await {
        Ok((entry, _)) => found.good(format!("{shown} can be read, {} bytes", entry.size)),
        Err(trouble) => found.bad(shown, trouble.words()),
    }
    found
}
