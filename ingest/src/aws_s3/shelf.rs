//! Objects of a store: each is read to its end once, however often it is announced or listed.
//!
//! All objects of a source are one partition, whose positions count the pieces in which they are handed over.
//! With a piece commits how far its object was read, and with the last piece that it was: so a restart goes on
//! in the middle of an object, and an object that is announced again is recognised for as long as it is
//! remembered. Records stand at positions of their own object ([`event::Batch::origin`]), so that two that are
//! read in another order after a crash are still the same records.
//!
//! The identity of an object is its place and what the store says of its content (ETag). An object that is
//! written again with other content is another object, and is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use event::{Batch, LogType, PartitionKey, Span};
use serde::{Deserialize, Serialize};

use crate::assembler::now;
use crate::framing::{Checkpoint, Frames};
use crate::ledger::{Ledger, LedgerError};
use crate::poll::kept::Kept;
use crate::poll::seen::{ChunkText, Id, Seen, id_of};
use crate::source::Resume;

/// The partition that counts pieces.
pub(super) const PARTITION: &str = "objects";
/// A chunk of identities is closed at this age.
const CHUNK_MS: i64 = 3_600_000;

/// One object with one content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    /// `s3://bucket/key`
    pub url: String,
    /// What the store says of the content.
    pub etag: String,
}

impl Object {
    pub fn id(&self) -> Id {
        id_of([self.url.as_bytes(), self.etag.as_bytes()])
    }

    /// Unique for one content, readable for people.
    pub fn origin(&self) -> Arc<str> {
        format!("{}#{}", self.url, self.etag.trim_matches('"')).into()
    }
}

/// How far an object was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Bytes, decompressed.
    pub at: u64,
    pub framing: Checkpoint,
    /// When that was, in milliseconds since 1970: an object that is never read on is forgotten one day.
    ms: i64,
}

impl Mark {
    pub fn new(at: u64, framing: Checkpoint) -> Self {
        Self { at, framing, ms: 0 }
    }
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    New,
    /// Read to there.
    Begun(Mark),
    /// Read to its end.
    Done,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    seen: ChunkText,
    /// By identity, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    begun: BTreeMap<String, Mark>,
    /// What the source keeps beside, such as when it last listed everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    also: Option<String>,
}

/// Which objects were read, how far, and the spans that say so.
#[derive(Debug)]
pub(super) struct Shelf {
    source: Arc<str>,
    partition: Arc<str>,
    log_type: LogType,
    seen: Kept,
    begun: BTreeMap<String, Mark>,
    also: Option<String>,
    ledger: Ledger,
}

impl Shelf {
    /// As the lake has it; remembers at most `seen_max` objects. A state that cannot be read is an error in
    /// words.
    pub fn open(
        source: &Arc<str>,
        log_type: &LogType,
        seen_max: usize,
        resume: &HashMap<Arc<str>, Resume>,
    ) -> Result<Self, String> {
        let own = resume.get(PARTITION);
        let text = own.and_then(|resume| resume.state.as_deref());
        let state: Option<State> = text
            .map(serde_json::from_str)
            .transpose()
            .map_err(|e| format!("the state of {PARTITION} cannot be read ({e})"))?;
        let is_new = state.is_none();
        let State { seen, begun, also } = state.unwrap_or_default();
        let set = Seen::new(seen_max, CHUNK_MS);
        Ok(Self {
            source: source.clone(),
            partition: PARTITION.into(),
            log_type: log_type.clone(),
            seen: Kept::open(PARTITION, set, (!is_new).then_some(seen), resume),
            begun,
            also,
            ledger: Ledger::new(own.map_or(0, |resume| resume.upto)),
        })
    }

    /// Objects that are remembered.
    pub fn remembered(&self) -> usize {
        self.seen.set().len()
    }

    /// What [`Shelf::note`] said last.
    pub fn also(&self) -> Option<&str> {
        self.also.as_deref()
    }

