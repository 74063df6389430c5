//! Trying out what may be done in a container and its queue.

use super::AzureBlobSource;
use super::queue::ROLE;
use crate::probe::Findings;

const DOCS: &str = "docs/azure.md";

impl AzureBlobSource {
    /// Lists one blob, reads one byte of it, and looks at the queue; nothing is taken.
    pub(super) async fn try_out(&self) -> Result<Findings, String> {
        let options = &self.options;
        let proof = options.proof()?;
        let store = options.store(&proof);
        let needs = match options.queue {
            Some(_) => {
                format!("Storage Blob Data Reader on the container, and {ROLE} on the queue")
            }
            None => "Storage Blob Data Reader on the container".to_owned(),
        };
        let reads = format!("the container {} of {}", options.container, options.account);
        let mut found = Findings::new(reads, needs, DOCS);
        crate::objects::try_out(&store, options.prefix.as_deref(), &mut found).await;
        let Some(queue) = options.queue(&proof) else { return Ok(found) };
        match queue.peek().await {
            Ok(_) => {
                let waiting = queue.waiting().await;
                let count = waiting.map_or_else(|_| "some".to_owned(), |n| format!("about {n}"));
                found.good(format!("the queue may be read; {count} messages wait"));
            }
            Err(words) => found.bad("notifications", words),
        }
        Ok(found)
    }
}
