//! The `poll` source: the thin shell that gives a [`Session`] the time and a network.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use event::LogType;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;

use super::allowance::Allowance;
use super::client::Client;
use super::gauges::Gauges;
use super::handover::Emission;
use super::options::{PollOptions, Resolved};
use super::past::Past;
use super::request::{Lost, Reply};
use super::seen::Id;
use super::session::{Session, Step, Ticket};
use crate::assembler::now;
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::Frames;
use crate::meter::Meter;
use crate::source::{Resume, Shutdown, Source, SourceContext, Summary, last_words};

/// The clock is looked at again at least this often: it may have been set.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Asks a vendor.
#[derive(Debug)]
pub struct PollSource {
    pub(super) options: PollOptions,
    log_type: LogType,
    pub(super) resolved: Resolved,
    /// It reads a stretch of the past instead of what comes.
    pub(super) past: Option<Past>,
}

impl PollSource {
    pub fn new(name: &str, log_type: &str, options: PollOptions) -> Result<Self, SourceError> {
        let refuse = |words: String| SourceError::new(name, ErrorKind::Config, words);
        let resolved = options.resolve().map_err(refuse)?;
        Ok(Self { options, log_type: log_type.into(), resolved, past: None })
    }

    /// As it begins to read the newest events, whatever was read before.
    pub(super) fn probing(&self, now_ms: i64) -> Result<Session, String> {
        let back_ms = self.resolved.newest_ms(&self.options);
        self.session(&HashMap::new(), now_ms, back_ms)
    }

    pub(super) fn client(&self) -> Result<Client, String> {
        Client::new(&self.options.reach())
    }

    fn session(
        &self,
        resume: &HashMap<Arc<str>, Resume>,
        now_ms: i64,
        back_ms: i64,
    ) -> Result<Session, String> {
        let limits = &self.resolved.connector.limits;
        let limit = || Allowance::new(limits.requests, limits.per_ms);
        let allowance = shared(self.resolved.limited_as(&self.options), limit);
        let setups = self.resolved.setups(&self.options, now_ms, back_ms);
        Session::new(setups, self.options.auth(&self.resolved)?, allowance, resume, now_ms, seed())
    }
}

/// The allowance of this credential; all sources of the process that use it share one.
fn shared(of: Id, limit: impl FnOnce() -> Allowance) -> Arc<Mutex<Allowance>> {
    static ALL: Mutex<Vec<(Id, Weak<Mutex<Allowance>>)>> = Mutex::new(Vec::new());
    let mut all = ALL.lock();
    all.retain(|(_, allowance)| allowance.strong_count() > 0);
    if let Some(found) = all.iter().find(|(id, _)| *id == of).and_then(|(_, a)| a.upgrade()) {
        return found;
    }
    let made = Arc::new(Mutex::new(limit()));
    all.push((of, Arc::downgrade(&made)));
    made
}

/// For jitter, so that equal collectors that start together do not stay together.
pub(crate) fn seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
}

pub(crate) fn now_ms() -> i64 {
    now().0.div_euclid(1_000_000)
}

#[async_trait]
impl Source for PollSource {
    fn is_finite(&self) -> bool {
        self.options.until_end
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let failed = |words: String| SourceError::new(&context.name, ErrorKind::Config, words);
        let client = self.client().map_err(failed)?;
        let position = |words: String| SourceError::new(&context.name, ErrorKind::Position, words);
        let began_ms = now_ms();
        let back_ms = match &self.past {
            Some(past) => began_ms - past.stretch.from_ms,
            None => self.resolved.backfill_ms(&self.options),
        };
        let mut session = self.session(&context.resume, began_ms, back_ms).map_err(position)?;
        if let Some(past) = &self.past {
            session.end_at(past.stretch.to_ms);
        }
        let meter = Meter::new(&context.name, &context.standing);
        if let Some(ms) = session.read_to_ms() {
            meter.read_to(ms);
        }
        let worker = Worker {
            name: context.name.clone(),
            log_type: self.log_type,
            gauges: Gauges::new(&context.name, meter.clone(), &session),
            session,
            client,
            at_once: self.options.requests_at_once_max.max(1),
            until_end: self.options.until_end,
            began_ms,
            past: self.past,
            under_way: FuturesUnordered::new(),
            frames: Frames::default(),
            meter: meter.clone(),
            finished: context.finished,
            shutdown: context.shutdown,
        };
        worker.run(context.emitter).await?;
        let mut summary = Summary { opened: 1, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }
}

type Answer = (Ticket, Result<Reply, Lost>);

struct Worker {
    name: Arc<str>,
    log_type: LogType,
    session: Session,
    client: Client,
    at_once: usize,
    until_end: bool,
    began_ms: i64,
    past: Option<Past>,
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    frames: Frames,
    meter: Meter,
    gauges: Gauges,
    finished: FinishedReceiver,
    shutdown: Shutdown,
}

impl Worker {
    async fn run(mut self, emitter: Emitter) -> Result<(), SourceError> {
        if self.past.is_none() {
            let begins = self.session.first_words(now_ms());
            self.emit(&emitter, begins).await?;
        }
        while !self.shutdown.is_requested() && !self.is_at_end() {
            let now_ms = now_ms();
            let is_free = self.under_way.len() < self.at_once;
            let until_ms = match is_free.then(|| self.session.next(now_ms)) {
                Some(Step::Send(ticket, request)) => {
                    let client = self.client.clone();
                    self.under_way
                        .push(Box::pin(async move { (ticket, client.send(request).await) }));
                    continue;
                }
                Some(Step::Wait(until_ms)) => until_ms,
                None => i64::MAX,
            };
            self.tell(now_ms);
            let wait_ms = u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0).max(1);
            let wait = Duration::from_millis(wait_ms).min(SLEEP_MAX);
            tokio::select! {
                Some((ticket, answer)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    let emissions = self.session.answered(ticket, crate::poll::source::now_ms(), answer);
                    self.emit(&emitter, emissions).await?;
                }
                // What the lake has is in the state that comes back at the next start: nothing to do.
                Some(_) = self.finished.recv() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.requested() => {}
                () = emitter.closed() => return Err(SourceError::closed(&self.name)),
            }
        }
        // Answers that are still under way are asked for again at the next start.
        self.under_way.clear();
        let rest = self.session.last_words(now_ms());
        self.emit(&emitter, rest).await?;
        self.tell(now_ms());
        drop(emitter);
        last_words(&mut self.finished, |_| {}).await;
        Ok(())
    }

    fn tell(&mut self, now_ms: i64) {
        // What the past has yet to be read of it ends where it ends.
        let end_ms = self.past.as_ref().map_or(now_ms, |past| past.stretch.to_ms);
        self.gauges.tell(&self.session, end_ms);
        if let Some(Past { stretch, standing }) = &self.past {
            standing.tell(&self.session, stretch.to_ms);
        }
    }

    fn is_at_end(&self) -> bool {
        let is_read = |upto: Option<i64>| upto.is_some_and(|upto| upto >= self.began_ms);
        self.until_end && self.session.pollers().iter().all(|p| is_read(p.caught_up_ms()))
    }

    async fn emit(
        &mut self,
        emitter: &Emitter,
        emissions: Vec<Emission>,
    ) -> Result<(), SourceError> {
        for emission in emissions {
            let batch = emission.batch(&self.name, &self.log_type, &mut self.frames);
            self.meter.batch(&batch);
            emitter.send(batch).await.map_err(|_| SourceError::closed(&self.name))?;
        }
        Ok(())
    }
}
