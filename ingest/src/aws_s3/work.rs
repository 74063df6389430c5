//! The loop: messages and listings become objects, objects become batches, and what is in the lake is deleted
//! from the queue.

mod objects;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use event::{Batch, LogType, Span};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::AwsS3Options;
use super::inbox::Inbox;
use super::listing::Look;
use super::notice::{self, Announced};
use super::queue::{BATCH_MAX, Message, Queue, Standing};
use super::read::{News, Reader};
use super::shelf::Shelf;
use super::store::Stores;
use crate::emitter::{Closed, Emitter};
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::Options;
use crate::meter::Meter;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::seen::Id;
use crate::poll::source::{now_ms, seed};
use crate::source::{Shutdown, SourceContext, Summary};
use crate::stores::Trouble;

/// Objects that were listed and wait to be read; listing waits beyond that.
const WAITING_MAX: usize = 10_000;
/// How often the depth of the queue is asked for.
const DEPTH_EVERY: Duration = Duration::from_secs(60);
/// After the end of the intake the last epoch has this long to be committed.
const LAST_WORDS: Duration = Duration::from_secs(20);

type Answering = BoxFuture<'static, Answer>;
/// Both ends: what is told here is heard here.
type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);
type Sending = BoxFuture<'static, Result<(), Closed>>;

/// What came back.
enum Answer {
    Received(Result<Vec<Message>, String>),
    Settled(Result<(), String>),
    Deleted(Vec<String>, Result<(), String>),
    Depth(Result<Standing, String>),
    /// The look that began at that time is at its end.
    Listed(i64, Result<(), Trouble>),
}

/// An object to be read.
struct Wanted {
    announced: Announced,
    /// The message that announced it; none: it was listed.
    message: Option<String>,
}

pub(super) struct Work {
    options: AwsS3Options,
    queue: Option<Arc<Queue>>,
    reader: Reader,
    shelf: Shelf,
    inbox: Inbox,
    waiting: VecDeque<Wanted>,
    reading: HashMap<u64, Wanted>,
    /// Contents that are being read, by the number of the reading.
    open: HashMap<Id, u64>,
    next_number: u64,
    news: Channel<(u64, News)>,
    listed: Channel<Announced>,
    look: Option<Look>,
    next_look: Instant,
    /// A look was taken that found and read everything.
    has_looked: bool,
    answers: FuturesUnordered<Answering>,
    is_receiving: bool,
    receive_from: Instant,
    failures: u32,
    chance: Chance,
    is_deleting: bool,
    next_renewal: Instant,
    next_depth: Instant,
    batches: VecDeque<Batch>,
    trouble: Option<String>,
    finished: FinishedReceiver,
    emitter: Option<Emitter>,
    shutdown: Shutdown,
    summary: Summary,
}

impl Work {
    pub async fn open(
        options: AwsS3Options,
        log_type: LogType,
        context: SourceContext,
    ) -> Result<Self, SourceError> {
        let SourceContext { name, emitter, finished, resume, shutdown, standing, .. } = context;
        let shelf = Shelf::open(&name, &log_type, options.remember_max, &resume)
            .map_err(|words| SourceError::new(&name, ErrorKind::Position, words))?;
        let config = options.aws.load().await;
        let mut framing = Options::new(options.format.clone(), log_type.as_str());
        framing.record_bytes_max = options.record_bytes_max.max(1_024);
        let queue = options.queue_url.as_ref().map(|url| {
            let queue = Queue::new(&config, url, options.visibility_s);
            Arc::new(queue)
        });
        let stores = Stores::new(&config, options.aws.endpoint.as_deref())
            .map_err(|words| SourceError::new(&name, ErrorKind::Config, words))?;
        let stores = Arc::new(stores);
        let meter = Meter::new(&name, &standing);
        let now = Instant::now();
        Ok(Self {
            reader: Reader { source: name, log_type, framing, meter, stores },
            queue,
            options,
            shelf,
            inbox: Inbox::default(),
            waiting: VecDeque::new(),
            reading: HashMap::new(),
            open: HashMap::new(),
            next_number: 0,
            news: mpsc::channel(4),
            listed: mpsc::channel(100),
            look: None,
            next_look: now,
            has_looked: false,
            answers: FuturesUnordered::new(),
            is_receiving: false,
            receive_from: now,
            failures: 0,
            chance: Chance::new(seed()),
            is_deleting: false,
            next_renewal: now,
            next_depth: now,
            batches: VecDeque::new(),
            trouble: None,
            finished,
            emitter: Some(emitter),
            shutdown,
            summary: Summary::default(),
        })
    }

