//! Queues that tell of new objects.

use async_trait::async_trait;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// These objects of our bucket are new.
    Objects(Vec<String>),
    /// Nothing that concerns us, and that is right so: a test, another bucket, a deletion.
    Nothing,
    /// What no notification looks like, and why.
    Foreign(String),
}

/// A message of a queue.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What the queue knows the message by.
    pub id: String,
    /// What extending and deleting needs; extending may change it.
    pub receipt: String,
    /// How often it was delivered, if the queue counts.
    pub deliveries: u32,
    pub says: Says,
    /// As it came, for the dead letter.
    pub text: String,
}

/// A queue. Failures are told in words, without secrets, and may pass.
#[async_trait]
pub trait Notices: Send + Sync + 'static {
    /// Waits for some seconds for messages, which are then kept from others for [`Notices::lease_s`].
    async fn receive(&self) -> Result<Vec<Notice>, String>;

    /// Keeps a message from others for another [`Notices::lease_s`].
    async fn extend(&self, notice: &mut Notice) -> Result<(), String>;

    /// The message is done with.
    async fn delete(&self, notice: &Notice) -> Result<(), String>;

    fn lease_s(&self) -> u64;
}
