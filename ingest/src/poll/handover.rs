//! From fresh records to what is emitted: pieces of bounded size, each with the state that commits with it.
//!
//! The state of a piece holds the cursor and the open chunk of the seen-set with the ids of that very piece
//! in it, so records and the memory of them are durable together or not at all. Chunks that were closed go
//! before it, each as the state of its own partition. Every span moves its position, also one that carries
//! only a state: two spans of one place would have no order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use event::{Batch, LogType, PartitionKey, Span};
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::kept::Kept;
use super::page::Record;
use super::seen::{ChunkText, Id, Seen};
use crate::assembler::now;
use crate::framing::Frames;
use crate::source::Resume;

/// A piece holds no more than this, except for one long record.
const PIECE_BYTES_MAX: usize = 1 << 20;
const PIECE_RECORDS_MAX: usize = 1_000;

/// A span to be sent, with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    pub partition: Arc<str>,
    pub after: u64,
    pub upto: u64,
    pub state: String,
    pub records: Vec<Vec<u8>>,
    /// Reasons and bytes.
    pub rejects: Vec<(String, Vec<u8>)>,
    /// Of the records, then of the rejects.
    pub ids: Vec<Id>,
}

impl Emission {
    /// As the pipeline takes it. After a crash the vendor may give records in another order, with others between
    /// them: each is named by the id that it is remembered by.
    pub fn batch(self, source: &Arc<str>, log_type: &LogType, frames: &mut Frames) -> Batch {
        let name = |id: &Id| format!("{}/{:032x}", self.partition, u128::from_be_bytes(*id)).into();
        let records = self.records.len();
        for (at, (id, bytes)) in (self.after..).zip(self.ids.iter().zip(self.records)) {
            frames.name(name(id));
            frames.record(at, 0, &bytes);
        }
        let rejected = self.ids.iter().skip(records).zip(self.rejects);
        for (at, (id, (reason, bytes))) in (self.after + records as u64..).zip(rejected) {
            frames.name(name(id));
            frames.reject(at, 0, reason, bytes);
        }
        let key = PartitionKey { source: source.clone(), partition: self.partition.clone() };
        let state = Some(self.state.into());
        let span = Span { key, after: self.after, upto: self.upto, state };
        frames.take(span, log_type, now())
    }
}

/// The state of a partition as text.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    cursor: Cursor,
    seen: ChunkText,
}

/// Positions and the seen-set of one partition.
#[derive(Debug)]
pub struct Handover {
    partition: Arc<str>,
    upto: u64,
    seen: Kept,
    /// The cursor as it was last handed over.
    stated: Cursor,
    record_bytes_max: usize,
}

/// What one span will hold.
#[derive(Debug, Default)]
struct Piece {
    ids: Vec<Id>,
    records: Vec<Vec<u8>>,
    refused: Vec<Id>,
    rejects: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Piece {
    fn is_full(&self, coming: usize) -> bool {
        let count = self.records.len() + self.rejects.len();
        count >= PIECE_RECORDS_MAX || (self.bytes > 0 && self.bytes + coming > PIECE_BYTES_MAX)
    }

    fn push(&mut self, record: Record, record_bytes_max: usize) {
        self.bytes += record.bytes.len();
        let is_long = record.bytes.len() > record_bytes_max;
        let too_long = || is_long.then(|| format!("record longer than {record_bytes_max} bytes"));
        match record.reject.or_else(too_long) {
            None => {
                self.ids.push(record.id);
                self.records.push(record.bytes);
            }
            Some(reason) => {
                self.refused.push(record.id);
                self.rejects.push((reason, record.bytes));
            }
        }
    }
}

impl Handover {
    /// As the lake has it, and the cursor that goes on, if there is one. A state that cannot be read is an
    /// error in words: to begin anew is for a person to decide.
    pub fn open(
        partition: &str,
        seen: Seen,
        record_bytes_max: usize,
        resume: &HashMap<Arc<str>, Resume>,
    ) -> Result<(Self, Option<Cursor>), String> {
        let own = resume.get(partition);
        let (cursor, open) = state_of(partition, own)?.map(|s| (s.cursor, s.seen)).unzip();
        let seen = Kept::open(partition, seen, open, resume);
        let upto = own.map_or(0, |resume| resume.upto);
        let stated = cursor.clone().unwrap_or_default();
        let partition = partition.into();
        Ok((Self { partition, upto, seen, stated, record_bytes_max }, cursor))
    }

    pub fn partition(&self) -> &Arc<str> {
        &self.partition
    }

    pub fn seen(&self) -> &Seen {
        self.seen.set()
    }

    /// Forgets what no cursor that may be in force after a crash can meet again, when the vendor gives
    /// `excess_ms` more than it is asked for.
    pub fn forget(&mut self, overlap_ms: i64, excess_ms: i64) {
        self.seen.forget_before(self.stated.oldest_ms(overlap_ms) - excess_ms);
    }

    /// Those that were not handed over before, each once.
    pub fn fresh(&self, records: Vec<Record>) -> Vec<Record> {
        let mut within = HashSet::new();
        let is_fresh =
            |record: &Record| !self.seen.set().contains(&record.id) && within.insert(record.id);
        records.into_iter().filter(is_fresh).collect()
    }

