//! The polling thread: messages to batches, finished spans to group offsets.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event::{LogType, PartitionKey, Span};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::KafkaOptions;
use super::context::{ASK, Change, Context, Place, name};
use crate::assembler::{LINGER, now};
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::{Frames, Options, frame_whole};
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::source::{Shutdown, SourceContext, Summary, last_words};

/// A partition that is said to be at its end and gives nothing for this long is.
const QUIET: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// All partitions together hold no more than about this before it is handed over.
const HELD_BYTES_MAX: usize = 8 << 20;

struct Part {
    key: PartitionKey,
    ledger: Ledger,
    frames: Frames,
    /// The offset after the last message that was framed.
    next: u64,
    /// Since when something waits.
    since: Option<Instant>,
    assigned: bool,
    /// Whether `next` is known, from the lake or from a message.
    begun: bool,
    /// For `until_end`: the end that was there at the start.
    end: Option<u64>,
    /// Since when the broker says that there is nothing more.
    quiet: Option<Instant>,
}

impl Part {
    /// Takes it up at a position; what was framed and not handed over is forgotten.
    fn assign(&mut self, next: Option<u64>) {
        self.forget();
        self.assigned = true;
        self.begun = next.is_some();
    }

    fn forget(&mut self) {
        self.frames = Frames::default();
        self.since = None;
        self.next = self.ledger.emitted();
        self.assigned = false;
    }

    /// At the end that was there at the start, or as near to it as there are messages: the marks of
    /// transactions stand behind the last one.
    fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
            || self.quiet.is_some_and(|since| since.elapsed() >= QUIET)
    }

    fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= LINGER)
    }
}

pub(super) struct Work {
    options: KafkaOptions,
    log_type: LogType,
    framing: Options,
    name: Arc<str>,
    consumer: Arc<BaseConsumer<Context>>,
    /// By topic and number.
    parts: HashMap<String, BTreeMap<i32, Part>>,
    halted: Vec<String>,
    held_bytes: usize,
    finished: Option<FinishedReceiver>,
    emitter: Option<Emitter>,
    shutdown: Shutdown,
    runtime: Handle,
    meter: Meter,
}

impl Work {
    pub fn new(
        options: KafkaOptions,
        log_type: LogType,
        framing: Options,
        context: SourceContext,
        runtime: Handle,
    ) -> Result<Self, SourceError> {
        let meter = Meter::new(&context.name);
        let next = context.resume.iter().map(|(name, resume)| (name.to_string(), resume.upto));
        let callbacks = Context {
            meter: meter.clone(),
            next: Mutex::new(next.collect()),
            changes: Mutex::default(),
        };
        let made: Result<BaseConsumer<_>, _> = options.client().create_with_context(callbacks);
        let consumer = made.map_err(|e| {
            SourceError::new(&context.name, ErrorKind::Config, "the client cannot be made")
                .because(e)
        })?;
        Ok(Self {
            options,
            log_type,
            framing,
            name: context.name,
            consumer: Arc::new(consumer),
            parts: HashMap::new(),
            halted: Vec::new(),
            held_bytes: 0,
            finished: Some(context.finished),
            emitter: Some(context.emitter),
            shutdown: context.shutdown,
            runtime,
            meter,
        })
    }

    pub fn run(mut self) -> Result<Summary, SourceError> {
        self.begin()?;
        let consumer = self.consumer.clone();
        while !self.shutdown.is_requested() && !self.is_at_end() {
            let polled = consumer.poll(POLL);
            self.follow_changes();
            if let Some(message) = self.judge(polled)? {
                self.take(&message);
            }
            self.send_due(false)?;
            let spans = self.finished.as_mut().and_then(FinishedReceiver::try_recv);
            if let Some(spans) = spans {
                self.settle(&spans, CommitMode::Async);
            }
        }
        self.send_due(true)?;
        self.end()
    }

    fn begin(&mut self) -> Result<(), SourceError> {
        let name = self.name.clone();
        let refused =
            |e| SourceError::new(&name, ErrorKind::Refused, "the topics cannot be read").because(e);
        if !self.options.until_end {
            let topics: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
            return self.consumer.subscribe(&topics).map_err(refused);
        }
        let mut ends = Vec::new();
        for topic in self.options.topics.clone() {
            let Some(found) = self.ends(&topic) else { return Ok(()) };
            ends.extend(found);
        }
        let places: Vec<Place> = ends.iter().map(|(place, _)| place.clone()).collect();
        let list = self.consumer.context().begin(&*self.consumer, &places);
        self.consumer.assign(&list).map_err(refused)?;
        self.follow_changes();
        for ((topic, number), end) in ends {
            if let Some(part) = self.part(&topic, number) {
                part.end = Some(end);
            }
        }
        Ok(())
    }

    fn part(&mut self, topic: &str, number: i32) -> Option<&mut Part> {
        self.parts.get_mut(topic)?.get_mut(&number)
    }

