//! One partition's stream of bytes on its way to batches: framing, spans, and when to hand over.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event::{Batch, LogType, PartitionKey, Span, Timestamp};

use crate::framing::{Checkpoint, Framer, Frames, Options};
use crate::meter::Meter;

/// A batch waits no longer than this for more.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// Now, by the clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[derive(Debug)]
pub(crate) struct Assembler {
    key: PartitionKey,
    log_type: LogType,
    framer: Framer,
    frames: Frames,
    /// Handed over up to here.
    after: u64,
    /// When the oldest record that waits came.
    since: Option<Instant>,
    meter: Meter,
}

impl Assembler {
    /// Of a stream that begins at `position`, with the checkpoint taken there.
    pub fn new(
        key: PartitionKey,
        log_type: &LogType,
        options: &Options,
        resume: Option<(u64, &Checkpoint)>,
        meter: Meter,
    ) -> Self {
        let framer = match resume {
            Some((position, checkpoint)) => Framer::resume(options, position, checkpoint),
            None => Framer::new(options),
        };
        let after = framer.position();
        let frames = Frames::default();
        Self { key, log_type: log_type.clone(), framer, frames, after, since: None, meter }
    }

    pub fn partition(&self) -> &Arc<str> {
        &self.key.partition
    }

    pub fn position(&self) -> u64 {
        self.framer.position()
    }

    pub fn checkpoint(&self) -> Checkpoint {
        self.framer.checkpoint()
    }

    /// Takes bytes; how many. When [`Assembler::is_full`] comes first, take the batch and push on.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let used = self.framer.push(bytes, &mut self.frames);
        if self.has_news() && self.since.is_none() {
            self.since = Some(Instant::now());
        }
        used
    }

    /// The stream has ended. False: take the batch and call again.
    pub fn finish(&mut self, broken: Option<&str>) -> bool {
        self.framer.finish(&mut self.frames, broken)
    }

    pub fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// Something waits to be handed over.
    pub fn has_news(&self) -> bool {
        !self.frames.is_empty() || self.framer.position() > self.after
    }

    /// What waits has waited long enough.
    pub fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= LINGER)
    }

    /// The batch up to the current position.
    pub fn take(&mut self, state: Option<Arc<str>>) -> Batch {
        let span =
            Span { key: self.key.clone(), after: self.after, upto: self.framer.position(), state };
        self.after = span.upto;
        self.since = None;
        let batch = self.frames.take(span, &self.log_type, now());
        self.meter.batch(&batch);
        batch
    }
}
