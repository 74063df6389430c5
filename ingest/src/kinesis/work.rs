//! The stream as a whole: which shards there are, who reads them, and what is in the lake.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event::{LogType, PartitionKey, Span};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::KinesisOptions;
use super::api::{Api, Place, Settings, Trouble};
use super::family::{Family, Listed};
use super::shard::{Common, End, Reader, State};
use crate::assembler::now;
use crate::begin::{Begin, Start};
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::{Frames, Options};
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::source::{now_ms, seed};
use crate::source::{Resume, Shutdown, SourceContext, last_words};

/// New shards are looked for so often, and when one has ended.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Longer pauses than this would let a whole retention pass.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_secs(1);

/// A shard that is being read.
struct Reading {
    ledger: Arc<Mutex<Ledger>>,
    read_to: Arc<AtomicI64>,
    /// Read to its end; not all of it is in the lake.
    is_ending: bool,
}

pub(super) struct Work {
    api: Api,
    from: Begin,
    every: Duration,
    answers_max: usize,
    log_type: LogType,
    framing: Options,
    meter: Meter,
    source: Arc<str>,
    resume: HashMap<Arc<str>, Resume>,
    finished: FinishedReceiver,
    shutdown: Shutdown,
    emitter: Emitter,
    family: Family,
    /// By shard.
    reading: HashMap<String, Reading>,
    readers: JoinSet<(String, Result<End, SourceError>)>,
    opened: u64,
    /// Whether it is known which shards there are.
    has_looked: bool,
    chance: Chance,
}

impl Work {
    pub fn new(
        api: Api,
        options: &KinesisOptions,
        log_type: LogType,
        framing: Options,
        meter: Meter,
        context: SourceContext,
    ) -> Self {
        Self {
            api,
            from: Begin::read(&options.from).unwrap_or(Begin::Oldest),
            every: Duration::from_millis(options.every_ms),
            answers_max: options.answers_at_once_max,
            log_type,
            framing,
            meter,
            source: context.name,
            resume: context.resume,
            finished: context.finished,
            shutdown: context.shutdown,
            emitter: context.emitter,
            family: Family::default(),
            reading: HashMap::new(),
            readers: JoinSet::new(),
            opened: 0,
            has_looked: false,
            chance: Chance::new(seed()),
        }
    }

    /// Runs until the shutdown; how many shards were opened.
    pub async fn run(mut self) -> Result<u64, SourceError> {
        let Some(settings) = self.settings().await? else { return Ok(0) };
        let start = self.start(&settings).await?;
        let common = Arc::new(Common {
            api: self.api.clone(),
            log_type: self.log_type.clone(),
            framing: self.framing.clone(),
            start,
            every: self.every,
            room: Semaphore::new(self.answers_max),
            meter: self.meter.clone(),
        });
        self.read(&common, &settings).await?;
        // Readers have their own; the intake ends with the last of them.
        let Self { emitter, mut readers, mut finished, reading, source, opened, .. } = self;
        drop(emitter);
        while let Some(joined) = readers.join_next().await {
            let (_, end) = joined.map_err(|e| broken(&source, e))?;
            end?;
        }
        last_words(&mut finished, |spans| settle(&reading, &spans)).await;
        Ok(opened)
    }

    async fn read(&mut self, common: &Arc<Common>, settings: &Settings) -> Result<(), SourceError> {
        let (mut look, mut failures) = (Instant::now(), 0);
        while !self.shutdown.is_requested() {
            if look <= Instant::now() {
                look = Instant::now() + self.list(settings, &mut failures).await?;
            }
            self.end();
            for shard in self.family.begin() {
                self.begin(common, settings, shard);
            }
            self.say_read_to();
            tokio::select! {
                Some(joined) = self.readers.join_next(), if !self.readers.is_empty() => {
                    let (shard, end) = joined.map_err(|e| broken(&self.source, e))?;
                    if let (End::Over, Some(reading)) = (end?, self.reading.get_mut(&shard)) {
                        reading.is_ending = true;
                        look = Instant::now();
                    }
                }
                Some(spans) = self.finished.recv() => settle(&self.reading, &spans),
                () = tokio::time::sleep(TICK) => {}
                () = self.shutdown.requested() => {}
                () = self.emitter.closed() => return Err(SourceError::closed(&self.source)),
            }
        }
        Ok(())
    }

