//! From the log to the pipeline: what every source does that writes ahead.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use event::{LogType, PartitionKey, Span};

use super::{Entries, Options, Reader, Sync, Wal};
use crate::assembler::now;
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::Frames;
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::source::{Shutdown, SourceContext, last_words};

/// When the source stops, what is being taken in gets this long to be in the log.
const GRACE: Duration = Duration::from_millis(500);
/// After news the reader waits this long, so that concurrent appends share a batch.
const GATHER: Duration = Duration::from_millis(10);
/// How often it is said how much waits, while the pipeline is full.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// Where a source keeps its log.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The source's name is added.
    pub folder: PathBuf,
    /// Appends are refused when the log holds this much.
    pub bytes_max: u64,
    pub sync: Sync,
}

impl Place {
    /// Opens the log of the source that runs in `context`.
    ///
    /// # Errors
    /// When the folder cannot be used, or holds something else than the lake says.
    pub fn open(&self, context: &SourceContext) -> Result<Wal, SourceError> {
        let folder = self.folder.join(&*context.name);
        let shown = folder.display().to_string();
        let bytes_max = self.bytes_max;
        let segment_bytes = (bytes_max / 16).clamp(1 << 20, 64 << 20);
        let options = Options { folder, segment_bytes, bytes_max, sync: self.sync };
        let finished = |name: &str| context.resume.get(name).map(|resume| resume.upto);
        let opened = Wal::open(options, finished);
        let wal = opened.map_err(|e| {
            SourceError::io(&context.name, format!("opening the write-ahead log {shown}"), e)
        })?;
        if wal.torn_bytes > 0 {
            let bytes = wal.torn_bytes;
            tracing::warn!(bytes, "cut off what was half written and never acknowledged");
        }
        let upto = context.resume.get(&wal.partition).map_or(0, |resume| resume.upto);
        let known = context.resume.contains_key(&wal.partition);
        if upto > wal.end() || (known && upto < wal.start()) {
            let message = format!(
                "the write-ahead log {shown} holds {} to {}, but the lake says that it was \
                 finished up to {upto}: one of the two is older than the other",
                wal.start(),
                wal.end()
            );
            return Err(SourceError::new(&context.name, ErrorKind::Position, message));
        }
        Ok(wal)
    }
}

/// What an entry's records count their positions in, when that is not the log: the sender's own name for the delivery, by
/// which it is known again when it comes twice.
pub(crate) type OriginOf = fn(&[u8]) -> Option<Arc<str>>;

/// Carries entries from the log to the pipeline, and deletes what is finished.
pub(crate) struct Pump<F> {
    wal: Wal,
    key: PartitionKey,
    log_type: LogType,
    /// Takes an entry apart that stands at a position.
    frame: F,
    origin: OriginOf,
    ledger: Ledger,
    after: u64,
    frames: Frames,
    /// Away while it reads.
    reader: Option<Reader>,
    finished: FinishedReceiver,
    shutdown: Shutdown,
    meter: Meter,
}

impl<F: FnMut(&[u8], u64, &mut Frames)> Pump<F> {
    /// Of a log that was opened in this `context`.
    pub fn new(
        wal: Wal,
        context: SourceContext,
        log_type: LogType,
        meter: Meter,
        frame: F,
    ) -> (Self, Emitter) {
        let upto = context.resume.get(&wal.partition).map_or(0, |resume| resume.upto);
        let pump = Self {
            ledger: Ledger::new(upto),
            after: upto,
            log_type,
            frame,
            origin: |_| None,
            frames: Frames::default(),
            reader: Some(wal.reader(upto.max(wal.start()))),
            finished: context.finished,
            shutdown: context.shutdown,
            key: PartitionKey { source: context.name, partition: wal.partition.clone() },
            wal,
            meter,
        };
        (pump, context.emitter)
    }

    /// With entries that have an origin of their own.
    pub fn with_origins(self, origin: OriginOf) -> Self {
        Self { origin, ..self }
    }

