//! The streams as a whole: which partitions there are, and that each is listened to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event::{PartitionKey, Span};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::{Api, Stream, busy};
use super::feed::{Common, End, Feed, Kept};
use super::place::Place;
use crate::assembler::now;
use crate::begin::{Begin, Start};
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::framing::Frames;
use crate::meter::Meter;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::source::{now_ms, seed};
use crate::source::{Resume, Shutdown, SourceContext, last_words};

/// New partitions are looked for so often.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// A connection that broke keeps its `app_id` busy for about a minute; longer pauses would only add to that.
const PAUSE_MAX: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);
/// The partition that says where reading began.
const START: &str = "start";

pub(super) struct Work {
    common: Arc<Common>,
    source: Arc<str>,
    /// Of partitions that nobody listens to.
    kept: HashMap<String, Kept>,
    /// By partition: what was created before was handed over.
    listening: HashMap<String, Arc<AtomicI64>>,
    feeds: JoinSet<(String, Result<End, SourceError>)>,
    emitter: Emitter,
    shutdown: Shutdown,
    failures: u32,
    chance: Chance,
    opened: u64,
}

/// Runs until the shutdown; how many connections were opened.
pub(super) async fn run(
    api: Api,
    begin: Begin,
    log_type: event::LogType,
    meter: Meter,
    context: SourceContext,
) -> Result<u64, SourceError> {
    let SourceContext { name, emitter, mut finished, mut resume, shutdown, .. } = context;
    let tell = |span: Span| emitter.send(Frames::default().take(span, &log_type, now()));
    let start = match resume.remove(START).and_then(|resume| resume.state) {
        Some(text) => {
            serde_json::from_str(&text).map_err(|e| unreadable(&name, START).because(e))?
        }
        None => {
            let start = begin.start(now_ms());
            let state = serde_json::to_string(&start).unwrap_or_default();
            let key = PartitionKey { source: name.clone(), partition: START.into() };
            let told = tell(Span { key, after: 0, upto: 0, state: Some(state.into()) }).await;
            told.map_err(|_| SourceError::closed(&name))?;
            start
        }
    };
    let Start { at_ms: from_ms } = start;
    let common = Arc::new(Common { api, log_type: log_type.clone(), from_ms, meter });
    let mut work = Work {
        common,
        kept: kept(&name, resume)?,
        source: name,
        listening: HashMap::new(),
        feeds: JoinSet::new(),
        emitter,
        shutdown,
        failures: 0,
        chance: Chance::new(seed()),
        opened: 0,
    };
    work.listen().await?;
    let Work { mut feeds, emitter, source, opened, .. } = work;
    // Connections have their own; the intake ends with the last of them.
    drop(emitter);
    while let Some(joined) = feeds.join_next().await {
        joined.map_err(|e| broken(&source, e))?.1?;
    }
    last_words(&mut finished, drop).await;
    Ok(opened)
}

/// What the lake knows of each partition.
fn kept(
    source: &str,
    resume: HashMap<Arc<str>, Resume>,
) -> Result<HashMap<String, Kept>, SourceError> {
    let known = resume.into_iter().map(|(partition, Resume { upto, state })| {
        // Beginning again would store what there is twice: it is for a person.
        let place = Place::resume(state.as_deref());
        let place = place.ok_or_else(|| unreadable(source, &partition))?;
        let read_to = Arc::new(AtomicI64::new(place.newest_ms));
        Ok((partition.to_string(), Kept { place, upto, read_to }))
    });
    known.collect()
}

fn unreadable(source: &str, what: &str) -> SourceError {
    let message = format!("the state of partition {what} cannot be read");
    SourceError::new(source, ErrorKind::Position, message)
}

fn broken(source: &str, error: tokio::task::JoinError) -> SourceError {
    SourceError::new(source, ErrorKind::Io, "a connection's task ended").because(error)
}

impl Work {
    async fn listen(&mut self) -> Result<(), SourceError> {
        let mut look = Instant::now();
        while !self.shutdown.is_requested() {
            if look <= Instant::now() {
                look = Instant::now() + self.look().await;
            }
            self.say_read_to();
            tokio::select! {
                Some(joined) = self.feeds.join_next(), if !self.feeds.is_empty() => {
                    let (partition, end) = joined.map_err(|e| broken(&self.source, e))?;
                    look = Instant::now() + self.ended(partition, end?);
                }
                () = tokio::time::sleep_until(look.min(Instant::now() + TICK)) => {}
                () = self.shutdown.requested() => {}
                () = self.emitter.closed() => return Err(SourceError::closed(&self.source)),
            }
        }
        Ok(())
    }

    /// Listens to every partition to which nobody listens yet; when to look again.
    async fn look(&mut self) -> Duration {
        let listed = tokio::select! {
            listed = self.common.api.streams() => listed,
            () = self.shutdown.requested() => return TICK,
        };
        let listed = match listed {
            Ok(listed) => listed,
            Err(trouble) => return self.failed(&trouble.to_string()),
        };
        for stream in listed {
            self.open(stream);
        }
        // What is kept was listened to before, and is not among them.
        if self.listening.is_empty() || !self.kept.is_empty() {
            return self.failed(&busy(&self.common.api.app_id));
        }
        LOOK_EVERY
    }

    fn open(&mut self, stream: Stream) {
        let partition = stream.partition.clone();
        if self.listening.contains_key(&partition) {
            return;
        }
        let kept = self.kept.remove(&partition).unwrap_or_else(|| Kept {
            place: Place::default(),
            upto: 0,
            read_to: Arc::default(),
        });
        self.opened += 1;
        self.listening.insert(partition.clone(), kept.read_to.clone());
        let key =
            PartitionKey { source: self.source.clone(), partition: partition.as_str().into() };
        let (emitter, shutdown) = (self.emitter.clone(), self.shutdown.clone());
        let feed = Feed::new(self.common.clone(), stream, key, kept, emitter, shutdown);
        self.feeds.spawn(async move { (partition, feed.run().await) });
    }

    /// A connection is over; when to look for another.
    fn ended(&mut self, partition: String, end: End) -> Duration {
        self.listening.remove(&partition);
        self.kept.insert(partition, end.kept);
        if end.was_alive {
            self.failures = 0;
        }
        match end.trouble {
            Some(trouble) => self.failed(&trouble.to_string()),
            None => Duration::ZERO,
        }
    }

    /// Says what is wrong; how long to wait.
    fn failed(&mut self, trouble: &str) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.common.meter.error();
        self.common.meter.stands(Some(trouble));
        tracing::warn!(source = %self.source, failures = self.failures, "{trouble}");
        let pause_ms = pause_ms(self.failures, &mut self.chance);
        Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0)).min(PAUSE_MAX)
    }

    fn say_read_to(&self) {
        let least = self.listening.values().map(|read_to| read_to.load(Ordering::Relaxed)).min();
        if let Some(least) = least.filter(|ms| *ms > 0 && self.kept.is_empty()) {
            self.common.meter.read_to(least);
        }
    }
}
