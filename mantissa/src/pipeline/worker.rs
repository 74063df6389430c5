//! Worker threads: each takes whole batches, keeps its rows of the open epoch, and hands them over
//! when the epoch is cut.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use console::Tap;
use detect::Engine;
use enrich::FactsInput;
use event::{Alert, AlertId, Batch, DeadLetter, LogType, Parser, Record, Stage, Timestamp};
use ingest::Envelope;
use normalize::{Mapped, Reject};
use sink::lake::{Part, SpanOutcome, Window};
use tokio::sync::{mpsc, oneshot};

use super::correlations::Correlations;
use super::detection::Detection;
use super::spare::Spare;
use super::stream::{Origin, Stream, Verdict};
use super::{Lateness, Seen};

/// Batches waiting in a worker's queue; what they hold is bounded by the emitter's byte permits.
const QUEUE_BATCHES: usize = 4;

/// Rows are set aside in pieces of this size: a buffer that doubles once more to hold a whole epoch would
/// take twice the memory, and large buffers are what allocators give back last.
const CHUNK_BYTES: usize = 4 << 20;

/// What all workers use.
pub struct Shared {
    pub detection: ArcSwap<Detection>,
    pub window: Arc<Window>,
    /// Emptied rows of committed epochs.
    pub spare: Spare,
    pub alerts: Arc<dyn AlertSink>,
    pub tap: Tap,
    pub late_after_ns: i64,
    /// About the bytes that the open epoch's rows, dead letters and alerts take in memory.
    pub buffered_bytes: AtomicUsize,
    pub records: AtomicU64,
    pub alert_count: AtomicU64,
    /// What arrived from each source.
    pub seen: Arc<Seen>,
    /// Set when the process gives up on draining: a worker stops waiting for the outbox.
    pub give_up: std::sync::atomic::AtomicBool,
    pub correlations: Correlations,
}

/// Where alerts become durable. The outbox in the program; a list in tests.
pub trait AlertSink: Send + Sync {
    /// Returns once the alerts are durable; inserting one again changes nothing.
    fn insert(&self, alerts: &[Alert]) -> anyhow::Result<()>;
}

