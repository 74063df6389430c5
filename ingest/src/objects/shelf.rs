//! Which objects are known: those that are being read or may grow, each in a slot, and those that were read to
//! their end, by name and version.
//!
//! No I/O. What a span commits is the state that it carries: a slot's card, or the ids. Ids are handed over
//! before the slot of their object is used again, so at no moment is an object in neither.

use std::collections::HashMap;
use std::sync::Arc;

use event::{PartitionKey, Span};
use serde::{Deserialize, Serialize};

use crate::file::identity::Tail;
use crate::framing::Checkpoint;
use crate::ledger::{Ledger, LedgerError};
use crate::poll::kept::Kept;
use crate::poll::seen::{ChunkText, Id, Seen, id_of};
use crate::source::Resume;

/// The partition that remembers what was read, and holds what is no notification.
pub(crate) const MEMORY: &str = "objects";
/// Slots that wait for their ids to be handed over; then they are handed over at once.
const SPENT_MAX: usize = 16;
const CHUNK_MS: i64 = 3_600_000;

/// How far an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Open,
    /// To the end of this version.
    Read,
    /// It has not grown for so long that what was open at its end was handed over.
    Closed,
}

/// What is known of an object; the state of its slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Card {
    pub key: String,
    pub version: String,
    pub size: u64,
    /// The slot's position at which the object begins.
    pub base: u64,
    pub stage: Stage,
    /// When the object last changed, milliseconds since 1970.
    pub changed_ms: i64,
    /// It is `{"records":[…]}`, whose end is written anew when it grows.
    #[serde(default)]
    pub is_envelope: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framing: Option<Checkpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

/// An object as the store tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub key: String,
    pub version: String,
    pub size: u64,
    pub changed_ms: i64,
    /// It may be written on.
    pub grows: bool,
}

/// A position whose finish is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Slot(usize, u64),
    Memory(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It was read, or is being committed at this place.
    Known(Option<Place>),
    /// It grew after it was taken to be complete and forgotten: the rest cannot be told from the beginning.
    Late,
    /// To be read, in this slot.
    Read(usize),
}

#[derive(Debug)]
struct Slot {
    partition: Arc<str>,
    ledger: Ledger,
    card: Option<Card>,
}

#[derive(Debug)]
pub(super) struct Shelf {
    source: Arc<str>,
    slots: Vec<Slot>,
    by_key: HashMap<String, usize>,
    free: Vec<usize>,
    /// Their ids are remembered but not yet handed over.
    spent: Vec<usize>,
    seen: Kept,
    memory: Ledger,
}

#[derive(Serialize, Deserialize)]
struct Memory {
    seen: ChunkText,
}

fn id(key: &str, version: &str) -> Id {
    id_of([key.as_bytes(), version.as_bytes()])
}

/// Stands for the version of an object that grew.
const GROWN: &str = "grown";

impl Shelf {
    /// As the lake has it. A state that cannot be read is an error in words.
    pub fn open(
        source: &Arc<str>,
        seen_max: usize,
        resume: &HashMap<Arc<str>, Resume>,
    ) -> Result<Self, String> {
        let own = resume.get(MEMORY);
        let told = |name: &str, e| format!("the state of {name} cannot be read ({e})");
        let text = own.and_then(|resume| resume.state.as_deref());
        let memory: Option<Memory> =
            text.map(serde_json::from_str).transpose().map_err(|e| told(MEMORY, e))?;
        let seen = Seen::new(seen_max, CHUNK_MS);
        let mut shelf = Self {
            source: source.clone(),
            slots: Vec::new(),
            by_key: HashMap::new(),
            free: Vec::new(),
            spent: Vec::new(),
            seen: Kept::open(MEMORY, seen, memory.map(|memory| memory.seen), resume),
            memory: Ledger::new(own.map_or(0, |resume| resume.upto)),
        };
        let number = |name: &Arc<str>| name.strip_prefix("slot/")?.parse::<usize>().ok();
        let count = resume.keys().filter_map(number).max().map_or(0, |last| last + 1);
        for at in 0..count.min(1 << 20) {
            let partition: Arc<str> = format!("slot/{at}").into();
            let resume = resume.get(&partition).cloned().unwrap_or_default();
            let card: Option<Card> = resume
                .state
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(|e| told(&partition, e))?;
            match &card {
                Some(card) => drop(shelf.by_key.insert(card.key.clone(), at)),
                None => shelf.free.push(at),
            }
            shelf.slots.push(Slot { partition, ledger: Ledger::new(resume.upto), card });
        }
        Ok(shelf)
    }

    /// Objects that are remembered.
    pub fn remembered(&self) -> usize {
        self.seen.set().len()
    }