    /// Asks until there is an answer; `None` when it is to stop before.
    async fn settings(&mut self) -> Result<Option<Settings>, SourceError> {
        let mut failures = 0;
        while !self.shutdown.is_requested() {
            let trouble = match self.api.settings().await {
                Ok(settings) => return Ok(Some(settings)),
                Err(trouble) => trouble,
            };
            failures += 1;
            let pause = self.failed(failures, trouble);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.requested() => {}
                () = self.emitter.closed() => return Err(SourceError::closed(&self.source)),
            }
        }
        Ok(None)
    }

    /// Where shards begin of which nothing is known. What `latest` means is decided once and becomes durable, so that
    /// a restart leaves nothing out.
    async fn start(&mut self, settings: &Settings) -> Result<Place, SourceError> {
        let partition = partition(settings, "start");
        let known = self.resume.get(&partition).and_then(|resume| resume.state.clone());
        let start: Start = match known {
            Some(text) => serde_json::from_str(&text).map_err(|e| self.unreadable("start", e))?,
            None => {
                let start = self.from.start(now_ms());
                let state = serde_json::to_string(&start).unwrap_or_default();
                let key = PartitionKey { source: self.source.clone(), partition };
                self.tell(Span { key, after: 0, upto: 0, state: Some(state.into()) }).await?;
                start
            }
        };
        Ok(start.at_ms.map_or(Place::Oldest, Place::At))
    }

    /// Looks which shards there are; when to look again.
    async fn list(
        &mut self,
        settings: &Settings,
        failures: &mut u32,
    ) -> Result<Duration, SourceError> {
        match self.api.shards().await {
            Ok(listed) => {
                if !std::mem::replace(&mut self.has_looked, true) {
                    self.lose(settings, &listed).await?;
                }
                let over = |id: &str| self.state(settings, id).is_ok_and(|(_, s)| s.is_over);
                let is_over: HashMap<String, bool> =
                    listed.iter().map(|shard| (shard.id.clone(), over(&shard.id))).collect();
                let is_over = |id: &str| is_over.get(id).copied().unwrap_or(false);
                for shard in self.family.list(listed, is_over) {
                    tracing::error!(%shard, "is no longer there, and was never read: what it held is lost");
                    self.meter.gap(now_ms() - settings.retention_ms, now_ms());
                }
            }
            Err(trouble) => {
                *failures += 1;
                return Ok(self.failed(*failures, trouble));
            }
        }
        *failures = 0;
        Ok(LOOK_EVERY)
    }

    /// Says what is wrong; how long to wait.
    fn failed(&mut self, failures: u32, trouble: Trouble) -> Duration {
        let trouble = trouble.words();
        self.meter.error();
        self.meter.stands(Some(&trouble));
        tracing::warn!(source = %self.source, failures, "{trouble}");
        let pause_ms = pause_ms(failures, &mut self.chance);
        Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0)).min(PAUSE_MAX)
    }

    /// At the start: says which shards of before were not read to their end and are no longer there. What they held is lost; that is
    /// written down, so that it is said once.
    async fn lose(&mut self, settings: &Settings, listed: &[Listed]) -> Result<(), SourceError> {
        let prefix = partition(settings, "shard");
        let known = self.resume.keys().filter(|key| key.starts_with(&*prefix));
        for key in known.cloned().collect::<Vec<_>>() {
            let shard = key.split_once(':').map_or("", |(_, shard)| shard);
            let (upto, state) = self.state(settings, shard)?;
            if state.is_over || listed.iter().any(|listed| listed.id == shard) {
                continue;
            }
            tracing::error!(%shard, "is no longer there, and was not read to its end: the rest of it is lost");
            self.meter.gap(state.read_to_ms, now_ms());
            let state = serde_json::to_string(&State { is_over: true, ..state });
            let state: Arc<str> = state.unwrap_or_default().into();
            let key = PartitionKey { source: self.source.clone(), partition: key };
            self.tell(Span { key, after: upto, upto, state: Some(state) }).await?;
        }
        Ok(())
    }

    /// Makes a state durable that comes without records.
    async fn tell(&self, span: Span) -> Result<(), SourceError> {
        let batch = Frames::default().take(span, &self.log_type, now());
        self.emitter.send(batch).await.map_err(|_| SourceError::closed(&self.source))
    }

    /// What the lake knows of a shard.
    fn state(&self, settings: &Settings, shard: &str) -> Result<(u64, State), SourceError> {
        let Some(resume) = self.resume.get(&partition(settings, shard)) else {
            return Ok((0, State::default()));
        };
        let state = resume.state.as_deref().map(serde_json::from_str).transpose();
        let state = state.map_err(|e| self.unreadable(shard, e))?;
        Ok((resume.upto, state.unwrap_or_default()))
    }

    fn unreadable(&self, what: &str, error: serde_json::Error) -> SourceError {
        let message = format!("the state of {what} cannot be read");
        SourceError::new(&self.source, ErrorKind::Position, message).because(error)
    }

    fn begin(&mut self, common: &Arc<Common>, settings: &Settings, shard: String) {
        let (upto, state) = match self.state(settings, &shard) {
            Ok(known) => known,
            Err(error) => {
                // Reading it from its beginning would store it twice: it waits for a person.
                tracing::error!("{error:#}");
                self.meter.halted(&shard);
                return;
            }
        };
        let kept_from_ms = now_ms() - settings.retention_ms;
        if state.sequence.is_some() && state.read_to_ms < kept_from_ms {
            tracing::error!(%shard, "was last read longer ago than the stream keeps records: some may be lost");
            self.meter.gap(state.read_to_ms, kept_from_ms);
        }
        let key =
            PartitionKey { source: self.source.clone(), partition: partition(settings, &shard) };
        let (emitter, shutdown) = (self.emitter.clone(), self.shutdown.clone());
        let reader =
            Reader::new(common.clone(), shard.clone(), key, (upto, state), emitter, shutdown);
        let (ledger, read_to) = (reader.ledger.clone(), reader.read_to.clone());
        self.reading.insert(shard.clone(), Reading { ledger, read_to, is_ending: false });
        self.opened += 1;
        self.readers.spawn(async move { (shard, reader.run().await) });
    }

    /// Shards that were read to their end are over when all of them is in the lake.
    fn end(&mut self) {
        let family = &mut self.family;
        self.reading.retain(|shard, reading| {
            let is_over = reading.is_ending && reading.ledger.lock().is_settled();
            if is_over {
                family.over(shard);
            }
            !is_over
        });
    }

    fn say_read_to(&self) {
        let least = self.reading.values().map(|r| r.read_to.load(Ordering::Relaxed)).min();
        if let Some(least) = least.filter(|ms| *ms > 0 && !self.family.is_waiting()) {
            self.meter.read_to(least);
        }
    }
}

/// The name of a partition. A stream that is made anew is another one.
fn partition(settings: &Settings, shard: &str) -> Arc<str> {
    format!("{}:{shard}", settings.created_s).into()
}

/// Notes what is in the lake.
fn settle(reading: &HashMap<String, Reading>, spans: &[Span]) {
    for span in spans {
        let shard = span.key.partition.split_once(':').map_or("", |(_, shard)| shard);
        let Some(reading) = reading.get(shard) else { continue };
        if let Err(error) = reading.ledger.lock().finish(span) {
            tracing::error!(%error, "a finished span does not fit");
        }
    }
}

fn broken(source: &str, error: tokio::task::JoinError) -> SourceError {
    SourceError::new(source, ErrorKind::Io, "a shard's reader ended").because(error)
}