    /// Runs until the shutdown, and then until the last epoch is finished.
    pub async fn run(mut self, emitter: Emitter) -> Result<(), SourceError> {
        let mut durable = self.wal.durable();
        let mut stopping = None;
        loop {
            while let Some(entries) = self.read().await? {
                self.emit(&emitter, entries).await?;
                if let Some(spans) = self.finished.try_recv() {
                    self.finish(spans);
                }
            }
            let left = match stopping {
                None => Duration::from_secs(3_600),
                Some(until) => tokio::time::Instant::now().max(until) - tokio::time::Instant::now(),
            };
            if stopping.is_some() && left.is_zero() {
                break;
            }
            tokio::select! {
                _ = durable.changed() => tokio::time::sleep(GATHER).await,
                Some(spans) = self.finished.recv() => self.finish(spans),
                () = emitter.closed() => return Err(SourceError::closed(&self.key.source)),
                () = self.shutdown.requested(), if stopping.is_none() => {
                    // What is under way is in the log by then, and is emitted too.
                    stopping = Some(tokio::time::Instant::now() + GRACE);
                }
                () = tokio::time::sleep(left) => {}
            }
        }
        drop(emitter);
        let Self { mut finished, mut ledger, wal, key, .. } = self;
        last_words(&mut finished, |spans| settle(&mut ledger, &wal, &key, spans)).await;
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<Entries>, SourceError> {
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        if reader.position() >= self.wal.end() {
            self.reader = Some(reader);
            return Ok(None);
        }
        let failed =
            || SourceError::new(&self.key.source, ErrorKind::Io, "reading the write-ahead log");
        let joined = tokio::task::spawn_blocking(move || {
            let entries = reader.read_on();
            (reader, entries)
        });
        let (reader, entries) = joined.await.map_err(|e| failed().because(e))?;
        self.reader = Some(reader);
        entries.map_err(|e| failed().because(e))
    }

    async fn emit(&mut self, emitter: &Emitter, found: Entries) -> Result<(), SourceError> {
        let Entries { entries, damaged, upto } = found;
        let whole = damaged.as_ref().map_or(upto, |(at, _)| *at);
        let ends: Vec<u64> = entries.iter().skip(1).map(|(at, _)| *at).chain([whole]).collect();
        // Not kept while the batch waits for room.
        for ((at, payload), end) in entries.into_iter().zip(ends) {
            let origin = (self.origin)(&payload);
            if origin.is_some() {
                self.send(emitter, at, None).await?;
            }
            (self.frame)(&payload, at, &mut self.frames);
            drop(payload);
            if origin.is_some() {
                self.send(emitter, end, origin).await?;
            }
        }
        if let Some((at, bytes)) = damaged {
            self.meter.error();
            let reason = "the write-ahead log is damaged here".to_owned();
            self.frames.reject(at, 0, reason, bytes.to_vec());
        }
        self.send(emitter, upto, None).await
    }

    /// Sends what was framed as the span that ends at `upto`, if there is one.
    async fn send(
        &mut self,
        emitter: &Emitter,
        upto: u64,
        origin: Option<Arc<str>>,
    ) -> Result<(), SourceError> {
        if upto == self.after {
            return Ok(());
        }
        let span = Span { key: self.key.clone(), after: self.after, upto, state: None };
        self.after = upto;
        self.ledger.emit(&span).map_err(|e| {
            SourceError::new(&self.key.source, ErrorKind::Position, "spans do not touch").because(e)
        })?;
        let mut batch = self.frames.take(span, &self.log_type, now());
        if let Some(partition) = origin {
            let origin = PartitionKey { source: self.key.source.clone(), partition };
            batch.rejects.iter_mut().for_each(|reject| reject.key = origin.clone());
            batch.origin = Some(Box::new(origin));
        }
        self.meter.batch(&batch);
        let sent = emitter.send(batch);
        let mut sent = std::pin::pin!(sent);
        loop {
            // The log grows while the pipeline is full.
            self.meter.lag_bytes(&self.key.partition, self.wal.end() - upto);
            match tokio::time::timeout(LAG_EVERY, sent.as_mut()).await {
                Ok(sent) => return sent.map_err(|_| SourceError::closed(&self.key.source)),
                Err(_) => continue,
            }
        }
    }

    fn finish(&mut self, spans: Vec<Span>) {
        settle(&mut self.ledger, &self.wal, &self.key, spans);
    }
}

/// Notes what is finished and deletes the segments that are no longer needed.
fn settle(ledger: &mut Ledger, wal: &Wal, key: &PartitionKey, spans: Vec<Span>) {
    for span in spans.iter().filter(|span| span.key == *key) {
        match ledger.finish(span) {
            Ok(position) => {
                if let Err(error) = wal.release(position) {
                    tracing::warn!(%error, "a finished segment cannot be deleted yet");
                }
            }
            Err(error) => tracing::error!(%error, "a finished span does not fit"),
        }
    }
}