    /// This version was read to its end, and is in no slot.
    pub fn is_done(&self, key: &str, version: &str) -> bool {
        self.seen.set().contains(&id(key, version))
    }

    /// What is to be done with an object.
    pub fn judge(&mut self, found: &Found) -> Judged {
        if let Some(&at) = self.by_key.get(&found.key) {
            return self.judge_held(at, found);
        }
        if self.is_done(&found.key, &found.version) {
            return Judged::Known(None);
        }
        if found.grows && self.seen.set().contains(&id(&found.key, GROWN)) {
            return Judged::Late;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            let partition = format!("slot/{}", self.slots.len()).into();
            self.slots.push(Slot { partition, ledger: Ledger::new(0), card: None });
            self.slots.len() - 1
        });
        self.begin(at, found);
        Judged::Read(at)
    }

    fn judge_held(&mut self, at: usize, found: &Found) -> Judged {
        let slot = &mut self.slots[at];
        let emitted = slot.ledger.emitted();
        let Some(card) = &mut slot.card else { return Judged::Read(at) };
        if card.version == found.version {
            return match card.stage {
                Stage::Open => Judged::Read(at),
                Stage::Read | Stage::Closed => Judged::Known(Some(Place::Slot(at, emitted))),
            };
        }
        if !found.grows || found.size < emitted - card.base {
            // Another object of the same name, or one that began anew.
            self.begin(at, found);
        }
        Judged::Read(at)
    }

    /// The object is read from its beginning, whatever the slot had of it.
    pub fn begin(&mut self, at: usize, found: &Found) {
        let slot = &mut self.slots[at];
        slot.card = Some(Card {
            key: found.key.clone(),
            version: found.version.clone(),
            size: found.size,
            base: slot.ledger.emitted(),
            stage: Stage::Open,
            changed_ms: found.changed_ms,
            is_envelope: false,
            framing: None,
            tail: None,
        });
        self.by_key.insert(found.key.clone(), at);
    }

    /// The card of a slot that is being read, and how much of the object was handed over.
    pub fn card(&self, at: usize) -> Option<(Card, u64)> {
        let slot = &self.slots[at];
        let card = slot.card.clone()?;
        let read = slot.ledger.emitted() - card.base;
        Some((card, read))
    }

    /// The span that ends at `read` of the slot's object, with this card from now on.
    pub fn span(&mut self, at: usize, card: Card, read: u64) -> Result<Span, LedgerError> {
        let state = serde_json::to_string(&card).unwrap_or_default();
        let slot = &mut self.slots[at];
        let key = PartitionKey { source: self.source.clone(), partition: slot.partition.clone() };
        let (after, upto) = (slot.ledger.emitted(), card.base + read);
        let span = Span { key, after, upto, state: Some(state.into()) };
        slot.ledger.emit(&span)?;
        slot.card = Some(card);
        Ok(span)
    }

    /// Notes a card without handing anything over.
    pub fn note(&mut self, at: usize, card: Card) {
        self.slots[at].card = Some(card);
    }

    pub fn place(&self, at: usize) -> Place {
        Place::Slot(at, self.slots[at].ledger.emitted())
    }

    /// The slot's object was read for good. True: the memory is to be handed over now.
    pub fn retire(&mut self, at: usize, grew: bool, now_ms: i64) -> bool {
        if let Some(card) = self.slots[at].card.take() {
            self.by_key.remove(&card.key);
            let version = if grew { GROWN } else { &card.version };
            self.seen.insert(id(&card.key, version), now_ms);
            self.spent.push(at);
        }
        self.spent.len() >= SPENT_MAX
    }

    /// Cards that have a version read or closed, with their slots.
    pub fn cards(&self) -> Vec<(usize, Card)> {
        let cards = self.slots.iter().enumerate();
        cards.filter_map(|(at, slot)| Some((at, slot.card.clone()?))).collect()
    }

    /// Whether there is something to be remembered.
    pub fn has_news(&self) -> bool {
        !self.spent.is_empty()
    }

    /// Forgets what was read before this time.
    pub fn forget_before(&mut self, ms: i64) {
        self.seen.forget_before(ms);
    }

    /// Spans of the memory, in the order in which they are to be sent. The last one has room for `records`.
    pub fn memory(&mut self, records: u64) -> Result<Vec<Span>, LedgerError> {
        let span = |source: &Arc<str>, partition, after, upto, state: String| {
            let key = PartitionKey { source: source.clone(), partition };
            Span { key, after, upto, state: Some(state.into()) }
        };
        let closed = self.seen.closed().into_iter();
        let mut out: Vec<Span> = closed
            .map(|(p, after, upto, state)| span(&self.source, p, after, upto, state))
            .collect();
        let state = Memory { seen: self.seen.open_text() };
        let state = serde_json::to_string(&state).unwrap_or_default();
        let after = self.memory.emitted();
        let own = span(&self.source, MEMORY.into(), after, after + records + 1, state);
        self.memory.emit(&own)?;
        out.push(own);
        self.free.append(&mut self.spent);
        Ok(out)
    }

    pub fn memory_place(&self) -> Place {
        Place::Memory(self.memory.emitted())
    }

    /// Notes finished spans.
    pub fn finish(&mut self, spans: &[Span]) {
        for span in spans {
            let partition = &span.key.partition;
            let number = partition.strip_prefix("slot/").and_then(|n| n.parse::<usize>().ok());
            let ledger = match number {
                Some(at) => self.slots.get_mut(at).map(|slot| &mut slot.ledger),
                None => (**partition == *MEMORY).then_some(&mut self.memory),
            };
            if let Some(Err(error)) = ledger.map(|ledger| ledger.finish(span)) {
                tracing::error!(%error, "a finished span does not fit");
            }
        }
    }

    pub fn is_finished(&self, place: Place) -> bool {
        match place {
            Place::Slot(at, upto) => self.slots[at].ledger.position() >= upto,
            Place::Memory(upto) => self.memory.position() >= upto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(key: &str, version: &str, grows: bool) -> Found {
        let (key, version) = (key.to_owned(), version.to_owned());
        Found { key, version, size: 100, changed_ms: 0, grows }
    }

    /// What is durable.
    fn commit(resume: &mut HashMap<Arc<str>, Resume>, spans: Vec<Span>) {
        for span in spans {
            let state = span.state;
            resume.insert(span.key.partition, Resume { upto: span.upto, state });
        }
    }

    fn open(resume: &HashMap<Arc<str>, Resume>) -> Shelf {
        Shelf::open(&"s".into(), 1 << 16, resume).unwrap()
    }

    #[test]
    fn an_object_is_known_at_every_moment_from_its_last_span_on() {
        let (mut shelf, mut resume) = (open(&HashMap::new()), HashMap::new());
        let object = found("a", "1", false);
        let Judged::Read(at) = shelf.judge(&object) else { panic!() };
        let (card, read) = shelf.card(at).unwrap();
        assert_eq!(read, 0);
        let half = shelf.span(at, card.clone(), 50).unwrap();
        commit(&mut resume, vec![half.clone()]);
        let mut again = open(&resume);
        assert_eq!(again.judge(&object), Judged::Read(at), "goes on in the middle");
        assert_eq!(again.card(at).unwrap().1, 50);
        let whole = shelf.span(at, Card { stage: Stage::Read, ..card }, 101).unwrap();
        commit(&mut resume, vec![whole.clone()]);
        let place = shelf.place(at);
        assert_eq!(open(&resume).judge(&object), Judged::Known(Some(place)));
        assert!(!shelf.retire(at, false, 0) && shelf.has_news());
        commit(&mut resume, shelf.memory(0).unwrap());
        let Judged::Read(other) = shelf.judge(&found("b", "1", false)) else { panic!() };
        assert_eq!(other, at, "the slot is used again");
        let (card, _) = shelf.card(other).unwrap();
        assert_eq!(card.base, 101);
        commit(&mut resume, vec![shelf.span(other, card, 10).unwrap()]);
        let mut again = open(&resume);
        assert_eq!(again.judge(&object), Judged::Known(None));
        assert!(matches!(again.judge(&found("a", "2", false)), Judged::Read(_)), "written anew");
        assert!(!shelf.is_finished(place));
        shelf.finish(&[half, whole]);
        assert!(shelf.is_finished(place));
    }

    #[test]
    fn what_grows_is_read_on_and_what_shrank_begins_anew() {
        let mut shelf = open(&HashMap::new());
        let Judged::Read(at) = shelf.judge(&found("g", "1", true)) else { panic!() };
        let (card, _) = shelf.card(at).unwrap();
        shelf.span(at, Card { stage: Stage::Read, ..card }, 100).unwrap();
        assert!(matches!(shelf.judge(&found("g", "1", true)), Judged::Known(Some(_))));
        let grown = Found { size: 150, ..found("g", "2", true) };
        assert_eq!(shelf.judge(&grown), Judged::Read(at));
        assert_eq!(shelf.card(at).unwrap().1, 100);
        let shrunk = Found { size: 20, ..found("g", "3", true) };
        assert_eq!(shelf.judge(&shrunk), Judged::Read(at));
        assert_eq!(shelf.card(at).unwrap().1, 0);
        shelf.retire(at, true, 0);
        assert_eq!(shelf.judge(&grown), Judged::Late);
    }
}
