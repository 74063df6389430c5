//! The loop: notifications and listings lead to objects, objects to batches, finished spans to deleted
//! notifications.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event::{Batch, LogType, Span};
use futures::future::BoxFuture;

use super::folder;
use super::keeper::Keeper;
use super::notices::{Notice, Notices, Says};
use super::read::version;
use super::shelf::{Found, Place, Shelf, Stage};
use super::walk::{day_of, walk};
use crate::assembler::now;
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::{Frames, Options};
use crate::meter::Meter;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::source::{now_ms, seed};
use crate::source::{Shutdown, SourceContext, Summary};
use crate::stores::{self, Entry, Store};

/// What a source of objects decides.
pub(crate) struct Setup {
    pub log_type: LogType,
    pub framing: Options,
    /// Only objects in this folder.
    pub prefix: Option<String>,
    /// Objects whose names end so may be written on.
    pub growing: Option<String>,
    /// How often is listed, or growing objects are looked at.
    pub every: Duration,
    /// What is older is neither listed nor remembered.
    pub look_back_ms: i64,
    /// An object that has not grown for so long is complete.
    pub settle_ms: i64,
    pub seen_max: usize,
    /// A notification whose object cannot be read is given up after so many deliveries.
    pub deliveries_max: u32,
}

/// Why an object is not read now.
pub(super) enum Failure {
    /// To be tried again.
    Later(String),
    /// It is not there, or never readable.
    Never(String),
    Ended(SourceError),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Ended(error)
    }
}

/// A notification, and what must be finished before it is deleted.
struct Waiting {
    notice: String,
    places: Vec<Place>,
}

pub(super) struct Work {
    pub setup: Setup,
    pub store: Arc<Store>,
    pub shelf: Shelf,
    keeper: Option<Keeper>,
    waiting: Vec<Waiting>,
    pub opened: u64,
    pub source: Arc<str>,
    pub meter: Meter,
    emitter: Option<Emitter>,
    finished: FinishedReceiver,
    shutdown: Shutdown,
    chance: Chance,
}

/// Runs a source of objects: with notifications, or by listing.
pub(crate) async fn run(
    setup: Setup,
    store: Arc<Store>,
    queue: Option<Arc<dyn Notices>>,
    context: SourceContext,
) -> Result<Summary, SourceError> {
    let position = |words: String| SourceError::new(&context.name, ErrorKind::Position, words);
    let shelf = Shelf::open(&context.name, setup.seen_max, &context.resume).map_err(position)?;
    let meter = Meter::new(&context.name, &context.standing);
    let keeper = queue.clone().map(|queue| Keeper::new(queue, meter.clone()));
    let keeping = keeper.clone().map(|keeper| tokio::spawn(keeper.run()));
    let mut work = Work {
        setup,
        store,
        shelf,
        keeper,
        waiting: Vec::new(),
        opened: 0,
        source: context.name,
        meter: meter.clone(),
        emitter: Some(context.emitter),
        finished: context.finished,
        shutdown: context.shutdown,
        chance: Chance::new(seed()),
    };
    let done = work.work(queue).await;
    if let Some(keeping) = keeping {
        keeping.abort();
    }
    done?;
    work.end().await;
    let mut summary = Summary { opened: work.opened, ..Summary::default() };
    meter.summarize(&mut summary);
    Ok(summary)
}

/// Objects that cannot be read now do not hold up the others, unless there are many in a row: then the store is
/// away. They are tried again with the next look.
#[derive(Default)]
struct Trouble {
    in_a_row: u32,
    has_failed: bool,
}

impl Trouble {
    const IN_A_ROW_MAX: u32 = 4;