    pub async fn run(mut self) -> Result<Summary, SourceError> {
        let mut sending: Option<Sending> = None;
        while !self.shutdown.is_requested() && !self.is_over() {
            self.ask();
            sending = sending.or_else(|| self.send());
            let (is_free, has_room) = (self.batches.is_empty(), self.waiting.len() < WAITING_MAX);
            let wake = self.wake();
            tokio::select! {
                Some((number, news)) = self.news.1.recv(), if is_free => self.hear(number, news)?,
                Some(found) = self.listed.1.recv(), if has_room => self.found(found),
                Some(answer) = self.answers.next(), if !self.answers.is_empty() => self.take(answer)?,
                sent = async { sending.as_mut().expect("guarded").await }, if sending.is_some() => {
                    sending = None;
                    sent.map_err(|_| self.closed())?;
                }
                Some(spans) = self.finished.recv() => self.finish(&spans),
                () = sleep_until(wake) => {}
                () = self.shutdown.requested() => {}
            }
        }
        self.end(sending).await
    }

    /// A single look has been taken, and everything of it is on its way.
    fn is_over(&self) -> bool {
        let once = self.options.listing.as_ref().is_some_and(|listing| listing.once);
        once && self.has_looked && self.batches.is_empty()
    }

    /// Starts whatever can be started.
    fn ask(&mut self) {
        while self.reading.len() < self.options.objects_at_once_max {
            let Some(wanted) = self.waiting.pop_front() else { break };
            let (number, news) = (self.next_number, self.news.0.clone());
            self.next_number += 1;
            tokio::spawn(self.reader.clone().read(number, wanted.announced.clone(), news));
            self.reading.insert(number, wanted);
        }
        let now = Instant::now();
        if let Some(queue) = self.queue.clone() {
            self.ask_queue(&queue, now);
        }
        if let Some(listing) = self.options.listing.clone()
            && self.look.is_none()
            && now >= self.next_look
            && !(listing.once && self.has_looked)
        {
            self.next_look = now + Duration::from_secs(listing.every_s);
            self.begin_look(listing);
        }
    }

    fn ask_queue(&mut self, queue: &Arc<Queue>, now: Instant) {
        let room = self.options.messages_max.saturating_sub(self.inbox.len());
        if !self.is_receiving && room > 0 && now >= self.receive_from {
            self.is_receiving = true;
            let queue = queue.clone();
            self.answers.push(Box::pin(async move { Answer::Received(queue.receive(room).await) }));
        }
        if !self.is_deleting {
            let (handles, queue) = (self.inbox.take_done(), queue.clone());
            if !handles.is_empty() {
                self.is_deleting = true;
                self.answers.push(Box::pin(async move {
                    let deleted = queue.delete(&handles).await;
                    Answer::Deleted(handles, deleted)
                }));
            }
        }
        let mut kept = self.inbox.take_given_back();
        if now >= self.next_renewal {
            self.next_renewal = now + Duration::from_secs((self.options.visibility_s / 3).into());
            kept.extend(self.inbox.kept(self.options.visibility_s));
        }
        for some in kept.chunks(BATCH_MAX) {
            let (some, queue) = (some.to_vec(), queue.clone());
            self.answers.push(Box::pin(async move { Answer::Settled(queue.keep(&some).await) }));
        }
        if now >= self.next_depth {
            self.next_depth = now + DEPTH_EVERY;
            let queue = queue.clone();
            self.answers.push(Box::pin(async move { Answer::Depth(queue.standing().await) }));
        }
    }

    fn send(&mut self) -> Option<Sending> {
        let (batch, emitter) = (self.batches.pop_front()?, self.emitter.clone()?);
        Some(Box::pin(async move { emitter.send(batch).await }))
    }

    fn wake(&self) -> Instant {
        let mut wake = Instant::now() + Duration::from_secs(30);
        if self.queue.is_some() {
            wake = wake.min(self.next_renewal).min(self.next_depth);
            if !self.is_receiving && self.inbox.len() < self.options.messages_max {
                wake = wake.min(self.receive_from);
            }
        }
        let is_listing = self.options.listing.is_some() && self.look.is_none();
        if is_listing { wake.min(self.next_look) } else { wake }
    }

    fn take(&mut self, answer: Answer) -> Result<(), SourceError> {
        match answer {
            Answer::Received(Ok(messages)) => {
                (self.is_receiving, self.failures) = (false, 0);
                self.up(None);
                let is_idle = self.waiting.is_empty() && self.reading.is_empty();
                if messages.is_empty() && self.inbox.len() == 0 && is_idle {
                    self.reader.meter.read_to(now_ms());
                }
                for message in messages {
                    self.take_message(message)?;
                }
                self.told();
            }
            Answer::Received(Err(words)) => {
                self.is_receiving = false;
                self.failures += 1;
                let pause = pause_ms(self.failures, &mut self.chance).max(500);
                self.receive_from = Instant::now() + Duration::from_millis(pause.unsigned_abs());
                self.up(Some(words));
            }
            Answer::Settled(settled) => {
                if let Err(words) = settled {
                    self.fail(&words);
                    let soon = Duration::from_secs(5);
                    self.next_renewal = self.next_renewal.min(Instant::now() + soon);
                }
            }
            Answer::Deleted(handles, deleted) => {
                self.is_deleting = false;
                if let Err(words) = deleted {
                    self.fail(&words);
                    self.inbox.not_deleted(handles);
                }
            }
            Answer::Depth(Ok(standing)) => self.reader.meter.lag("queue", standing.visible),
            Answer::Depth(Err(words)) => tracing::debug!("the queue's depth is not known: {words}"),
            Answer::Listed(began_ms, listed) => {
                self.up(listed.as_ref().err().map(|trouble| trouble.words().to_owned()));
                if let Some(look) = self.look.as_mut().filter(|look| look.began_ms == began_ms) {
                    look.is_listed = true;
                    look.has_failed |= listed.is_err();
                }
                while let Ok(found) = self.listed.1.try_recv() {
                    self.found(found);
                }
                self.end_look()?;
            }
        }
        Ok(())
    }

