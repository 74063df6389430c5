//! The stream as a whole: which shards there are, who reads them, and what is in the lake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event::{LogType, PartitionKey, Span};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::{Api, Place, Settings, Trouble};
use super::family::{Family, Listed};
use super::replicas::{Mine, Replicas};
use super::shard::{Common, End, Reader, State};
use super::share::{Ended, News};
use super::{KinesisOptions, partition};
use crate::assembler::now;
use crate::begin::{Begin, Start};
use crate::board::Board;
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::{Frames, Options};
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::source::{now_ms, seed};
use crate::source::{Resume, Shutdown, ShutdownSender, SourceContext, last_words, shutdown};

/// New shards are looked for so often, and when one has ended.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Longer pauses than this would let a whole retention pass.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_secs(1);

/// A shard that is being read.
struct Reading {
    key: PartitionKey,
    tenure: u32,
    ledger: Arc<Mutex<Ledger>>,
    read_to: Arc<AtomicI64>,
    stop: ShutdownSender,
    /// It is read no further; perhaps not all of it is in the lake.
    ended: Option<(End, State)>,
}

/// How a reader ended, and how far it came.
type Ending = Result<(End, State), SourceError>;

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
    readers: JoinSet<(String, Ending)>,
    board: Option<Arc<dyn Board>>,
    lapse: Duration,
    /// Of several that read the stream, this one's part.
    replicas: Option<Replicas>,
    /// Of several: shards that are read no further and are in the lake up to there, until the others know.
    ended: Ended,
    /// Shards that were begun and are no longer listed.
    unlisted: BTreeSet<String>,
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
            board: context.board.filter(|_| options.share),
            lapse: Duration::from_millis(options.lapse_ms),
            replicas: None,
            ended: Ended::new(),
            unlisted: BTreeSet::new(),
            opened: 0,
            has_looked: false,
            chance: Chance::new(seed()),
        }
    }

    /// Runs until the shutdown; how many shards were opened.
    pub async fn run(mut self) -> Result<u64, SourceError> {
        let Some(settings) = self.settings().await? else { return Ok(0) };
        let mut start = self.start(&settings).await?;
        if let Some(board) = self.board.take() {
            let (source, created_s) = (self.source.clone(), settings.created_s);
            let mut replicas = Replicas::new(board, source, created_s, start, self.lapse);
            let Some(joint) = self.join(&mut replicas).await? else { return Ok(0) };
            (start, self.replicas) = (joint, Some(replicas));
        }
        let start = start.at_ms.map_or(Place::Oldest, Place::At);
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
        let Self { emitter, mut readers, mut finished, mut reading, source, opened, .. } = self;
        drop(emitter);
        reading.values().for_each(|reading| reading.stop.request());
        while let Some(joined) = readers.join_next().await {
            let (shard, end) = joined.map_err(|e| broken(&source, e))?;
            let end = end?;
            reading.entry(shard).and_modify(|reading| reading.ended = Some(end));
        }
        last_words(&mut finished, |spans| settle(&reading, &spans)).await;
        if let Some(replicas) = self.replicas {
            let settled = reading.into_iter().filter(|(_, r)| r.ledger.lock().is_settled());
            let ended = settled.filter_map(|(shard, r)| Some((shard, (r.tenure, r.ended?.1))));
            replicas.leave(self.ended.into_iter().chain(ended).collect()).await;
        }
        Ok(opened)
    }

    async fn read(&mut self, common: &Arc<Common>, settings: &Settings) -> Result<(), SourceError> {
        let (mut look, mut failures) = (Instant::now(), 0);
        while !self.shutdown.is_requested() {
            if look <= Instant::now() {
                look = Instant::now() + self.list(settings, &mut failures).await?;
            }
            self.end();
            let ready = self.family.begin();
            match self.replicas {
                Some(_) => self.part(common, settings).await,
                None => ready.into_iter().for_each(|shard| {
                    let at = self.state(&partition(settings.created_s, &shard, 0));
                    self.begin(common, settings, shard, 0, at);
                }),
            }
            self.say_read_to();
            tokio::select! {
                Some(joined) = self.readers.join_next(), if !self.readers.is_empty() => {
                    let (shard, end) = joined.map_err(|e| broken(&self.source, e))?;
                    let end = end?;
                    if end.0 == End::Over {
                        look = Instant::now();
                    }
                    self.reading.entry(shard).and_modify(|reading| reading.ended = Some(end));
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
    async fn start(&mut self, settings: &Settings) -> Result<Start, SourceError> {
        let partition = partition(settings.created_s, "start", 0);
        let known = self.resume.get(&partition).and_then(|resume| resume.state.clone());
        if let Some(text) = known {
            return serde_json::from_str(&text).map_err(|e| self.unreadable("start", e));
        }
        let start = self.from.start(now_ms());
        let state = serde_json::to_string(&start).unwrap_or_default();
        let key = PartitionKey { source: self.source.clone(), partition };
        self.tell(Span { key, after: 0, upto: 0, state: Some(state.into()) }).await?;
        Ok(start)
    }

    /// Joins the other processes; `None` when it is to stop before.
    async fn join(&mut self, replicas: &mut Replicas) -> Result<Option<Start>, SourceError> {
        let mut failures = 0;
        while !self.shutdown.is_requested() {
            let words = match replicas.join().await {
                Ok(start) => return Ok(Some(start)),
                Err(words) => words,
            };
            failures += 1;
            let pause = self.failed(failures, Trouble::Other(words));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.requested() => {}
                () = self.emitter.closed() => return Err(SourceError::closed(&self.source)),
            }
        }
        Ok(None)
    }

    /// Of several: tells the others what is new, and reads what is this process's part.
    async fn part(&mut self, common: &Arc<Common>, settings: &Settings) {
        let Some(mut replicas) = self.replicas.take() else { return };
        let ready: BTreeSet<String> = self.family.begun().chain(&self.unlisted).cloned().collect();
        if replicas.is_due() {
            let own = |shard: &String| {
                let at = self.state(&partition(settings.created_s, shard, 0)).ok()?;
                Some((shard.clone(), at.1))
            };
            let read_to = self.reading.iter();
            let read_to = read_to.map(|(s, r)| (s.clone(), r.read_to.load(Ordering::Relaxed)));
            let news = News {
                own: ready.iter().filter_map(own).collect(),
                ended: self.ended.clone(),
                read_to: read_to.collect(),
                ready,
            };
            match replicas.turn(&news).await {
                Ok(()) if self.reading.is_empty() => self.meter.stands(None),
                Ok(()) => {}
                Err(words) => _ = self.failed(1, Trouble::Other(words)),
            }
        }
        let over: Vec<String> =
            self.family.begun().filter(|shard| replicas.is_over(shard)).cloned().collect();
        over.iter().for_each(|shard| self.family.over(shard));
        self.unlisted.retain(|shard| !replicas.is_over(shard));
        self.follow(common, settings, replicas.mine());
        self.replicas = Some(replicas);
    }

    /// Of several: reads what is this process's, and gives up what others want.
    fn follow(&mut self, common: &Arc<Common>, settings: &Settings, mine: BTreeMap<String, Mine>) {
        let is_same =
            |shard: &String, tenure: u32| mine.get(shard).is_some_and(|m| m.tenure == tenure);
        self.ended.retain(|shard, (tenure, _)| is_same(shard, *tenure));
        for (shard, reading) in &self.reading {
            if mine.get(shard).is_none_or(|mine| mine.is_wanted) {
                reading.stop.request();
            }
        }
        for (shard, Mine { tenure, place, is_wanted }) in mine {
            if self.reading.contains_key(&shard) || self.ended.contains_key(&shard) {
                continue;
            }
            let partition = partition(settings.created_s, &shard, tenure);
            match self.place(&partition, place) {
                // It was not begun in this life, and need not be.
                Ok((_, at)) if is_wanted => _ = self.ended.insert(shard, (tenure, at)),
                at => self.begin(common, settings, shard, tenure, at),
            }
        }
    }

    /// Looks which shards there are; when to look again.
    async fn list(
        &mut self,
        settings: &Settings,
        failures: &mut u32,
    ) -> Result<Duration, SourceError> {
        match self.api.shards().await {
            Ok(listed) => {
                if !std::mem::replace(&mut self.has_looked, true) && self.replicas.is_none() {
                    self.lose(settings, &listed).await?;
                }
                let over = |id: &str| match &self.replicas {
                    Some(replicas) => replicas.is_over(id),
                    None => self
                        .state(&partition(settings.created_s, id, 0))
                        .is_ok_and(|(_, state)| state.is_over),
                };
                let is_over: HashMap<String, bool> =
                    listed.iter().map(|shard| (shard.id.clone(), over(&shard.id))).collect();
                let open = self.replicas.iter().flat_map(Replicas::open);
                let open = open.filter(|id| !is_over.contains_key(*id)).cloned();
                self.unlisted = open.collect();
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
        let prefix = partition(settings.created_s, "shard", 0);
        let known = self.resume.keys().filter(|key| key.starts_with(&*prefix));
        for key in known.cloned().collect::<Vec<_>>() {
            let shard = key.split_once(':').map_or("", |(_, shard)| shard);
            let (upto, state) = self.state(&key)?;
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

    /// What the lake knows of a shard, by its partition.
    fn state(&self, partition: &str) -> Result<(u64, State), SourceError> {
        let Some(resume) = self.resume.get(partition) else {
            return Ok((0, State::default()));
        };
        let state = resume.state.as_deref().map(serde_json::from_str).transpose();
        let state = state.map_err(|e| self.unreadable(partition, e))?;
        Ok((resume.upto, state.unwrap_or_default()))
    }

    /// Where a partition stands; one that the lake does not know begins at `place`.
    fn place(&self, partition: &str, place: State) -> Result<(u64, State), SourceError> {
        match self.resume.contains_key(partition) {
            true => self.state(partition),
            false => Ok((0, place)),
        }
    }

    fn unreadable(&self, what: &str, error: serde_json::Error) -> SourceError {
        let message = format!("the state of {what} cannot be read");
        SourceError::new(&self.source, ErrorKind::Position, message).because(error)
    }

    /// Reads a shard from where it stands.
    fn begin(
        &mut self,
        common: &Arc<Common>,
        settings: &Settings,
        shard: String,
        tenure: u32,
        at: Result<(u64, State), SourceError>,
    ) {
        let (upto, state) = match at {
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
        let partition = partition(settings.created_s, &shard, tenure);
        let key = PartitionKey { source: self.source.clone(), partition };
        let (stop, shutdown) = shutdown();
        let (emitter, at) = (self.emitter.clone(), (upto, state));
        let reader = Reader::new(common.clone(), shard.clone(), key.clone(), at, emitter, shutdown);
        let (ledger, read_to) = (reader.ledger.clone(), reader.read_to.clone());
        self.reading
            .insert(shard.clone(), Reading { key, tenure, ledger, read_to, stop, ended: None });
        self.opened += 1;
        self.readers.spawn(async move { (shard, reader.run().await) });
    }

    /// Shards that were read to their end, or are given up, are over when all of them is in the lake.
    fn end(&mut self) {
        let Self { family, resume, ended, replicas, reading, .. } = self;
        reading.retain(|shard, reading| {
            let Some((end, state)) = &reading.ended else { return true };
            let ledger = reading.ledger.lock();
            if !ledger.is_settled() {
                return true;
            }
            match replicas {
                Some(replicas) => {
                    let text = serde_json::to_string(state).unwrap_or_default();
                    let at = Resume { upto: ledger.emitted(), state: Some(text.into()) };
                    resume.insert(reading.key.partition.clone(), at);
                    ended.insert(shard.clone(), (reading.tenure, state.clone()));
                    replicas.hurry();
                }
                None if *end == End::Over => family.over(shard),
                None => {}
            }
            false
        });
    }

    fn say_read_to(&self) {
        let ready = || self.family.begun().cloned().collect();
        let least = match &self.replicas {
            Some(replicas) => replicas.read_to_ms(&ready()),
            None => self.reading.values().map(|r| r.read_to.load(Ordering::Relaxed)).min(),
        };
        if let Some(least) = least.filter(|ms| *ms > 0 && !self.family.is_waiting()) {
            self.meter.read_to(least);
        }
    }
}

/// Notes what is in the lake.
fn settle(reading: &HashMap<String, Reading>, spans: &[Span]) {
    for span in spans {
        let shard = span.key.partition.split_once(':').map_or("", |(_, shard)| shard);
        let shard = shard.split_once('/').map_or(shard, |(shard, _)| shard);
        let Some(reading) = reading.get(shard) else { continue };
        if let Err(error) = reading.ledger.lock().finish(span) {
            tracing::error!(%error, "a finished span does not fit");
        }
    }
}

fn broken(source: &str, error: tokio::task::JoinError) -> SourceError {
    SourceError::new(source, ErrorKind::Io, "a shard's reader ended").because(error)
}