    /// The partitions of a topic and where they end now, asked until the broker answers; `None` when
    /// the source is stopped meanwhile. An empty partition has nothing to wait for.
    fn ends(&self, topic: &str) -> Option<Vec<(Place, u64)>> {
        loop {
            match self.ask_ends(topic) {
                Ok(ends) => return Some(ends),
                Err(error) => {
                    self.meter.up(false);
                    self.meter.error();
                    tracing::warn!(%error, topic, "the broker does not answer; trying again");
                }
            }
            for _ in 0..10 {
                if self.shutdown.is_requested() {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn ask_ends(&self, topic: &str) -> Result<Vec<(Place, u64)>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ASK)?;
        let mut ends = Vec::new();
        for found in metadata.topics() {
            if let Some(error) = found.error() {
                return Err(KafkaError::MetadataFetch(error.into()));
            }
            for partition in found.partitions() {
                let (low, high) = self.consumer.fetch_watermarks(topic, partition.id(), ASK)?;
                let end = if low == high { 0 } else { high };
                ends.push(((topic.to_owned(), partition.id()), u64::try_from(end).unwrap_or(0)));
            }
        }
        Ok(ends)
    }

    fn is_at_end(&self) -> bool {
        let mut parts = self.parts.values().flat_map(BTreeMap::values);
        self.options.until_end && parts.all(Part::is_at_end)
    }

    /// The message of a poll. Errors of the connection are counted and waited out.
    fn judge<'a>(
        &mut self,
        polled: Option<Result<BorrowedMessage<'a>, KafkaError>>,
    ) -> Result<Option<BorrowedMessage<'a>>, SourceError> {
        match polled {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(KafkaError::PartitionEOF(number))) => {
                self.reach_end(number);
                Ok(None)
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                let message = "the broker has shut this consumer out";
                Err(SourceError::new(&self.name, ErrorKind::Refused, message).because(error))
            }
            Some(Err(error)) => {
                self.meter.error();
                tracing::warn!(%error, "reading from the broker; it goes on when it can");
                Ok(None)
            }
        }
    }

    /// The broker has no more of a partition. The client does not say of which topic, so with several
    /// topics only positions count.
    fn reach_end(&mut self, number: i32) {
        if let [topic] = &self.options.topics[..]
            && let Some(part) = self.parts.get_mut(topic).and_then(|parts| parts.get_mut(&number))
        {
            part.quiet = Some(Instant::now());
        }
    }

    /// Frames a message.
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, number) = (message.topic(), message.partition());
        let Ok(offset) = u64::try_from(message.offset()) else { return };
        let Some(part) = self.parts.get_mut(topic).and_then(|parts| parts.get_mut(&number)) else {
            return;
        };
        if !part.assigned {
            return;
        }
        if part.begun && offset != part.next {
            let next = part.next;
            if !self.is_hole_harmless(topic, number, next, offset) {
                return;
            }
        }
        let framing = &self.framing;
        let Some(part) = self.parts.get_mut(topic).and_then(|parts| parts.get_mut(&number)) else {
            return;
        };
        let payload = message.payload().unwrap_or_default();
        frame_whole(framing, payload, offset, &mut part.frames);
        part.begun = true;
        part.quiet = None;
        part.next = offset + 1;
        part.since.get_or_insert_with(Instant::now);
        self.held_bytes += payload.len();
    }

    /// Offsets are skipped where messages were compacted away or transactions have their marks. When
    /// the broker has deleted what was to be read, or the topic was made anew, the partition is halted.
    fn is_hole_harmless(&mut self, topic: &str, number: i32, next: u64, offset: u64) -> bool {
        match self.consumer.fetch_watermarks(topic, number, ASK) {
            Ok((low, _)) if offset > next && low as u64 <= next => true,
            Ok((low, high)) => {
                self.halt((topic.to_owned(), number), next, low, high);
                false
            }
            Err(error) => {
                // Not known now: the message is asked for again.
                tracing::warn!(%error, topic, number, "cannot look at a hole; reading it again");
                let back = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
                if let Err(error) = self.consumer.seek(topic, number, back, ASK) {
                    tracing::warn!(%error, topic, number, "cannot go back");
                }
                false
            }
        }
    }

    fn halt(&mut self, place: Place, wanted: u64, low: i64, high: i64) {
        self.meter.error();
        self.meter.halted(&name(&place));
        tracing::error!(
            partition = name(&place),
            "halted: the lake ends at offset {wanted}, but the broker has {low} to {high}. Messages \
             were deleted before they were read, or the topic was made anew"
        );
        if let Some(part) = self.part(&place.0, place.1) {
            part.forget();
        }
        if let Some(parts) = self.parts.get_mut(&place.0) {
            parts.remove(&place.1);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&place.0, place.1);
        // It may not be assigned at all, which is as good.
        let _ = self.consumer.pause(&list);
        self.halted.push(format!("{} at {wanted} (broker: {low} to {high})", name(&place)));
    }

    fn follow_changes(&mut self) {
        let changes = std::mem::take(&mut *self.consumer.context().changes.lock());
        for change in changes {
            match change {
                Change::Assigned(place) => self.assign(place),
                Change::Revoked(place) => {
                    tracing::info!(partition = name(&place), "given back");
                    if let Some(part) = self.part(&place.0, place.1) {
                        part.forget();
                    }
                }
                Change::Halted { place, wanted, low, high } => self.halt(place, wanted, low, high),
            }
        }
    }

    fn assign(&mut self, place: Place) {
        let partition = name(&place);
        let next = self.consumer.context().next.lock().get(&partition).copied();
        tracing::info!(partition, next, "taken");
        let key = PartitionKey { source: self.name.clone(), partition: partition.into() };
        let parts = self.parts.entry(place.0).or_default();
        let part = parts.entry(place.1).or_insert_with(|| Part {
            key,
            ledger: Ledger::new(next.unwrap_or(0)),
            frames: Frames::default(),
            next: 0,
            since: None,
            assigned: false,
            begun: false,
            end: None,
            quiet: None,
        });
        part.assign(next);
    }

    /// Hands over what is full or has waited long enough, or everything.
    fn send_due(&mut self, all: bool) -> Result<(), SourceError> {
        let all = all || self.held_bytes >= HELD_BYTES_MAX;
        let mut due = Vec::new();
        for (topic, parts) in &self.parts {
            let ready = parts.iter().filter(|(_, part)| {
                part.assigned
                    && part.next > part.ledger.emitted()
                    && (all || part.frames.is_full() || part.is_due())
            });
            due.extend(ready.map(|(number, _)| (topic.clone(), *number)));
        }
        for (topic, number) in due {
            self.send(&topic, number)?;
        }
        if all {
            self.held_bytes = 0;
        }
        Ok(())
    }

    fn send(&mut self, topic: &str, number: i32) -> Result<(), SourceError> {
        let (name, log_type) = (self.name.clone(), self.log_type.clone());
        let Some(part) = self.part(topic, number) else { return Ok(()) };
        let (after, upto) = (part.ledger.emitted(), part.next);
        let span = Span { key: part.key.clone(), after, upto, state: None };
        let fits = part.ledger.emit(&span);
        let batch = part.frames.take(span, &log_type, now());
        part.since = None;
        let partition = part.key.partition.to_string();
        fits.map_err(|e| {
            SourceError::new(&name, ErrorKind::Position, "spans do not touch").because(e)
        })?;
        self.held_bytes = self.held_bytes.saturating_sub(batch.bytes.len());
        self.meter.batch(&batch);
        self.consumer.context().next.lock().insert(partition, upto);
        let Some(emitter) = self.emitter.clone() else { return Ok(()) };
        let sending = async move { emitter.send(batch).await };
        self.wait_paused(Box::pin(sending)).map_err(|_| SourceError::closed(&name))
    }

    /// Waits for room with the partitions paused, polling so that the group sees life.
    fn wait_paused<T>(&mut self, mut sending: Pin<Box<dyn Future<Output = T>>>) -> T {
        let runtime = self.runtime.clone();
        let mut wait =
            |time| runtime.block_on(async { tokio::time::timeout(time, &mut sending).await });
        if let Ok(done) = wait(LINGER) {
            return done;
        }
        let consumer = self.consumer.clone();
        if let Ok(held) = consumer.assignment() {
            let _ = consumer.pause(&held);
        }
        let done = loop {
            if let Some(Ok(message)) = consumer.poll(Duration::ZERO) {
                self.take(&message);
            }
            self.follow_changes();
            if let Ok(done) = wait(LINGER) {
                break done;
            }
        };
        let mut list = TopicPartitionList::new();
        for (topic, parts) in &self.parts {
            for number in parts.iter().filter(|(_, part)| part.assigned).map(|(n, _)| *n) {
                list.add_partition(topic, number);
            }
        }
        let _ = consumer.resume(&list);
        done
    }

    /// Commits the offsets of finished spans, as a hint for those who look at the lag.
    fn settle(&mut self, spans: &[Span], mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for span in spans {
            let place = span.key.partition.rsplit_once('-');
            let Some((topic, number)) = place.and_then(|(t, n)| Some((t, n.parse().ok()?))) else {
                continue;
            };
            let Some(part) = self.part(topic, number) else { continue };
            match part.ledger.finish(span) {
                Ok(position) if part.assigned => {
                    let offset = Offset::Offset(i64::try_from(position).unwrap_or(i64::MAX));
                    let _ = list.add_partition_offset(topic, number, offset);
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a finished span does not fit"),
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "the group's offsets could not be committed; the lake has them");
        }
    }

    /// The intake has ended: the last finished spans are committed, then the group is left.
    fn end(mut self) -> Result<Summary, SourceError> {
        self.emitter = None;
        if let Some(mut finished) = self.finished.take() {
            let mut spans = Vec::new();
            self.runtime.clone().block_on(last_words(&mut finished, |more| spans.extend(more)));
            self.settle(&spans, CommitMode::Sync);
        }
        if self.options.until_end && !self.halted.is_empty() {
            let message = format!("not readable to the end: {}", self.halted.join(", "));
            return Err(SourceError::new(&self.name, ErrorKind::Position, message));
        }
        let opened = self.parts.values().map(BTreeMap::len).sum::<usize>() as u64;
        let mut summary = Summary { opened, ..Summary::default() };
        self.meter.summarize(&mut summary);
        Ok(summary)
    }
}
