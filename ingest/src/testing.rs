//! A small pipeline for tests of sources: collects, checks spans, remembers what is committed.

pub(crate) mod front;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event::Batch;
use parking_lot::Mutex;

use crate::claims::claims;
use crate::emitter::emitter;
use crate::error::SourceError;
use crate::finished::finished;
use crate::ledger::Ledger;
use crate::source::{Resume, ShutdownSender, Source, SourceContext, Summary, shutdown};
use crate::standing::Standing;

/// Names of objects that differ only in what a path would resolve, a URL encode or XML escape. With something in
/// it, the one that ends in a slash is an object like the others.
pub(crate) const NAMES: [&str; 14] = [
    "plain.json",
    "a/b.json",
    "a//b.json",
    "a%2Fb.json",
    "/a/b.json",
    "//b.json",
    "a/../b.json",
    "a/./b.json",
    "a/.b/..b.json",
    "50% off+1=2?#.json",
    "\u{e4} \u{1f4a9}.json",
    "<a> & \"b\".json",
    "a&lt;b&amp;.json",
    "trail/",
];

/// Reasons and bytes.
type Rejects = Vec<(String, Vec<u8>)>;

/// What is durable between runs.
#[derive(Clone, Default)]
pub(crate) struct Lake {
    pub resume: Arc<Mutex<HashMap<Arc<str>, Resume>>>,
    pub records: Arc<Mutex<Vec<String>>>,
    pub rejects: Arc<Mutex<Rejects>>,
    /// How long a batch takes until it is durable.
    pub delay: Duration,
}

/// Asks the source to stop also when a test fails; a blocking source would hold its runtime for ever.
pub(crate) struct Stop(ShutdownSender);

impl Stop {
    pub fn request(&self) {
        self.0.request();
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.request();
    }
}

/// A source that runs.
pub(crate) struct Running {
    pub lake: Lake,
    pub standing: Standing,
    pub stop: Stop,
    source: tokio::task::JoinHandle<Result<Summary, SourceError>>,
    pipeline: tokio::task::JoinHandle<()>,
}

impl Lake {
    /// Starts a source; every batch is committed at once.
    pub fn start(&self, source: Box<dyn Source>) -> Running {
        let (sender, mut receiver) = emitter(4, 4 << 20);
        let (done, back) = finished();
        let (stop, signal) = shutdown();
        let standing = Standing::default();
        let (claims, mut claimed) = claims();
        let context = SourceContext {
            name: "test".into(),
            emitter: sender,
            finished: back,
            resume: self.resume.lock().clone(),
            shutdown: signal,
            standing: standing.clone(),
            board: None,
            claims,
        };
        let of_claims = self.clone();
        tokio::spawn(async move {
            while let Some(claim) = claimed.recv().await {
                // This process is the only one.
                let _ = claim.answer.send(of_claims.resume.lock().clone());
            }
        });
        let lake = self.clone();
        let pipeline = tokio::spawn(async move {
            let mut ledgers: HashMap<Arc<str>, Ledger> = HashMap::new();
            while let Some(envelope) = receiver.recv().await {
                let span = envelope.batch.span.clone();
                let partition = span.key.partition.clone();
                let start = lake.resume.lock().get(&partition).map_or(0, |resume| resume.upto);
                let ledger = ledgers.entry(partition).or_insert_with(|| Ledger::new(start));
                ledger.emit(&span).expect("spans touch");
                tokio::time::sleep(lake.delay).await;
                ledger.finish(&span).expect("each is finished once");
                lake.commit(&envelope.batch);
                done.finish(span);
            }
        });
        let source = tokio::spawn(source.run(context));
        Running { lake: self.clone(), standing, stop: Stop(stop), source, pipeline }
    }

    fn commit(&self, batch: &Batch) {
        let mut resume = self.resume.lock();
        let entry = resume.entry(batch.span.key.partition.clone()).or_default();
        entry.upto = batch.span.upto;
        entry.state = batch.span.state.clone().or(entry.state.take());
        for record in &batch.records {
            let text = String::from_utf8_lossy(&batch.record(record)).into_owned();
            self.records.lock().push(text);
        }
        let rejects = batch.rejects.iter().map(|r| (r.reason.clone(), r.bytes.to_vec()));
        self.rejects.lock().extend(rejects);
    }

    /// Runs a finite source to its end; what it gave and its summary.
    pub async fn all(&self, source: Box<dyn Source>) -> (Vec<String>, Summary) {
        self.records.lock().clear();
        let summary = self.start(source).end().await.expect("the source ends well");
        (self.take(), summary)
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.records.lock())
    }
}

impl Running {
    /// Waits until the source has ended by itself.
    pub async fn end(self) -> Result<Summary, SourceError> {
        let result = tokio::time::timeout(Duration::from_secs(60), self.source).await;
        let result = result.expect("ends in time").expect("does not panic");
        self.pipeline.await.expect("the pipeline does not panic");
        result
    }

    /// Whether it has ended, well or not.
    pub fn is_over(&self) -> bool {
        self.source.is_finished()
    }

    /// Asks it to stop and waits.
    pub async fn stop(self) -> Result<Summary, SourceError> {
        self.stop.request();
        self.end().await
    }

    /// Waits until this many records came; all of them, sorted.
    pub async fn wait_for(&self, count: usize) -> Vec<String> {
        for _ in 0..3_000 {
            if self.lake.records.lock().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut records = self.lake.records.lock().clone();
        records.sort();
        assert_eq!(records.len(), count, "{records:?}");
        records
    }
}