    fn note(&mut self, meter: &Meter, key: &str, read: Result<(), Failure>) -> Result<(), Failure> {
        let source = meter.source();
        self.has_failed |= read.is_err();
        match read {
            Ok(()) => self.in_a_row = 0,
            Err(Failure::Never(words)) => tracing::warn!(source, "{key}: {words}"),
            Err(Failure::Later(words)) if self.in_a_row < Self::IN_A_ROW_MAX => {
                self.in_a_row += 1;
                meter.error();
                tracing::warn!(source, "{key}: {words}; going on trying");
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}

type Receiving = BoxFuture<'static, Result<Vec<Notice>, String>>;

/// Waits for notifications; without a queue for ever.
fn receive(queue: Option<Arc<dyn Notices>>, pause: Duration) -> Receiving {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        match queue {
            Some(queue) => queue.receive().await,
            None => std::future::pending().await,
        }
    })
}

impl Work {
    async fn work(&mut self, queue: Option<Arc<dyn Notices>>) -> Result<(), SourceError> {
        let (mut look_at, mut failures) = (Instant::now(), 0);
        let emitter = self.emitter.clone();
        // Kept over turns: what a dropped request has taken would come again only when its lease is over.
        let mut receiving = receive(queue.clone(), Duration::ZERO);
        while !self.shutdown.is_requested() {
            if Instant::now() >= look_at {
                let looked = match queue.is_some() {
                    true => self.look_again().await,
                    false => self.list().await,
                };
                let is_good = looked.is_ok();
                failures = self.judge_turn(looked, failures)?;
                look_at =
                    Instant::now() + if is_good { self.setup.every } else { self.pause(failures) };
            }
            tokio::select! {
                received = &mut receiving => {
                    let taken = match received {
                        Ok(notices) if notices.is_empty() => {
                            self.meter.read_to(now_ms());
                            Ok(())
                        }
                        Ok(notices) => self.take(notices).await,
                        Err(words) => Err(Failure::Later(words)),
                    };
                    failures = self.judge_turn(taken, failures)?;
                    let pause = if failures > 0 { self.pause(failures) } else { Duration::ZERO };
                    receiving = receive(queue.clone(), pause);
                }
                Some(spans) = self.finished.recv() => self.finish(&spans),
                () = tokio::time::sleep_until(look_at.into()) => {}
                () = self.shutdown.requested() => {}
                () = async { if let Some(emitter) = &emitter { emitter.closed().await } } => {
                    return Err(SourceError::closed(&self.source));
                }
            }
        }
        Ok(())
    }

    /// How long to wait after so many failures in a row.
    fn pause(&mut self, failures: u32) -> Duration {
        Duration::from_millis(pause_ms(failures, &mut self.chance).unsigned_abs())
    }

    /// Says how a turn went; how many have failed in a row.
    fn judge_turn(&self, turn: Result<(), Failure>, failures: u32) -> Result<u32, SourceError> {
        match turn {
            Ok(()) => {
                self.meter.stands(None);
                Ok(0)
            }
            Err(Failure::Ended(error)) => Err(error),
            Err(Failure::Later(words) | Failure::Never(words)) => {
                self.meter.stands(Some(&words));
                self.meter.error();
                tracing::warn!(source = %self.source, "{words}; going on trying");
                Ok(failures + 1)
            }
        }
    }

    /// Reads what the listing has.
    async fn list(&mut self) -> Result<(), Failure> {
        let began_ms = now_ms();
        let oldest_ms = began_ms - self.setup.look_back_ms;
        let prefix = self.setup.prefix.as_deref().map(folder).unwrap_or_default();
        let shelf = &self.shelf;
        let wanted = |entry: &Entry| {
            entry.changed_ms >= oldest_ms && !shelf.is_done(&entry.key, &version(entry))
        };
        let listed = walk(&self.store, prefix, day_of(oldest_ms), wanted).await;
        let told = |trouble: stores::Trouble| format!("listing: {}", trouble.words());
        let (mut listed, is_whole) = listed.map_err(|trouble| Failure::Later(told(trouble)))?;
        listed.sort_by_key(|entry| entry.changed_ms);
        let found: Vec<_> = listed.into_iter().map(|entry| self.found(entry)).collect();
        let mut trouble = Trouble::default();
        for found in found {
            if self.shutdown.is_requested() {
                return Ok(());
            }
            let read = self.read(&found, false).await.map(drop);
            trouble.note(&self.meter, &found.key, read)?;
        }
        self.close().await?;
        self.remember(Frames::default()).await?;
        if is_whole && !trouble.has_failed {
            self.meter.read_to(began_ms);
        }
        Ok(())
    }

    /// Growing objects tell of their beginning only: those that are known are looked at again.
    async fn look_again(&mut self) -> Result<(), Failure> {
        let mut trouble = Trouble::default();
        for (_, card) in self.shelf.cards() {
            if card.stage != Stage::Closed && self.grows(&card.key) {
                let read = self.read_key(&card.key).await.map(drop);
                trouble.note(&self.meter, &card.key, read)?;
            }
        }
        self.close().await?;
        self.remember(Frames::default()).await?;
        Ok(())
    }

    /// Hands over what is open at the end of objects that no longer grow, and forgets the oldest.
    async fn close(&mut self) -> Result<(), Failure> {
        let now_ms = now_ms();
        for (at, card) in self.shelf.cards() {
            let age_ms = now_ms - card.changed_ms;
            if self.grows(&card.key) && card.stage == Stage::Read && age_ms > self.setup.settle_ms {
                let found = Found {
                    key: card.key.clone(),
                    version: card.version.clone(),
                    size: card.size,
                    changed_ms: card.changed_ms,
                    grows: true,
                };
                match self.read_slot(at, &found, true).await {
                    Ok(()) | Err(Failure::Never(_)) => {}
                    Err(other) => return Err(other),
                }
            }
            if card.stage == Stage::Closed
                && age_ms > self.setup.look_back_ms
                && self.shelf.retire(at, true, now_ms)
            {
                self.remember(Frames::default()).await?;
            }
        }
        self.shelf.forget_before(now_ms - 2 * self.setup.look_back_ms);
        Ok(())
    }