    /// Handed over up to here.
    pub fn upto(&self) -> u64 {
        self.ledger.emitted()
    }

    pub fn standing(&self, id: &Id) -> Standing {
        if self.seen.set().contains(id) {
            return Standing::Done;
        }
        self.begun.get(&hex(id)).cloned().map_or(Standing::New, Standing::Begun)
    }

    /// Forgets what was read before that time. Say less than can still be announced or listed.
    pub fn forget_before(&mut self, ms: i64) {
        self.seen.forget_before(ms);
        self.begun.retain(|_, mark| mark.ms >= ms);
    }

    /// A piece of an object: what is to be sent, in this order. `mark` is where the next piece begins, `None`
    /// when there is no other.
    pub fn piece(
        &mut self,
        object: &Object,
        piece: Batch,
        mark: Option<Mark>,
        now_ms: i64,
    ) -> Result<Vec<Batch>, LedgerError> {
        match mark {
            Some(mark) => drop(self.begun.insert(hex(&object.id()), Mark { ms: now_ms, ..mark })),
            None => {
                self.begun.remove(&hex(&object.id()));
                self.seen.insert(object.id(), now_ms);
            }
        }
        let origin = PartitionKey { source: self.source.clone(), partition: object.origin() };
        let mut out = self.closed();
        let span = self.next_span()?;
        let rejects = piece.rejects.into_iter();
        let rejects = rejects.map(|reject| event::DeadLetter { key: origin.clone(), ..reject });
        out.push(Batch {
            span,
            rejects: rejects.collect(),
            origin: Some(Box::new(origin)),
            ..piece
        });
        Ok(out)
    }

    /// Something that is no object, such as an announcement that nobody understands: kept as a dead letter.
    pub fn reject(&mut self, reason: String, bytes: Vec<u8>) -> Result<Vec<Batch>, LedgerError> {
        let mut frames = Frames::default();
        frames.reject(self.upto(), 0, reason, bytes);
        let mut out = self.closed();
        let span = self.next_span()?;
        out.push(frames.take(span, &self.log_type, now()));
        Ok(out)
    }

    /// A word that commits by itself and comes back as [`Shelf::also`].
    pub fn note(&mut self, also: String) -> Result<Vec<Batch>, LedgerError> {
        self.also = Some(also);
        let mut out = self.closed();
        let span = self.next_span()?;
        out.push(Frames::default().take(span, &self.log_type, now()));
        Ok(out)
    }

    fn closed(&mut self) -> Vec<Batch> {
        let spans = self.seen.closed().into_iter().map(|(partition, after, upto, state)| Span {
            key: PartitionKey { source: self.source.clone(), partition },
            after,
            upto,
            state: Some(state.into()),
        });
        spans.map(|span| Frames::default().take(span, &self.log_type, now())).collect()
    }

    fn next_span(&mut self) -> Result<Span, LedgerError> {
        let state = State {
            seen: self.seen.open_text(),
            begun: self.begun.clone(),
            also: self.also.clone(),
        };
        let state = serde_json::to_string(&state).unwrap_or_default();
        let key = PartitionKey { source: self.source.clone(), partition: self.partition.clone() };
        let after = self.ledger.emitted();
        let span = Span { key, after, upto: after + 1, state: Some(state.into()) };
        self.ledger.emit(&span)?;
        Ok(span)
    }

    /// Notes finished spans; up to which position everything is in the lake.
    pub fn finish(&mut self, spans: &[Span]) -> u64 {
        for span in spans.iter().filter(|span| span.key.partition == self.partition) {
            if let Err(error) = self.ledger.finish(span) {
                tracing::error!(%error, "a finished span does not fit");
            }
        }
        self.ledger.position()
    }
}

fn hex(id: &Id) -> String {
    event::Uid(*id).to_string()
}

#[cfg(test)]
mod tests;