    /// Fresh records in pieces; at least one piece, for the state. With the last of them `also` is remembered,
    /// the id under which they were listed.
    pub fn hand_over(
        &mut self,
        records: Vec<Record>,
        also: Option<Id>,
        cursor: &Cursor,
        seen_ms: i64,
    ) -> Vec<Emission> {
        let (mut out, mut piece) = (Vec::new(), Piece::default());
        for record in records {
            if piece.is_full(record.bytes.len()) {
                self.emit(std::mem::take(&mut piece), seen_ms, &mut out);
            }
            piece.push(record, self.record_bytes_max);
        }
        self.stated = cursor.clone();
        if let Some(id) = also {
            self.seen.insert(id, seen_ms);
        }
        self.emit(piece, seen_ms, &mut out);
        out
    }

    fn emit(&mut self, piece: Piece, seen_ms: i64, out: &mut Vec<Emission>) {
        let ids = [piece.ids, piece.refused].concat();
        for id in &ids {
            self.seen.insert(*id, seen_ms);
        }
        for closed in self.seen.closed() {
            let (partition, after, upto, state) = closed;
            let (records, rejects, ids) = Default::default();
            out.push(Emission { partition, after, upto, state, records, rejects, ids });
        }
        let state = State { cursor: self.stated.clone(), seen: self.seen.open_text() };
        let after = self.upto;
        self.upto += (piece.records.len() + piece.rejects.len()) as u64 + 1;
        out.push(Emission {
            partition: self.partition.clone(),
            after,
            upto: self.upto,
            state: json(&state),
            records: piece.records,
            rejects: piece.rejects,
            ids,
        });
    }
}

fn state_of(partition: &str, own: Option<&Resume>) -> Result<Option<State>, String> {
    let told = |e| format!("the state of {partition} cannot be read ({e})");
    let text = own.and_then(|resume| resume.state.as_deref());
    text.map(|text| serde_json::from_str(text).map_err(told)).transpose()
}

/// Where a partition stands, as the lake has it.
pub fn cursor_of(partition: &str, own: Option<&Resume>) -> Result<Option<Cursor>, String> {
    Ok(state_of(partition, own)?.map(|state| state.cursor))
}

/// Of our own types, whose members are all text and numbers.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::seen::id_of;

    /// The name of every record and reject.
    fn names(of: &[(&str, bool)]) -> HashMap<String, Arc<str>> {
        let seen = Seen::new(1 << 10, 1_000);
        let (mut handover, _) = Handover::open("events", seen, 100, &HashMap::new()).unwrap();
        let record = |(text, is_good): &(&str, bool)| Record {
            bytes: text.as_bytes().to_vec(),
            id: id_of([text.as_bytes()]),
            time_ms: None,
            fetch: None,
            length: None,
            reject: (!is_good).then(|| "broken".to_owned()),
        };
        let fresh = of.iter().map(record).collect();
        let emission = handover.hand_over(fresh, None, &Cursor::default(), 0).pop().unwrap();
        let (source, log_type) = ("s".into(), LogType::from("acme.doors"));
        let batch = emission.batch(&source, &log_type, &mut Frames::default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let records = batch.records.iter();
        let records = records.map(|r| (text(&batch.record(r)), batch.place(r).0.partition));
        let rejects = batch.rejects.iter().map(|r| (text(&r.bytes), r.key.partition.clone()));
        records.chain(rejects).collect()
    }

    #[test]
    fn a_record_has_its_name_in_whatever_order_it_comes() {
        let before = names(&[("a", true), ("b", false)]);
        let after = names(&[("c", true), ("b", false), ("d", false), ("a", true)]);
        assert_eq!((&before["a"], &before["b"]), (&after["a"], &after["b"]));
        let different: HashSet<_> = after.values().collect();
        assert_eq!(different.len(), 4);
    }

    /// Every moment at which an epoch may end before a crash: what it holds is not asked for again, all else is.
    #[test]
    fn nothing_is_remembered_before_its_records_are_in_the_lake() {
        let open = |resume: &HashMap<_, _>| {
            Handover::open("events", Seen::new(1 << 14, i64::MAX), 100, resume).unwrap().0
        };
        let record = |n: usize| {
            let bytes = n.to_string().into_bytes();
            let id = id_of([&bytes[..]]);
            Record { bytes, id, time_ms: None, fetch: None, length: None, reject: None }
        };
        let (mut handover, mut resume, mut there) = (open(&HashMap::new()), HashMap::new(), 0);
        for from in (0..6_000).step_by(30) {
            let page = (from..from + 30).map(record).collect();
            let listed = Some(id_of([b"page".as_slice(), &from.to_le_bytes()]));
            for emission in handover.hand_over(page, listed, &Cursor::default(), 0) {
                let Emission { partition, upto, state, records, .. } = emission;
                there += records.len();
                resume.insert(partition, Resume { upto, state: Some(state.into()) });
                let again = open(&resume).fresh((0..from + 30).map(record).collect());
                assert_eq!(again.len(), from + 30 - there, "of {} after a crash", from + 30);
            }
        }
        assert!(resume.len() > 3, "several chunks were closed");
    }
}
