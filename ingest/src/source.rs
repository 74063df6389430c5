//! The contract between sources and the program.
//!
//! # What a source does
//! It reads from its other side, frames what it reads and sends [`event::Batch`]es through its
//! [`Emitter`], which waits when the pipeline is full. Every batch carries a span `(after, upto]` of
//! one partition; the spans of a partition touch, beginning at its [`Resume::upto`] (0 when there is
//! none). When an epoch is committed the program gives the spans back through
//! [`SourceContext::finished`], possibly joined, and only then does the source acknowledge: commit an
//! offset, delete a message or a log segment. Acknowledging is by value, never by drop.
//!
//! # What must come back after a restart
//! Whatever a source needs beside the position goes into `Span::state` as text that only the source
//! understands: a poller's cursor and seen-set, a file's fingerprint. It becomes durable with the
//! epoch that holds the span and comes back as [`Resume::state`]. A span may be empty (`after ==
//! upto`) when only the state moved. Sources whose other side has no positions count records.
//! Sources that cannot replay write ahead first (see [`crate::wal`]) or are documented as lossy.
//!
//! # What several processes share
//! A source whose other side deals partitions out to several processes (a consumer group) asks by
//! [`SourceContext::claims`] for those that it is given, before it reads them. What it is told is where they go on: not
//! [`SourceContext::resume`], which knows only of this process.
//!
//! # How it ends
//! - A finite source returns `Ok` once everything is emitted. Its emitter is gone by then.
//! - When [`Shutdown`] is requested a source stops taking in, sends what it holds, drops its
//!   [`Emitter`], and then goes on reading `finished` until the program closes it (or 20 seconds have
//!   passed), so that the last epoch is acknowledged as well.
//! - So the program sees the end of all input as [`crate::EmitterReceiver::recv`] giving `None`,
//!   commits, finishes the last spans, drops the [`crate::FinishedSender`]s and joins the sources.
//! - A source that returns an error has stopped for good. Trouble that can pass (a broker that is
//!   away) is never an error: the source goes on trying, and shows it in its metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::Span;
use tokio::sync::watch;

use crate::board::Board;
use crate::claims::Claims;
use crate::emitter::Emitter;
use crate::error::SourceError;
use crate::finished::FinishedReceiver;
use crate::probe::Findings;
use crate::standing::Standing;

/// A configured connector, ready to run.
#[async_trait]
pub trait Source: Send + 'static {
    /// Whether it ends by itself.
    fn is_finite(&self) -> bool;

    /// Whether its other side speaks only to who listens, and keeps nothing for later.
    fn hears(&self) -> bool {
        false
    }

    /// Runs until its end or the shutdown; see the module's documentation.
    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError>;

    /// Tries it out: what may be done and what is missing. `None`: this kind cannot be tried out. Fails, in
    /// words, only when the options themselves cannot be used.
    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        None
    }
}

/// Where a partition is taken up again: what the newest manifest says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Finished up to here.
    pub upto: u64,
    /// The state of the last finished span that had one.
    pub state: Option<Arc<str>>,
}

/// What a running source is given.
#[derive(Debug)]
pub struct SourceContext {
    /// The configured name, also the `source` of every partition key.
    pub name: Arc<str>,
    pub emitter: Emitter,
    pub finished: FinishedReceiver,
    /// By partition.
    pub resume: HashMap<Arc<str>, Resume>,
    pub shutdown: Shutdown,
    /// Where the source says how it stands with its other side.
    pub standing: Standing,
    /// Where sources of processes that write one lake tell each other who reads what. `None`: this one is alone.
    pub board: Option<Arc<dyn Board>>,
    /// Where a source asks that other processes of the lake may share the partitions of.
    pub claims: Claims,
}

/// What a source did, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files, objects or streams that were read, or read on.
    pub opened: u64,
    /// Those that had been read to their end before and gave nothing.
    pub read_before: u64,
    /// The names of the first of those.
    pub read_before_names: Vec<String>,
    pub records: u64,
    pub rejects: u64,
    /// Bytes read, decompressed.
    pub bytes: u64,
}

impl Summary {
    const NAMES_MAX: usize = 20;

    pub(crate) fn skip(&mut self, name: String) {
        self.read_before += 1;
        if self.read_before_names.len() < Self::NAMES_MAX {
            self.read_before_names.push(name);
        }
    }
}

/// Asks sources to stop. The other end of a [`Shutdown`].
#[derive(Debug)]
pub struct ShutdownSender(watch::Sender<bool>);

/// Tells a source that it should stop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A switch that can be thrown once.
pub fn shutdown() -> (ShutdownSender, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownSender(sender), Shutdown(receiver))
}

impl ShutdownSender {
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the request. Never returns when it can no longer come.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// After the intake has ended: takes the finished spans until the program closes the way back, for
/// at most 20 seconds.
pub async fn last_words(finished: &mut FinishedReceiver, mut take: impl FnMut(Vec<Span>)) {
    let all = async {
        while let Some(spans) = finished.recv().await {
            take(spans);
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), all).await.is_err() {
        tracing::warn!(
            "the last epoch was not confirmed in 20 seconds; it is read again at the next start if it was not committed"
        );
    }
}
