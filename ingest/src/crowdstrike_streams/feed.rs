//! One connection: from the lines of a partition to batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::{LogType, PartitionKey, Span};
use tokio::task::JoinSet;

use super::api::{Api, Stream, Trouble};
use super::place::{Event, Place};
use crate::assembler::{LINGER, now};
use crate::emitter::Emitter;
use crate::error::SourceError;
use crate::framing::Frames;
use crate::lines::Lines;
use crate::meter::Meter;
use crate::poll::source::now_ms;
use crate::source::Shutdown;

/// While nothing is handed over, the offset moves on at this pace.
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// A session that could not be refreshed for a reason that may pass is refreshed again so often, in parts of its time.
const REFRESH_TRIES: u32 = 4;

/// What outlives a connection.
#[derive(Debug)]
pub(super) struct Kept {
    pub place: Place,
    /// Handed over up to here; positions count records and rejects.
    pub upto: u64,
    /// What was created before this was handed over, milliseconds since 1970.
    pub read_to: Arc<AtomicI64>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct End {
    pub kept: Kept,
    /// Whether anything came, be it a sign of life.
    pub was_alive: bool,
    /// `None`: it was asked to stop.
    pub trouble: Option<Trouble>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Common {
    pub api: Api,
    pub log_type: LogType,
    /// What was created before is left out, milliseconds since 1970.
    pub from_ms: Option<i64>,
    pub meter: Meter,
}

pub(super) struct Feed {
    common: Arc<Common>,
    stream: Stream,
    key: PartitionKey,
    kept: Kept,
    position: u64,
    frames: Frames,
    handed_over: Instant,
    /// The place moved since then.
    has_moved: bool,
    was_alive: bool,
    emitter: Emitter,
    shutdown: Shutdown,
}

/// Why no more lines are taken for now.
enum Ended {
    Not,
    Shutdown,
    Closed,
    Lost(Trouble),
}

impl Feed {
    pub fn new(
        common: Arc<Common>,
        stream: Stream,
        key: PartitionKey,
        kept: Kept,
        emitter: Emitter,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            common,
            stream,
            key,
            position: kept.upto,
            kept,
            frames: Frames::default(),
            handed_over: Instant::now(),
            has_moved: false,
            was_alive: false,
            emitter,
            shutdown,
        }
    }

    /// Until the connection breaks, or the shutdown.
    pub async fn run(mut self) -> Result<End, SourceError> {
        let trouble = self.listen().await?;
        Ok(End { kept: self.kept, was_alive: self.was_alive, trouble })
    }

    async fn listen(&mut self) -> Result<Option<Trouble>, SourceError> {
        let common = self.common.clone();
        let offset = self.kept.place.ask();
        let opened = tokio::select! {
            opened = common.api.listen(&self.stream, offset) => opened,
            () = self.shutdown.requested() => return Ok(None),
        };
        let mut lines = match opened {
            Ok(lines) => lines,
            Err(trouble) => return Ok(Some(trouble)),
        };
        common.meter.stands(None);
        // A task of its own, so that a full pipeline does not end the session.
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(common.clone(), self.stream.clone()));
        loop {
            let ended = self.some(&mut lines, &mut keeper).await;
            self.hand_over().await?;
            match ended {
                Ended::Not => {}
                Ended::Shutdown => return Ok(None),
                Ended::Lost(trouble) => return Ok(Some(trouble)),
                Ended::Closed => return Err(SourceError::closed(&self.key.source)),
            }
        }
    }