    async fn take(&mut self, notices: Vec<Notice>) -> Result<(), Failure> {
        let Some(keeper) = self.keeper.clone() else { return Ok(()) };
        let fresh: Vec<_> = notices.into_iter().filter(|notice| keeper.take(notice)).collect();
        let mut trouble = None;
        for notice in fresh {
            match self.take_one(&notice).await {
                Ok(places) => self.waiting.push(Waiting { notice: notice.id, places }),
                Err(Failure::Ended(error)) => return Err(error.into()),
                Err(Failure::Later(words) | Failure::Never(words)) => {
                    keeper.let_go(&notice.id);
                    trouble = Some(words);
                }
            }
        }
        self.remember(Frames::default()).await?;
        self.settle();
        self.meter.held(keeper.len(), self.shelf.remembered());
        trouble.map_or(Ok(()), |words| Err(Failure::Later(words)))
    }

    /// Reads what a notification tells of; what must be finished before it is deleted.
    async fn take_one(&mut self, notice: &Notice) -> Result<Vec<Place>, Failure> {
        let keys = match &notice.says {
            Says::Nothing => return Ok(Vec::new()),
            Says::Foreign(why) => {
                return self.bury(notice, format!("no notification of an object: {why}")).await;
            }
            Says::Objects(keys) => keys,
        };
        let is_last = notice.deliveries >= self.setup.deliveries_max;
        let mut places = Vec::new();
        for key in keys {
            match self.read_key(key).await {
                Ok(place) => places.extend(place),
                Err(Failure::Never(words)) => {
                    places.extend(self.bury(notice, format!("{key}: {words}")).await?);
                }
                Err(Failure::Later(words)) if is_last => {
                    let count = notice.deliveries;
                    let why = format!("{key}: not read in {count} deliveries: {words}");
                    places.extend(self.bury(notice, why).await?);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(places)
    }

    /// A notification that leads nowhere becomes a dead letter.
    async fn bury(&mut self, notice: &Notice, reason: String) -> Result<Vec<Place>, Failure> {
        self.meter.error();
        let mut frames = Frames::default();
        frames.reject(0, 0, reason, notice.text.clone().into_bytes());
        self.remember(frames).await?;
        Ok(vec![self.shelf.memory_place()])
    }

    /// Hands the memory over, when there is something new in it or beside it.
    pub async fn remember(&mut self, mut frames: Frames) -> Result<(), SourceError> {
        if !self.shelf.has_news() && frames.is_empty() {
            return Ok(());
        }
        let spans = self.shelf.memory(frames.rejects().len() as u64).map_err(|e| self.misfit(e))?;
        let last = spans.len() - 1;
        for (i, span) in spans.into_iter().enumerate() {
            let mut batch = if i == last {
                frames.take(span, &self.setup.log_type, now())
            } else {
                Frames::default().take(span, &self.setup.log_type, now())
            };
            let at = batch.span.after;
            batch.rejects.iter_mut().for_each(|reject| reject.at = at);
            self.send(batch).await?;
        }
        Ok(())
    }

    pub async fn send(&mut self, batch: Batch) -> Result<(), SourceError> {
        self.meter.batch(&batch);
        let closed = || SourceError::closed(&self.source);
        let emitter = self.emitter.as_ref().ok_or_else(closed)?;
        emitter.send(batch).await.map_err(|_| closed())?;
        if let Some(spans) = self.finished.try_recv() {
            self.finish(&spans);
        }
        Ok(())
    }

    fn finish(&mut self, spans: &[Span]) {
        self.shelf.finish(spans);
        self.settle();
    }

    /// Notifications of which everything is in the lake are done with.
    fn settle(&mut self) {
        let Some(keeper) = &self.keeper else { return };
        let shelf = &self.shelf;
        self.waiting.retain(|waiting| {
            let is_done = waiting.places.iter().all(|place| shelf.is_finished(*place));
            if is_done {
                keeper.done(&waiting.notice);
            }
            !is_done
        });
    }

    /// The intake has ended.
    async fn end(&mut self) {
        self.emitter = None;
        let until = Instant::now() + Duration::from_secs(20);
        let left = || until.saturating_duration_since(Instant::now());
        while let Ok(Some(spans)) = tokio::time::timeout(left(), self.finished.recv()).await {
            self.finish(&spans);
        }
        if let Some(keeper) = &self.keeper {
            keeper.last_words(left()).await;
        }
    }
}
