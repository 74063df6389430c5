//! The polling thread: messages to batches, finished spans to group offsets.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use event::{LogType, Span};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::KafkaOptions;
use super::ask::ASK;
use super::context::{Context, Place, name};
use super::group::Leaving;
use super::part::Part;
use crate::assembler::{LINGER, now};
use crate::claims::Claims;
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::finished::FinishedReceiver;
use crate::framing::{Options, frame_whole};
use crate::meter::Meter;
use crate::source::{Shutdown, SourceContext, Summary, last_words};

const POLL: Duration = Duration::from_millis(50);
/// All partitions together hold no more than about this before it is handed over.
const HELD_BYTES_MAX: usize = 8 << 20;

pub(super) struct Work {
    pub options: KafkaOptions,
    pub client: ClientConfig,
    log_type: LogType,
    framing: Options,
    pub name: Arc<str>,
    pub consumer: Arc<BaseConsumer<Context>>,
    /// By topic and number.
    pub parts: HashMap<String, BTreeMap<i32, Part>>,
    /// The next offset by partition name, from the lake and then from what was handed over.
    pub next: HashMap<String, u64>,
    pub leaving: Option<Leaving>,
    halted: Vec<String>,
    held_bytes: usize,
    /// The time that was spent waiting for messages.
    pub waited: Duration,
    /// When it was last looked whether the end is reached.
    pub looked: Instant,
    finished: Option<FinishedReceiver>,
    pub claims: Claims,
    emitter: Option<Emitter>,
    pub shutdown: Shutdown,
    runtime: Handle,
    pub meter: Meter,
}

impl Drop for Work {
    fn drop(&mut self) {
        // Leaving the group waits for an answer to everything that it wants.
        self.consumer.context().closing.store(true, Ordering::Relaxed);
        self.let_go();
    }
}