    /// Takes events until there are enough for a batch, or they have waited long enough.
    async fn some(&mut self, lines: &mut Lines, keeper: &mut JoinSet<Trouble>) -> Ended {
        let mut due = None;
        while !self.frames.is_full() {
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let line = tokio::select! {
                line = lines.next() => line,
                () = wait => return Ended::Not,
                Some(over) = keeper.join_next() => return Ended::Lost(match over {
                    Ok(trouble) => trouble,
                    Err(error) => Trouble::Other(format!("the session is not kept: {error}")),
                }),
                () = self.emitter.closed() => return Ended::Closed,
                () = self.shutdown.requested() => return Ended::Shutdown,
            };
            match line {
                Ok(Some(line)) => self.take(line),
                Ok(None) => return Ended::Lost(Trouble::Other("the stream has ended".to_owned())),
                Err(broken) => return Ended::Lost(Trouble::Other(format!("the stream: {broken}"))),
            }
            if !self.frames.is_empty() || self.is_worth_keeping() {
                due.get_or_insert(tokio::time::Instant::now() + LINGER);
            }
        }
        Ended::Not
    }

    fn take(&mut self, line: Result<Bytes, Bytes>) {
        self.was_alive = true;
        let line = match line {
            // A sign of life: there is nothing else to say.
            Ok(line) if line.trim_ascii().is_empty() => {
                if self.frames.is_empty() {
                    self.kept.read_to.store(now_ms(), Ordering::Relaxed);
                }
                return;
            }
            Ok(line) => line,
            Err(long) => {
                self.position += 1;
                let reason = "an event that is too long".to_owned();
                return self.frames.reject(self.position, 0, reason, long.to_vec());
            }
        };
        let event = Event::read(&line);
        let before_ms = self.kept.place.newest_ms;
        let (is_new, gap) = self.kept.place.take(event.as_ref(), &line);
        if !is_new {
            return self.common.meter.repeated();
        }
        self.has_moved = true;
        let created_ms = event.map(|event| event.created_ms());
        if let Some(gap) = gap {
            tracing::error!(source = %self.key.source, partition = %self.stream.partition, "{gap}");
            self.common.meter.missed();
            self.common.meter.gap(before_ms, created_ms.unwrap_or(before_ms).max(before_ms));
            self.position += 1;
            self.frames.reject(self.position, 0, gap.to_string(), Vec::new());
        }
        if let (Some(created_ms), Some(from_ms)) = (created_ms, self.common.from_ms)
            && created_ms < from_ms
        {
            return;
        }
        if let Some(created_ms) = created_ms {
            self.common.meter.age(now_ms() - created_ms);
        }
        self.position += 1;
        self.frames.record(self.position, 0, &line);
    }

    /// Whether the offset has moved for long enough without an event that was handed over.
    fn is_worth_keeping(&self) -> bool {
        self.has_moved && self.handed_over.elapsed() >= KEEP_EVERY
    }

    async fn hand_over(&mut self) -> Result<(), SourceError> {
        if self.frames.is_empty() && !self.is_worth_keeping() {
            return Ok(());
        }
        let (after, upto) = (self.kept.upto, self.position);
        let state = Some(self.kept.place.state());
        let span = Span { key: self.key.clone(), after, upto, state };
        self.kept.upto = upto;
        (self.handed_over, self.has_moved) = (Instant::now(), false);
        let batch = self.frames.take(span, &self.common.log_type, now());
        self.common.meter.batch(&batch);
        let sent = self.emitter.send(batch).await;
        sent.map_err(|_| SourceError::closed(&self.key.source))?;
        self.kept.read_to.fetch_max(self.kept.place.newest_ms, Ordering::Relaxed);
        Ok(())
    }
}

/// Refreshes the session until that is no longer possible; why.
async fn keep(common: Arc<Common>, stream: Stream) -> Trouble {
    let (mut wait, mut failures) = (stream.refresh_every, 0);
    loop {
        tokio::time::sleep(wait).await;
        match common.api.refresh(&stream).await {
            Ok(()) => (wait, failures) = (stream.refresh_every, 0),
            Err(trouble @ Trouble::Over(_)) => return trouble,
            Err(trouble) if failures == REFRESH_TRIES => return trouble,
            Err(trouble) => {
                common.meter.error();
                tracing::warn!(source = common.meter.source(), "{trouble}");
                // All of them are before the session's end.
                (wait, failures) = (stream.refresh_every / 30, failures + 1);
            }
        }
    }
}
