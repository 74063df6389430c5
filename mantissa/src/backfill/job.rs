//! One backfill from its beginning, or from where it was left, to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event::{Batch, LogType, PartitionKey, Span};
use ingest::emitter::Closed;
use ingest::poll::past::Standing;
use ingest::{Emitter, PollSource, Resume, Shutdown, Source as _, SourceContext};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::relay::{Kept, Relay, Told};
use super::{Counts, End, Inbox, NAME, Progress};
use crate::pipeline::now;
use crate::report;

/// Between the poller and the relay.
const BATCHES_MAX: usize = 4;
const BATCHES_BYTES_MAX: usize = 4 << 20;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The partitions of the desk as they are in the lake.
pub(super) type Committed = HashMap<Arc<str>, Resume>;

/// See the module's documentation.
pub(super) struct Job {
    /// `okta-prod/2026-09-01T00:00:00Z..2026-09-02T00:00:00Z`, the beginning of its partitions.
    pub name: String,
    pub source: Option<Box<PollSource>>,
    pub source_name: Arc<str>,
    pub log_type: LogType,
    pub relay: Relay,
    pub teller: Teller,
    pub emitter: Emitter,
    pub committed: watch::Receiver<Committed>,
    pub shutdown: Shutdown,
}

/// How it stopped.
enum Stopped {
    /// Everything was read and handed over.
    AtEnd,
    /// The process ends; it goes on at the next start.
    Early,
    Failed(String),
}

impl Job {
    /// Runs to its end, or until the process is to stop.
    pub async fn run(mut self) {
        let left = self.left();
        let is_done = !left.is_empty() && left.values().all(|(_, kept)| kept.poll.is_none());
        for (partition, (resume, kept)) in &left {
            let mut told = self.teller.told.lock();
            told.counts.insert(Arc::clone(partition), kept.counts);
            told.sent.insert(Arc::clone(partition), resume.upto);
        }
        let end = match is_done {
            true => Some(End::Done),
            false => self.work(left).await,
        };
        let Some(end) = end else { return };
        self.teller.tell(Some(end.clone()));
        if let Err(e) = self.teller.inbox.end(&self.teller.id) {
            tracing::error!(backfill = self.name, "the request is looked at again: {e:#}");
        }
        let counts = self.teller.told.lock().total();
        tracing::info!(backfill = self.name, ?end, ?counts, "ended");
    }

    /// What was committed of its partitions, by an earlier process or attempt.
    fn left(&self) -> HashMap<Arc<str>, (Resume, Kept)> {
        let committed = self.committed.borrow();
        let own = committed.iter().filter(|(partition, _)| self.owns(partition));
        own.map(|(partition, resume)| {
            let kept = resume.state.as_deref().and_then(|state| serde_json::from_str(state).ok());
            (Arc::clone(partition), (resume.clone(), kept.unwrap_or_default()))
        })
        .collect()
    }

    fn owns(&self, partition: &str) -> bool {
        partition.strip_prefix(&*self.name).is_some_and(|rest| rest.starts_with('/'))
    }

    async fn work(&mut self, left: HashMap<Arc<str>, (Resume, Kept)>) -> Option<End> {
        match self.read(left).await {
            Stopped::Early => None,
            Stopped::Failed(words) => Some(End::Refused(words)),
            Stopped::AtEnd => self.close().await.then_some(End::Done),
        }
    }