impl Shared {
    /// Makes alerts durable. Waits as long as it takes: an alert is never dropped because the disk is
    /// full. To be called where blocking is allowed.
    pub(super) fn make_durable(&self, alerts: &[Alert]) -> anyhow::Result<()> {
        let mut pause_ms = 100;
        while let Err(e) = self.alerts.insert(alerts) {
            if self.give_up.load(Ordering::Relaxed) {
                return Err(e.context("alerts could not be made durable before the end"));
            }
            tracing::error!("alerts cannot be made durable, trying again: {e:#}");
            std::thread::sleep(std::time::Duration::from_millis(pause_ms));
            pause_ms = (pause_ms * 2).min(5_000);
        }
        self.alert_count.fetch_add(alerts.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether it is filled in behind the back of what comes now: its events are filed where their time says, they
/// are no sign of life of their source, and correlations, whose windows are long over, do not take them.
pub(super) fn is_past(batch: &Batch) -> bool {
    *batch.span.key.source == *crate::backfill::NAME
}

enum Job {
    Batch(Envelope),
    Cut(oneshot::Sender<Part>),
}

/// The running threads.
pub struct Workers {
    queues: Vec<mpsc::Sender<Job>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    next: usize,
}

impl Workers {
    /// Starts `count` threads.
    pub fn start(count: usize, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let mut queues = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (queue, jobs) = mpsc::channel(QUEUE_BATCHES);
            let worker = Worker::new(Arc::clone(shared));
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker.work(jobs))
                .context("cannot start a worker thread")?;
            queues.push(queue);
            threads.push(thread);
        }
        Ok(Self { queues, threads, next: 0 })
    }

    /// Gives a batch to a worker that has room, else waits for the next in turn.
    pub async fn dispatch(&mut self, envelope: Envelope) -> anyhow::Result<()> {
        let count = self.queues.len();
        for step in 0..count {
            let at = (self.next + step) % count;
            if let Ok(room) = self.queues[at].try_reserve() {
                room.send(Job::Batch(envelope));
                self.next = at + 1;
                return Ok(());
            }
        }
        let at = self.next % count;
        self.next = at + 1;
        self.queues[at]
            .send(Job::Batch(envelope))
            .await
            .map_err(|_| anyhow::anyhow!("worker {at} has ended"))
    }

    /// The barrier: every batch dispatched before is in the parts, none after.
    pub async fn cut(&mut self) -> anyhow::Result<Vec<Part>> {
        let mut answers = Vec::with_capacity(self.queues.len());
        for queue in &self.queues {
            let (answer, part) = oneshot::channel();
            queue
                .send(Job::Cut(answer))
                .await
                .map_err(|_| anyhow::anyhow!("a worker has ended"))?;
            answers.push(part);
        }
        let mut parts = Vec::with_capacity(answers.len());
        for answer in answers {
            parts.push(answer.await.context("a worker ended before the epoch")?);
        }
        Ok(parts)
    }

    /// Lets the threads end and waits for them.
    pub fn stop(self) {
        drop(self.queues);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    generation: u64,
    streams: HashMap<LogType, Stream>,
    parser: Parser,
    part: Part,
    alerts: Vec<Alert>,
    /// The newest event stored of the batch in hand.
    newest: Timestamp,
    /// Bytes of this worker's open part already counted in `Shared::buffered_bytes`.
    counted: usize,
    /// Of the rows in `part`.
    set_aside_bytes: usize,
    extra_bytes: usize,
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            generation: shared.detection.load().generation,
            shared,
            streams: HashMap::new(),
            parser: Parser::default(),
            part: Part::default(),
            alerts: Vec::new(),
            newest: Timestamp(i64::MIN),
            counted: 0,
            set_aside_bytes: 0,
            extra_bytes: 0,
        }
    }

    fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Batch(envelope) => {
                    if let Err(e) = self.batch(&envelope.batch) {
                        // The batch is in no part, so it is never acknowledged and comes again.
                        tracing::error!("worker stops: {e:#}");
                        return;
                    }
                }
                Job::Cut(answer) => {
                    let part = self.cut();
                    if answer.send(part).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn batch(&mut self, batch: &Batch) -> anyhow::Result<()> {
        self.follow_reload();
        self.newest = Timestamp(i64::MIN);
        let mut lateness = Lateness::default();
        let mut outcome = SpanOutcome {
            span: batch.span.clone(),
            received: batch.received(),
            stored: 0,
            duplicates: 0,
            dead: 0,
            dropped: 0,
        };
        for record in &batch.records {
            match self.record(batch, record) {
                Ok(Verdict::Stored(mapped)) => {
                    outcome.stored += 1;
                    self.newest = self.newest.max(mapped.event_time);
                    lateness.add(batch.received_at.0.saturating_sub(mapped.event_time.0));
                }
                Ok(Verdict::Duplicate) => outcome.duplicates += 1,
                Err(reject) => {
                    outcome.dead += 1;
                    self.bury(dead_letter(batch, record, reject));
                }
            }
        }
        if outcome.stored + outcome.duplicates > 0 && !is_past(batch) {
            let source = &batch.span.key.source;
            self.shared.seen.arrived(source, batch.received_at, self.newest, &lateness);
        }
        for reject in &batch.rejects {
            outcome.dead += 1;
            self.bury(reject.clone());
        }
        self.send_alerts()?;
        self.correlate(batch)?;
        self.part.redriven.extend_from_slice(&batch.redrives);
        self.part.spans.push(outcome);
        self.shared.records.fetch_add(batch.received(), Ordering::Relaxed);
        self.count_bytes();
        self.parser.trim();
        Ok(())
    }

    /// Takes one record. A panic in here is a bug of ours and costs this record a dead letter, not
    /// the process.
    fn record(&mut self, batch: &Batch, record: &Record) -> Result<Verdict, Reject> {
        let Self { shared, streams, parser, alerts, .. } = self;
        if !streams.contains_key(&batch.log_type) {
            let detection = shared.detection.load();
            let compiled =
                detection.compile(&batch.log_type, Engine::Fast).ok_or_else(|| Reject {
                    stage: Stage::Map,
                    reason: format!("there is no log type `{}`", batch.log_type),
                })?;
            streams.insert(batch.log_type.clone(), Stream::new(compiled));
        }
        let Some(stream) = streams.get_mut(&batch.log_type) else {
            unreachable!("inserted above");
        };
        let bytes = &batch.bytes[record.range.clone()];
        let header = record.header.clone().map(|range| &batch.bytes[range]);
        let origin = Origin {
            key: batch.origin(),
            at: record.at,
            index: record.index,
            name: record.name.as_deref(),
            now: batch.received_at,
            late_after_ns: if is_past(batch) { i64::MAX } else { shared.late_after_ns },
        };
        let mut seen = |uid| shared.window.seen(uid, batch.received_at);
        let mut stored = None;
        let taken = catch_unwind(AssertUnwindSafe(|| {
            let verdict = stream.take(parser, bytes, header, &origin, &mut seen)?;
            if let Verdict::Stored(mapped) = verdict {
                stored = Some(verdict);
                after_stored(shared, stream, &origin, mapped, alerts);
            }
            Ok(verdict)
        }));
        taken.unwrap_or_else(|_| {
            tracing::error!(log_type = %batch.log_type, at = record.at, "a record made us panic");
            *parser = Parser::default();
            match stored {
                // The row is complete; what failed is telling about it.
                Some(verdict) => Ok(verdict),
                None => {
                    stream.rows.abandon_row();
                    let reason = "internal error while storing this record".to_owned();
                    Err(Reject { stage: Stage::Store, reason })
                }
            }
        })
    }

    /// Tells the correlations what the batch has brought. What they find is durable before the batch
    /// counts as done.
    fn correlate(&mut self, batch: &Batch) -> anyhow::Result<()> {
        let Self { shared, streams, newest, .. } = self;
        if is_past(batch) {
            streams.values_mut().for_each(|stream| stream.observations.clear());
            return Ok(());
        }
        let Some(stream) = streams.get_mut(&batch.log_type) else {
            return shared.correlations.batch(shared, &batch.span, *newest, &[], &[]);
        };
        let plans = stream.compiled.group.feeds().plans();
        let observed = &stream.observations;
        shared.correlations.batch(shared, &batch.span, *newest, plans, observed)?;
        stream.observations.clear();
        Ok(())
    }

    fn bury(&mut self, letter: DeadLetter) {
        self.extra_bytes += letter.bytes.len() + letter.reason.len() + 200;
        self.part.dead_letters.push(letter);
    }

    /// Makes the batch's alerts durable before the batch counts as done.
    fn send_alerts(&mut self) -> anyhow::Result<()> {
        if self.alerts.is_empty() {
            return Ok(());
        }
        self.shared.make_durable(&self.alerts)?;
        self.extra_bytes += self.alerts.len() * 2_048;
        self.part.alerts.append(&mut self.alerts);
        Ok(())
    }

    /// Sets full chunks aside and tells everybody how much this worker holds.
    fn count_bytes(&mut self) {
        let mut open = 0;
        for stream in self.streams.values_mut() {
            let used = stream.rows.used_bytes();
            if used < CHUNK_BYTES {
                open += used;
            } else {
                self.set_aside_bytes += used;
                self.part.tables.extend(stream.cut(&self.shared.spare));
            }
        }
        let have = open + self.set_aside_bytes + self.extra_bytes;
        if have >= self.counted {
            self.shared.buffered_bytes.fetch_add(have - self.counted, Ordering::Relaxed);
        }
        self.counted = self.counted.max(have);
    }

    fn cut(&mut self) -> Part {
        let rest = self.streams.values_mut().filter_map(|s| s.cut(&self.shared.spare));
        self.part.tables.extend(rest);
        self.shared.buffered_bytes.fetch_sub(self.counted, Ordering::Relaxed);
        self.counted = 0;
        self.set_aside_bytes = 0;
        self.extra_bytes = 0;
        std::mem::take(&mut self.part)
    }

    /// After a reload the streams are compiled anew; rows of the open epoch are kept.
    fn follow_reload(&mut self) {
        let generation = self.shared.detection.load().generation;
        if generation != self.generation {
            self.generation = generation;
            for stream in self.streams.values_mut() {
                self.set_aside_bytes += stream.rows.used_bytes();
                self.part.tables.extend(stream.cut(&self.shared.spare));
            }
            self.streams.clear();
        }
    }
}

fn dead_letter(batch: &Batch, record: &Record, reject: Reject) -> DeadLetter {
    let (key, at) = batch.place(record);
    DeadLetter {
        key,
        at,
        index: record.index,
        log_type: batch.log_type.clone(),
        stage: reject.stage,
        reason: reject.reason,
        bytes: batch.record(record),
        received_at: batch.received_at,
    }
}

/// Raises alerts for the matches of the row just stored, and shows it to whoever watches.
fn after_stored(
    shared: &Shared,
    stream: &Stream,
    origin: &Origin<'_>,
    mapped: Mapped,
    alerts: &mut Vec<Alert>,
) {
    let row = stream.rows.len() - 1;
    shared.tap.event(stream.compiled.mapping.log_type().as_str(), || {
        serde_json::Value::from(stream.rows.json(row)).to_string()
    });
    for hit in stream.hits.iter().filter(|hit| stream.compiled.group.alerts(**hit)) {
        let rule = stream.compiled.group.rule(*hit);
        let alert = alert(stream, origin, mapped, &rule.info, row);
        shared.tap.matched(&alert.log_type, &alert.rule.id, &alert.rule.title, || {
            serde_json::to_string(&alert).unwrap_or_default()
        });
        alerts.push(alert);
    }
}

/// What the match of a rule with a row tells.
pub(crate) fn alert(
    stream: &Stream,
    origin: &Origin<'_>,
    mapped: Mapped,
    rule: &event::alert::RuleInfo,
    row: usize,
) -> Alert {
    let log_type = stream.compiled.mapping.log_type();
    let mut event = stream.rows.json(row);
    event.retain(|name, _| normalize::columns::index_of(name).is_some());
    let event_uid = match event.get("event_uid") {
        Some(serde_json::Value::String(uid)) => uid.clone(),
        _ => mapped.uid.to_string(),
    };
    let detected_at = super::now();
    let hour_of = if mapped.late { origin.now } else { mapped.event_time };
    Alert {
        alert_id: AlertId::of_event(&rule.id, &event_uid),
        facts: enrich::facts(&FactsInput {
            rule,
            log_type: log_type.as_str(),
            event_time: mapped.event_time,
            detected_at,
            event: &event,
            correlated: None,
            replayed: false,
        }),
        rule: rule.clone(),
        source: origin.key.source.to_string(),
        log_type: log_type.to_string(),
        event_uid,
        event_time: mapped.event_time,
        detected_at,
        lake_partition: lake_partition(log_type, hour_of),
        event,
        dedup_key: String::new(),
        correlated: None,
        replayed: false,
    }
}

/// The lake folder of a time, `aws_cloudtrail/dt=2026-03-01/hr=09`.
pub(super) fn lake_partition(log_type: &LogType, time: Timestamp) -> String {
    let (y, m, d, h, ..) = time.civil();
    format!("{}/dt={y:04}-{m:02}-{d:02}/hr={h:02}", log_type.table())
}
