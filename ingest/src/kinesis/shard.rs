//! One shard: from its records to batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use event::{LogType, PartitionKey, Span};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::aggregate;
use super::api::{Answer, Api, Place, Record, Trouble};
use super::work::PAUSE_MAX;
use crate::assembler::now;
use crate::decode::expanded;
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::framing::{Frames, Options, frame_part};
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::source::{now_ms, seed};
use crate::source::Shutdown;

/// A shard may be asked five times a second, by all its readers together.
const PACE: Duration = Duration::from_millis(250);
/// A shard without records says so often how far it was read, so that a long outage is told from a quiet stream.
const KEEP_EVERY: Duration = Duration::from_secs(3_600);

/// What commits with a shard's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Of the last record.
    pub sequence: Option<String>,
    /// What arrived before was read, in milliseconds since 1970.
    pub read_to_ms: i64,
    /// It was closed and read to its end.
    #[serde(default)]
    pub is_over: bool,
}

/// How a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The shard has no more.
    Over,
    /// It was asked to stop.
    Stopped,
}

/// What the readers of all shards share.
#[derive(Debug)]
pub(super) struct Common {
    pub api: Api,
    pub log_type: LogType,
    pub framing: Options,
    /// Where a shard begins of which nothing is known.
    pub start: Place,
    pub every: Duration,
    /// Answers that may be in memory.
    pub room: Semaphore,
    pub meter: Meter,
}

pub(super) struct Reader {
    pub common: Arc<Common>,
    pub shard: String,
    pub key: PartitionKey,
    pub ledger: Arc<Mutex<Ledger>>,
    pub state: State,
    /// As `state.read_to_ms`, for who asks.
    pub read_to: Arc<AtomicI64>,
    pub emitter: Emitter,
    pub shutdown: Shutdown,
    upto: u64,
    failures: u32,
    chance: Chance,
    frames: Frames,
    /// When the lake was last told of the state.
    kept: Instant,
}

impl Reader {
    pub fn new(
        common: Arc<Common>,
        shard: String,
        key: PartitionKey,
        (upto, state): (u64, State),
        emitter: Emitter,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            common,
            shard,
            key,
            ledger: Arc::new(Mutex::new(Ledger::new(upto))),
            read_to: Arc::new(AtomicI64::new(state.read_to_ms)),
            state,
            emitter,
            shutdown,
            upto,
            failures: 0,
            chance: Chance::new(seed()),
            frames: Frames::default(),
            kept: Instant::now(),
        }
    }

    /// Reads until the shard's end or the shutdown; how it ended, and how far it was read.
    pub async fn run(mut self) -> Result<(End, State), SourceError> {
        let end = self.read().await?;
        Ok((end, self.state))
    }

    async fn read(&mut self) -> Result<End, SourceError> {
        let mut iterator: Option<String> = None;
        while !self.shutdown.is_requested() {
            let asked = Instant::now();
            let common = self.common.clone();
            // Held until what the answer holds was handed over.
            let Ok(room) = common.room.acquire().await else { break };
            let at = match iterator.take() {
                Some(at) => Ok(at),
                None => common.api.iterator(&self.shard, &self.place()).await,
            };
            let answer = match at {
                Ok(at) => common.api.records(&at).await.map_err(|trouble| (Some(at), trouble)),
                Err(trouble) => Err((None, trouble)),
            };
            let wait = match answer {
                Ok(answer) => {
                    (self.failures, iterator) = (0, answer.next.clone());
                    common.meter.stands(None);
                    let wait = if answer.behind_ms == 0 { common.every } else { PACE };
                    self.take(answer).await?;
                    if iterator.is_none() {
                        return Ok(End::Over);
                    }
                    wait.saturating_sub(asked.elapsed())
                }
                Err((_, Trouble::Expired)) => Duration::ZERO,
                Err((None, Trouble::Gone(words))) if self.is_lost().await => {
                    let from = self.state.read_to_ms;
                    tracing::error!(shard = %self.shard, "{words}: what it held and was not read is lost");
                    common.meter.gap(from, now_ms());
                    self.state.is_over = true;
                    self.send().await?;
                    return Ok(End::Over);
                }
                Err((at, trouble)) => {
                    iterator = at;
                    self.failed(&trouble.words())
                }
            };
            drop(room);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.requested() => {}
                () = self.emitter.closed() => return Err(self.closed()),
            }
        }
        Ok(End::Stopped)
    }

    /// Whether the stream is there, and the shard is not.
    async fn is_lost(&self) -> bool {
        let listed = self.common.api.shards().await;
        listed.is_ok_and(|listed| listed.iter().all(|shard| shard.id != self.shard))
    }

    fn place(&self) -> Place {
        let known = self.state.sequence.clone().map(Place::After);
        known.unwrap_or_else(|| self.common.start.clone())
    }

    fn failed(&mut self, words: &str) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.common.meter.error();
        if self.failures > 2 {
            self.common.meter.stands(Some(words));
            tracing::warn!(shard = %self.shard, failures = self.failures, "{words}");
        }
        let pause_ms = pause_ms(self.failures, &mut self.chance);
        Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0)).min(PAUSE_MAX)
    }

    async fn take(&mut self, answer: Answer) -> Result<(), SourceError> {
        let read_to_ms = now_ms() - answer.behind_ms;
        let arrived_ms = answer.records.last().and_then(|record| record.arrived_ms);
        if let Some(arrived_ms) = arrived_ms {
            self.common.meter.age(now_ms() - arrived_ms);
        }
        for record in answer.records {
            if let Some(arrived_ms) = record.arrived_ms {
                self.state.read_to_ms = self.state.read_to_ms.max(arrived_ms);
            }
            self.frame(record);
            if self.frames.is_full() {
                self.send().await?;
            }
        }
        self.state.read_to_ms = self.state.read_to_ms.max(read_to_ms);
        self.state.is_over = answer.next.is_none();
        let is_new = self.upto > self.ledger.lock().emitted();
        if is_new || self.state.is_over || self.kept.elapsed() >= KEEP_EVERY {
            self.send().await?;
        }
        self.read_to.store(self.state.read_to_ms, Ordering::Relaxed);
        Ok(())
    }

    fn frame(&mut self, record: Record) {
        let (at, mut first) = (self.upto, 0);
        self.upto += 1;
        let framing = &self.common.framing;
        let whole = [&record.data[..]];
        let parts = aggregate::open(&record.data);
        for part in parts.as_deref().unwrap_or(&whole) {
            match expanded(part, framing.record_bytes_max) {
                Ok(part) => first = frame_part(framing, &part, at, first, &mut self.frames),
                Err(reason) => {
                    self.frames.reject(at, first, reason, part.to_vec());
                    first += 1;
                }
            }
        }
        self.state.sequence = Some(record.sequence);
    }

    /// Hands over what was framed, and how far the shard was read.
    async fn send(&mut self) -> Result<(), SourceError> {
        self.kept = Instant::now();
        let state = serde_json::to_string(&self.state).unwrap_or_default();
        let after = self.ledger.lock().emitted();
        let span =
            Span { key: self.key.clone(), after, upto: self.upto, state: Some(state.into()) };
        self.ledger.lock().emit(&span).map_err(|e| {
            SourceError::new(&self.key.source, ErrorKind::Position, "spans do not touch").because(e)
        })?;
        let batch = self.frames.take(span, &self.common.log_type, now());
        self.common.meter.batch(&batch);
        self.emitter.send(batch).await.map_err(|_| self.closed())
    }

    fn closed(&self) -> SourceError {
        SourceError::closed(&self.key.source)
    }
}