    /// Reads and relays, and tells how far it is.
    async fn read(&mut self, left: HashMap<Arc<str>, (Resume, Kept)>) -> Stopped {
        let inner = |partition: &str| partition[self.name.len() + 1..].into();
        let resume = left.into_iter().map(|(partition, (resume, kept))| {
            let state = kept.poll.map(Into::into);
            (inner(&partition), Resume { upto: resume.upto, state })
        });
        let resume = resume.collect();
        let (emitter, mut batches) = ingest::emitter(BATCHES_MAX, BATCHES_BYTES_MAX);
        // The poller is acknowledged nothing: what the lake has is asked for at the next start.
        let (_, finished) = ingest::finished();
        let name = format!("{}#backfill", self.source_name).into();
        let shutdown = self.shutdown.clone();
        // Live collection is what coverage goes by.
        let standing = ingest::Standing::default();
        let board = None;
        // Nobody else fills the same in.
        let (claims, _) = ingest::claims();
        let context =
            SourceContext { name, emitter, finished, resume, shutdown, standing, board, claims };
        let Some(source) = self.source.take() else { return Stopped::Early };
        let reading = source.run(context);
        let (relay, out) = (&mut self.relay, &self.emitter);
        let relaying = async move {
            while let Some(envelope) = batches.recv().await {
                let batch = relay.sift(envelope.batch).await.ok_or(Closed)?;
                out.send(batch).await?;
            }
            Ok::<_, Closed>(())
        };
        let work = async { tokio::join!(reading, relaying) };
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(TELL_EVERY);
        let (read, relayed) = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = ticks.tick() => self.teller.tell(None),
            }
        };
        match (read, relayed) {
            (_, Err(Closed)) => Stopped::Early,
            _ if self.shutdown.is_requested() => Stopped::Early,
            (Err(e), _) => Stopped::Failed(report::chain(&e)),
            (Ok(_), Ok(())) => Stopped::AtEnd,
        }
    }

    /// Replaces what its partitions keep by what it came to, and waits until that is in the lake: the rest
    /// was before. False when the process is to stop first.
    async fn close(&mut self) -> bool {
        let (mut sent, counts) = {
            let told = self.teller.told.lock();
            (told.sent.clone(), told.counts.clone())
        };
        for (partition, upto) in &mut sent {
            let counts: Counts = counts.get(partition).copied().unwrap_or_default();
            let state = serde_json::to_string(&Kept { counts, poll: None }).ok().map(Into::into);
            let key = PartitionKey { source: NAME.into(), partition: Arc::clone(partition) };
            let span = Span { key, after: *upto, upto: *upto + 1, state };
            *upto += 1;
            if self.emitter.send(empty(span, &self.log_type)).await.is_err() {
                return false;
            }
        }
        let is_there = |committed: &Committed| {
            let upto = |partition| committed.get(partition).map_or(0, |resume| resume.upto);
            sent.iter().all(|(partition, end)| upto(partition) >= *end)
        };
        tokio::select! {
            there = self.committed.wait_for(is_there) => there.is_ok(),
            () = self.shutdown.requested() => false,
        }
    }
}

/// A batch that only carries a state.
fn empty(span: Span, log_type: &LogType) -> Batch {
    Batch {
        span,
        origin: None,
        log_type: log_type.clone(),
        bytes: Vec::new().into(),
        records: Vec::new(),
        rejects: Vec::new(),
        redrives: Vec::new(),
        received_at: now(),
    }
}

/// Writes down how far it is.
pub(super) struct Teller {
    /// Of the request.
    pub id: String,
    pub times_s: (i64, i64),
    pub standing: Standing,
    pub told: Arc<Mutex<Told>>,
    pub inbox: Inbox,
}

impl Teller {
    fn tell(&self, end: Option<End>) {
        let (from_s, until_s) = self.times_s;
        let (counts, trouble) = {
            let told = self.told.lock();
            (told.total(), told.trouble.clone())
        };
        let done_s = match end {
            Some(End::Done) => Some(until_s),
            _ => self.standing.done_ms().map(|ms| ms.div_euclid(1_000)),
        };
        let trouble = trouble.or_else(|| self.standing.trouble());
        let progress = Progress { counts, from_s, until_s, done_s, trouble, end };
        if let Err(e) = self.inbox.tell(&self.id, &progress) {
            tracing::error!("the progress of a backfill cannot be told: {e:#}");
        }
    }
}