    fn take_message(&mut self, message: Message) -> Result<(), SourceError> {
        if self.inbox.again(&message) {
            self.reader.meter.repeated();
            return Ok(());
        }
        if let Some(sent_ms) = message.sent_ms {
            self.reader.meter.age(now_ms() - sent_ms);
        }
        let (mut objects, mut upto) = (0, 0);
        match notice::read(&message.body) {
            Ok(announced) => {
                for announced in announced.into_iter().filter(|a| self.options.wants(&a.key)) {
                    if self.is_known(&announced) {
                        self.reader.meter.repeated();
                        continue;
                    }
                    objects += 1;
                    self.waiting.push_back(Wanted { announced, message: Some(message.id.clone()) });
                }
            }
            Err(reason) => {
                let batches = self.shelf.reject(reason, message.body.clone().into_bytes());
                self.emit(batches)?;
                upto = self.shelf.upto();
            }
        }
        self.inbox.take(message, objects, upto);
        self.settle();
        Ok(())
    }

    /// Messages that are done, or cannot be.
    fn settle(&mut self) {
        self.inbox.settle(self.shelf.finish(&[]));
        if self.options.queue_url.is_some() {
            let before_ms = now_ms() - i64::from(self.options.remember_hours) * 3_600_000;
            self.shelf.forget_before(before_ms);
        }
        self.told();
    }

    fn finish(&mut self, spans: &[Span]) {
        self.shelf.finish(spans);
        self.settle();
    }

    fn emit(
        &mut self,
        batches: Result<Vec<Batch>, crate::ledger::LedgerError>,
    ) -> Result<(), SourceError> {
        let told = "spans do not touch";
        let failed =
            |e| SourceError::new(&self.reader.source, ErrorKind::Position, told).because(e);
        self.batches.extend(batches.map_err(failed)?);
        Ok(())
    }

    fn told(&self) {
        self.reader.meter.held(self.inbox.len(), self.shelf.remembered());
    }

    /// Whether the other side answers; said when it changes.
    fn up(&mut self, trouble: Option<String>) {
        let source = &self.reader.source;
        self.reader.meter.stands(trouble.as_deref());
        if let Some(words) = &trouble {
            self.reader.meter.error();
            if self.trouble.is_none() {
                tracing::warn!(%source, "{words}; going on trying");
            }
        } else if self.trouble.is_some() {
            tracing::info!(%source, "objects can be read again");
        }
        self.trouble = trouble;
    }

    fn fail(&self, words: &str) {
        self.reader.meter.error();
        tracing::warn!(source = %self.reader.source, "{words}");
    }

    /// The intake has ended: what was read goes on its way, and what is in the lake is deleted from the queue.
    async fn end(mut self, sending: Option<Sending>) -> Result<Summary, SourceError> {
        if let Some(sending) = sending {
            sending.await.map_err(|_| self.closed())?;
        }
        while let Some(sending) = self.send() {
            sending.await.map_err(|_| self.closed())?;
        }
        self.emitter = None;
        // Nobody takes what is still being read; its mark says where to go on.
        self.news.1.close();
        self.listed.1.close();
        let last = async {
            while let Some(spans) = self.finished.recv().await {
                self.finish(&spans);
            }
            self.last_requests().await;
        };
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!(
                "not all messages could be deleted in time; they are recognised when they come again"
            );
        }
        self.reader.meter.summarize(&mut self.summary);
        Ok(self.summary)
    }

    /// Deletes what is done, and gives back what is not.
    async fn last_requests(&mut self) {
        let Some(queue) = self.queue.clone() else { return };
        // A request for messages that nobody waited for would still take them from others.
        while self.is_receiving
            && let Some(answer) = self.answers.next().await
        {
            match answer {
                Answer::Received(messages) => {
                    self.is_receiving = false;
                    let messages = messages.unwrap_or_default().into_iter();
                    messages.for_each(|message| self.inbox.take(message, 1, 0));
                }
                Answer::Deleted(handles, Err(_)) => self.inbox.not_deleted(handles),
                _ => {}
            }
        }
        self.inbox.give_back();
        let mut failed = HashSet::new();
        for handles in std::iter::from_fn(|| Some(self.inbox.take_done()).filter(|h| !h.is_empty()))
        {
            failed.extend(queue.delete(&handles).await.err());
        }
        for handles in self.inbox.take_given_back().chunks(BATCH_MAX) {
            failed.extend(queue.keep(handles).await.err());
        }
        failed.iter().for_each(|words| self.fail(words));
    }

    fn closed(&self) -> SourceError {
        SourceError::closed(&self.reader.source)
    }
}
