//! A question's own threads. An operator may work for hours without giving way (a join of two large
//! tables without an equality does), and then no timer of its runtime fires and no cancellation
//! reaches it. So every question is planned and answered on a runtime of its own, the clock runs
//! outside, and at the limit the question is left alone: whoever asked goes on at once.
//!
//! Threads cannot be stopped from outside. One that was left ends when its operator next gives way,
//! after some batches of its input at the latest; a program that answers one question simply ends.
//! Until then it counts as a question: [`Places`] bounds how many there are in a process.

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinHandle};

/// Questions that one engine answers at the same time, those included that were given up.
const QUESTIONS_MAX: usize = 16;
/// Batches that wait for their reader.
const BATCHES_AHEAD: usize = 2;

/// Room for questions.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(QUESTIONS_MAX)))
    }
}

impl Places {
    /// How many more questions there is room for.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }

    /// Waits for room and takes it.
    pub(crate) async fn take(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.0).acquire_owned().await {
            Ok(place) => place,
            Err(_) => unreachable!("the places are never closed"),
        }
    }
}

/// The threads of one question. Dropping it leaves them.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) fn start(count: usize, place: OwnedSemaphorePermit) -> std::io::Result<Self> {
        // The runtime keeps this function as long as one of its threads is there: the place is free
        // again when the last one has ended, not when the question was given up.
        let held = move || {
            let _ = &place;
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_name("question")
            .enable_all()
            .on_thread_stop(held)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Works on these threads. The work goes on when the handle is dropped, until the threads are.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match &self.0 {
            Some(runtime) => runtime.spawn(work),
            None => unreachable!("only dropping takes the runtime"),
        }
    }

    /// Reads a stream on these threads, a little ahead of its reader.
    pub(crate) fn drive(&self, mut stream: SendableRecordBatchStream) -> Driven {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let task = self.run(async move {
            while let Some(batch) = stream.next().await {
                let failed = batch.is_err();
                if sender.send(batch).await.is_err() || failed {
                    return;
                }
            }
        });
        Driven { batches, task: Some(task) }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A stream that is read elsewhere.
pub(crate) struct Driven {
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    /// `None` once its end was seen.
    task: Option<JoinHandle<()>>,
}

impl Driven {
    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// When the work ended in any other way than by its end or an error of its own.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<Option<Result<RecordBatch, DataFusionError>>, JoinError> {
        if let Some(batch) = self.batches.recv().await {
            return Ok(Some(batch));
        }
        if let Some(task) = &mut self.task {
            let ended = task.await;
            self.task = None;
            ended?;
        }
        Ok(None)
    }
}