impl Work {
    pub fn new(
        options: KafkaOptions,
        log_type: LogType,
        framing: Options,
        context: SourceContext,
        runtime: Handle,
    ) -> Result<Self, SourceError> {
        let meter = Meter::new(&context.name, &context.standing);
        let next = context.resume.iter().map(|(name, resume)| (name.to_string(), resume.upto));
        let client = options.client();
        let told = |words: String| SourceError::new(&context.name, ErrorKind::Config, words);
        let event_hubs = options.event_hubs.as_ref();
        let bearer = event_hubs.map(|e| e.bearer(&runtime)).transpose().map_err(told)?.flatten();
        let made: Result<BaseConsumer<_>, _> =
            client.create_with_context(Context::new(meter.clone(), bearer));
        let consumer = made.map_err(|e| {
            SourceError::new(&context.name, ErrorKind::Config, "the client cannot be made")
                .because(e)
        })?;
        Ok(Self {
            options,
            client,
            log_type,
            framing,
            name: context.name,
            consumer: Arc::new(consumer),
            parts: HashMap::new(),
            next: next.collect(),
            leaving: None,
            halted: Vec::new(),
            held_bytes: 0,
            waited: Duration::ZERO,
            looked: Instant::now(),
            finished: Some(context.finished),
            claims: context.claims,
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
            let began = Instant::now();
            let polled = consumer.poll(POLL);
            self.waited += began.elapsed();
            if let Some(message) = self.judge(polled)? {
                self.take(&message);
            }
            self.follow_changes()?;
            self.send_due(false)?;
            let spans = self.finished.as_mut().and_then(FinishedReceiver::try_recv);
            if let Some(spans) = spans {
                self.settle(&spans, CommitMode::Async);
            }
            self.leave_when_settled();
        }
        self.send_due(true)?;
        self.end()
    }

    fn begin(&mut self) -> Result<(), SourceError> {
        if self.options.until_end {
            return self.begin_until_end();
        }
        let topics: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(|e| self.refused(e))
    }

    pub fn refused(&self, error: KafkaError) -> SourceError {
        let message = "the topics cannot be read";
        SourceError::new(&self.name, ErrorKind::Refused, message).because(error)
    }

    pub fn part(&mut self, topic: &str, number: i32) -> Option<&mut Part> {
        self.parts.get_mut(topic)?.get_mut(&number)
    }

    /// The message of a poll. Errors of the connection have been noted, and are waited out.
    fn judge<'a>(
        &self,
        polled: Option<Result<BorrowedMessage<'a>, KafkaError>>,
    ) -> Result<Option<BorrowedMessage<'a>>, SourceError> {
        match polled {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                let message = "the broker has shut this consumer out";
                Err(SourceError::new(&self.name, ErrorKind::Refused, message).because(error))
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "reading from the broker; it goes on when it can");
                Ok(None)
            }
        }
    }

    /// Frames a message.
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, number) = (message.topic(), message.partition());
        let Ok(offset) = u64::try_from(message.offset()) else { return };
        let Some(part) = self.part(topic, number).filter(|part| part.is_reading()) else { return };
        let next = part.next;
        if part.begun && offset != next && !self.is_hole_harmless(topic, number, next, offset) {
            return;
        }
        let waited = self.waited;
        let parts = self.parts.get_mut(topic);
        let Some(part) = parts.and_then(|parts| parts.get_mut(&number)) else { return };
        let payload = message.payload().unwrap_or_default();
        frame_whole(&self.framing, payload, offset, &mut part.frames);
        part.begun = true;
        part.last = waited;
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

    pub fn halt(&mut self, place: Place, wanted: u64, low: i64, high: i64) {
        self.meter.error();
        self.meter.halted(&name(&place));
        tracing::error!(
            partition = name(&place),
            "halted: the lake ends at offset {wanted}, but the broker has {low} to {high}. Messages \
             were deleted before they were read, or the topic was made anew. To go on with what \
             there is, set `generations: {{{}: {}}}`",
            name(&place),
            self.options.generation(&place) + 1
        );
        if let Some(parts) = self.parts.get_mut(&place.0) {
            parts.remove(&place.1);
        }
        self.pause(&place);
        self.halted.push(format!("{} at {wanted} (broker: {low} to {high})", name(&place)));
    }

    pub fn pause(&self, place: &Place) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&place.0, place.1);
        // It may not be assigned at all, which is as good.
        let _ = self.consumer.pause(&list);
    }

    /// Hands over what is full or has waited long enough, or everything.
    fn send_due(&mut self, all: bool) -> Result<(), SourceError> {
        let all = all || self.held_bytes >= HELD_BYTES_MAX;
        let mut due = Vec::new();
        for (topic, parts) in &self.parts {
            let ready = parts.iter().filter(|(_, part)| {
                part.assigned
                    && part.next > part.ledger.emitted()
                    && part.since.is_some()
                    && (all || part.leaving || part.frames.is_full() || part.is_due())
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
        self.meter.stands(None);
        self.next.insert(partition, upto);
        let Some(emitter) = self.emitter.clone() else { return Ok(()) };
        let sending = async move { emitter.send(batch).await };
        self.wait_paused(Box::pin(sending)).map_err(|_| SourceError::closed(&name))
    }

    /// Waits for room with the partitions paused, polling so that the group sees life. What the group
    /// wants meanwhile is answered afterwards.
    pub fn wait_paused<T>(&mut self, mut sending: Pin<Box<dyn Future<Output = T>>>) -> T {
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
            if let Ok(done) = wait(LINGER) {
                break done;
            }
        };
        let mut list = TopicPartitionList::new();
        for (topic, parts) in &self.parts {
            // Those that leave as well: the client keeps the pause of a partition that goes and comes back.
            for (number, _) in parts.iter().filter(|(_, part)| part.assigned && !part.done) {
                list.add_partition(topic, *number);
            }
        }
        let _ = consumer.resume(&list);
        done
    }

    /// Commits the offsets of finished spans, for those who look at the lag and for the member of the
    /// group that reads on.
    fn settle(&mut self, spans: &[Span], mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for span in spans {
            let name = span.key.partition.split('/').next().unwrap_or_default();
            let place = name.rsplit_once('-');
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
        self.commit(&list, mode);
    }

    pub fn commit(&self, list: &TopicPartitionList, mode: CommitMode) {
        if list.count() > 0
            && let Err(error) = self.consumer.commit(list, mode)
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
