//! The bounded way from sources to the pipeline: so many batches and so many bytes, no more.
//!
//! Room is given back when the [`Permit`] that travels with a batch is dropped, that is when the
//! batch has been processed. A permit is room and nothing else: finishing a span is done by value,
//! see [`crate::FinishedSender`].

use std::sync::Arc;

use event::Batch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Room taken by a batch; given back when the last copy is dropped.
#[derive(Clone, Debug)]
pub struct Permit(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// A batch and the room it takes.
#[derive(Debug)]
pub struct Envelope {
    pub batch: Batch,
    /// Drop it when the batch has been processed.
    pub permit: Permit,
}

/// The pipeline has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has ended")]
pub struct Closed;

/// The sending end; cheap to clone, one per source or task.
#[derive(Clone, Debug)]
pub struct Emitter {
    queue: mpsc::Sender<Envelope>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

/// The receiving end. `recv` gives `None` when every [`Emitter`] is gone: the input has ended.
#[derive(Debug)]
pub struct EmitterReceiver {
    queue: mpsc::Receiver<Envelope>,
}

/// A queue of at most `batches_max` batches that hold at most `bytes_max` bytes together, counted
/// until their permits are dropped. A single batch that is larger goes alone.
pub fn emitter(batches_max: usize, bytes_max: usize) -> (Emitter, EmitterReceiver) {
    let bytes_max = u32::try_from(bytes_max.max(1)).unwrap_or(u32::MAX >> 4).min(u32::MAX >> 4);
    let (queue, receiver) = mpsc::channel(batches_max.max(1));
    let room = Arc::new(Semaphore::new(bytes_max as usize));
    (Emitter { queue, room, bytes_max }, EmitterReceiver { queue: receiver })
}

impl Emitter {
    /// Waits for room and sends.
    pub async fn send(&self, batch: Batch) -> Result<(), Closed> {
        let want = weight(&batch).min(self.bytes_max as usize) as u32;
        let acquired = tokio::select! {
            acquired = self.room.clone().acquire_many_owned(want) => acquired,
            () = self.queue.closed() => return Err(Closed),
        };
        let permit = Permit(Arc::new(acquired.map_err(|_| Closed)?));
        self.queue.send(Envelope { batch, permit }).await.map_err(|_| Closed)
    }

    /// Whether a batch of usual size would be taken without waiting. A hint for sources that can
    /// pause their other side instead of holding what they fetched.
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
            && self.room.available_permits() >= (self.bytes_max as usize).min(1 << 20)
    }

    /// Waits until the pipeline is gone.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }
}

impl EmitterReceiver {
    /// The next batch; `None` when all sources have ended.
    pub async fn recv(&mut self) -> Option<Envelope> {
        self.queue.recv().await
    }

    /// As [`EmitterReceiver::recv`], from a thread that is no task.
    pub fn blocking_recv(&mut self) -> Option<Envelope> {
        self.queue.blocking_recv()
    }

    /// The next batch when there is one.
    pub fn try_recv(&mut self) -> Option<Envelope> {
        self.queue.try_recv().ok()
    }
}

/// About what a batch takes in memory.
fn weight(batch: &Batch) -> usize {
    let rejects: usize = batch.rejects.iter().map(|r| r.bytes.len() + r.reason.len() + 128).sum();
    1 + batch.bytes.len() + rejects + batch.records.len() * 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{LogType, PartitionKey, Span, Timestamp};

    fn batch(bytes: usize) -> Batch {
        let key = PartitionKey { source: "s".into(), partition: "p".into() };
        Batch {
            span: Span { key, after: 0, upto: 1, state: None },
            origin: None,
            log_type: LogType::from("t"),
            bytes: vec![0; bytes].into(),
            records: Vec::new(),
            rejects: Vec::new(),
            redrives: Vec::new(),
            received_at: Timestamp(0),
        }
    }

    #[tokio::test]
    async fn bytes_are_bounded_until_processed() {
        let (emitter, mut receiver) = emitter(10, 1_000);
        emitter.send(batch(800)).await.unwrap();
        let second = tokio::spawn({
            let emitter = emitter.clone();
            async move { emitter.send(batch(5_000)).await }
        });
        let first = receiver.recv().await.unwrap();
        tokio::task::yield_now().await;
        assert!(receiver.try_recv().is_none(), "received is not processed");
        drop(first.permit);
        assert_eq!(receiver.recv().await.unwrap().batch.bytes.len(), 5_000, "larger goes alone");
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_end_is_seen_on_both_sides() {
        let (sender, mut receiver) = emitter(1, 1_000);
        drop(sender.clone());
        drop(sender);
        assert!(receiver.recv().await.is_none());
        let (sender, receiver) = emitter(1, 1_000);
        sender.send(batch(999)).await.unwrap();
        let waiting = tokio::spawn(async move { sender.send(batch(999)).await });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(Closed));
    }
}
