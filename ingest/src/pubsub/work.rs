//! The thin shell around [`Leases`] and [`Feed`]: the network, the time, and the pipeline.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event::{Batch, Span};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::PubsubOptions;
use super::api::{Api, Message, Settings, Trouble};
use super::feed::{Feed, identity};
use super::leases::{Ask, Leases, Outcome};
use super::probe;
use crate::assembler::LINGER;
use crate::emitter::{Closed, Emitter};
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::meter::Meter;
use crate::poll::backoff::Chance;
use crate::poll::source::{now_ms, seed};
use crate::source::Shutdown;

/// The clock is looked at again at least this often: it may have been set.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// After the end of the intake the last epoch has this long to be committed and acknowledged.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// What came back.
enum Answer {
    Settings(Result<Settings, Trouble>),
    Pulled(Result<Vec<Message>, Trouble>),
    Settled(Ask, Outcome, Option<Trouble>),
}

type Sending = BoxFuture<'static, Result<(), Closed>>;

pub(super) struct Work {
    api: Arc<Api>,
    lease_s: i64,
    leases: Leases,
    feed: Feed,
    /// When the oldest message came that waits to be handed over.
    since: Option<Instant>,
    batches: VecDeque<Batch>,
    /// Requests for messages, which wait at Pub/Sub.
    pulls: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// All others.
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// What was last said to be wrong.
    trouble: Option<String>,
    meter: Meter,
    finished: FinishedReceiver,
    shutdown: Shutdown,
}

