//! Asking for partitions that other processes of the same lake may have read until now.

use std::collections::HashMap;
use std::sync::Arc;

use event::PartitionKey;
use tokio::sync::{mpsc, oneshot};

use crate::emitter::Closed;
use crate::source::Resume;

/// Where the partitions go on, by their names.
pub type Claimed = HashMap<Arc<str>, Resume>;

/// A source's end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Claims(mpsc::Sender<Claim>);

/// A question of a source. It is answered when no other process can store anything of the partitions any more.
#[derive(Debug)]
pub struct Claim {
    pub keys: Vec<PartitionKey>,
    pub answer: oneshot::Sender<Claimed>,
}

/// The program's end.
pub type ClaimReceiver = mpsc::Receiver<Claim>;

/// A way to ask.
pub fn claims() -> (Claims, ClaimReceiver) {
    let (sender, receiver) = mpsc::channel(16);
    (Claims(sender), receiver)
}

impl Claims {
    /// Makes partitions this process's. Spans of each go on where the answer says, at 0 where it is not in it.
    ///
    /// # Errors
    /// [`Closed`] when the program ends or cannot know.
    pub async fn claim(&self, keys: Vec<PartitionKey>) -> Result<Claimed, Closed> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Claim { keys, answer }).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }
}