impl Work {
    pub fn new(
        api: Api,
        options: &PubsubOptions,
        feed: Feed,
        meter: Meter,
        finished: FinishedReceiver,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            api: Arc::new(api),
            lease_s: i64::from(options.lease_s),
            leases: Leases::new(options.limits(), Chance::new(seed())),
            feed,
            since: None,
            batches: VecDeque::new(),
            pulls: FuturesUnordered::new(),
            under_way: FuturesUnordered::new(),
            trouble: None,
            meter,
            finished,
            shutdown,
        }
    }

    pub async fn run(mut self, emitter: Emitter) -> Result<(), SourceError> {
        let api = self.api.clone();
        self.under_way.push(Box::pin(async move { Answer::Settings(api.settings().await) }));
        let mut sending: Option<Sending> = None;
        while !self.shutdown.is_requested() {
            let wait = self.ask();
            if self.since.is_some_and(|since| since.elapsed() >= LINGER) {
                self.gather()?;
            }
            if let (None, Some(batch)) = (&sending, self.batches.pop_front()) {
                let emitter = emitter.clone();
                sending = Some(Box::pin(async move { emitter.send(batch).await }));
            }
            tokio::select! {
                Some(answer) = self.pulls.next(), if !self.pulls.is_empty() => self.take(answer)?,
                Some(answer) = self.under_way.next(), if !self.under_way.is_empty() => self.take(answer)?,
                sent = async { sending.as_mut().expect("guarded").await }, if sending.is_some() => {
                    sending = None;
                    sent.map_err(|_| self.closed())?;
                }
                Some(spans) = self.finished.recv() => self.finish(&spans),
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.requested() => {}
                () = emitter.closed() => return Err(self.closed()),
            }
        }
        self.end(emitter, sending).await
    }

    /// Sends what there is to send; how long to wait for more.
    fn ask(&mut self) -> Duration {
        let now_ms = now_ms();
        let until_ms = loop {
            match self.leases.next(now_ms) {
                Err(until_ms) => break until_ms,
                Ok(ask) => {
                    let (api, lease_s) = (self.api.clone(), self.lease_s);
                    if let Ask::Pull(max) = ask {
                        let pull = async move { Answer::Pulled(api.pull(max).await) };
                        self.pulls.push(Box::pin(pull));
                        continue;
                    }
                    self.under_way.push(Box::pin(async move {
                        let (outcome, trouble) = api.settle(&ask, lease_s).await;
                        Answer::Settled(ask, outcome, trouble)
                    }));
                }
            }
        };
        let wait_ms = u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0).max(1);
        let linger = self.since.map_or(SLEEP_MAX, |since| LINGER.saturating_sub(since.elapsed()));
        Duration::from_millis(wait_ms).min(SLEEP_MAX).min(linger)
    }

    fn take(&mut self, answer: Answer) -> Result<(), SourceError> {
        let now_ms = now_ms();
        match answer {
            Answer::Settings(Ok(settings)) => probe::say(self.meter.source(), &settings),
            Answer::Settings(Err(trouble)) => {
                let words = trouble.words;
                tracing::info!(source = %self.meter.source(), "the subscription's settings cannot be read: {words}");
            }
            Answer::Pulled(Ok(messages)) => {
                self.leases.pulled(true, now_ms);
                self.meter.stands(None);
                if messages.is_empty() && self.leases.len() == 0 {
                    self.meter.read_to(now_ms);
                }
                self.tell(None);
                for message in messages {
                    self.take_message(message, now_ms)?;
                }
            }
            Answer::Pulled(Err(trouble)) => {
                self.leases.pulled(false, now_ms);
                self.meter.stands(Some(&trouble.words));
                self.meter.error();
                self.tell(Some(trouble.words));
            }
            Answer::Settled(ask, outcome, trouble) => {
                if let Some(trouble) = trouble {
                    self.meter.error();
                    self.tell(Some(trouble.words));
                }
                self.leases.answered(ask, outcome, now_ms);
            }
        }
        self.meter.held(self.leases.len(), self.feed.remembered());
        Ok(())
    }

    fn take_message(&mut self, message: Message, now_ms: i64) -> Result<(), SourceError> {
        let id = identity(&message);
        let is_here = self.leases.again(&id, &message.ack_id, now_ms);
        if is_here || self.feed.is_known(&id) {
            self.meter.repeated();
            if !is_here {
                self.leases.is_stored(message.ack_id);
            }
            return Ok(());
        }
        if let Some(published_ms) = message.published_ms {
            self.meter.age(now_ms - published_ms);
        }
        let (ack_id, bytes) = (message.ack_id.clone(), message.payload.len() + 256);
        let position = self.feed.take(id, message, now_ms);
        self.leases.take(position, id, ack_id, bytes, now_ms);
        self.since.get_or_insert_with(Instant::now);
        match self.feed.is_full() {
            true => self.gather(),
            false => Ok(()),
        }
    }

    /// Makes batches of what is here.
    fn gather(&mut self) -> Result<(), SourceError> {
        self.since = None;
        let batches = self.feed.batches().map_err(|e| {
            let told = "spans do not touch";
            SourceError::new(self.meter.source(), ErrorKind::Position, told).because(e)
        })?;
        batches.iter().for_each(|batch| self.meter.batch(batch));
        self.batches.extend(batches);
        Ok(())
    }

    fn finish(&mut self, spans: &[Span]) {
        let upto = self.feed.finish(spans);
        self.leases.finished(upto);
    }

    /// Says what is wrong when it changes.
    fn tell(&mut self, trouble: Option<String>) {
        if trouble == self.trouble {
            return;
        }
        let source = self.meter.source();
        match &trouble {
            Some(words) => tracing::warn!(source, "{words}; going on trying"),
            None => tracing::info!(source, "messages can be read again"),
        }
        self.trouble = trouble;
    }

    /// The intake has ended: what is here is handed over, and acknowledged when the last epoch is committed.
    async fn end(mut self, emitter: Emitter, sending: Option<Sending>) -> Result<(), SourceError> {
        self.leases.stop();
        if let Some(sending) = sending {
            sending.await.map_err(|_| self.closed())?;
        }
        if !self.feed.is_empty() {
            self.gather()?;
        }
        for batch in std::mem::take(&mut self.batches) {
            emitter.send(batch).await.map_err(|_| self.closed())?;
        }
        drop(emitter);
        // What they bring nobody would take.
        self.pulls.clear();
        let mut is_closed = false;
        let last = async {
            while !is_closed || !self.leases.is_quiet() {
                let wait = self.ask();
                tokio::select! {
                    Some(answer) = self.under_way.next(), if !self.under_way.is_empty() => self.take(answer)?,
                    spans = self.finished.recv(), if !is_closed => match spans {
                        Some(spans) => self.finish(&spans),
                        None => is_closed = true,
                    },
                    () = tokio::time::sleep(wait) => {}
                }
            }
            Ok(())
        };
        let Ok(done) = tokio::time::timeout(LAST_WORDS, last).await else {
            tracing::warn!(
                "not all messages could be acknowledged in time; they are recognised when they come again"
            );
            return Ok(());
        };
        done
    }

    fn closed(&self) -> SourceError {
        SourceError::closed(self.meter.source())
    }
}
