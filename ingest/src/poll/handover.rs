//! From fresh records to what is emitted: pieces of bounded size, each with the state that commits with it.
//!
//! The state of a piece holds the cursor and the open chunk of the seen-set with the ids of that very piece
//! in it, so records and the memory of them are durable together or not at all. Chunks that were closed go
//! before it, each as the state of its own partition. Every span moves its position, also one that carries
//! only a state: two spans of one place would have no order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::kept::Kept;
use super::page::Record;
use super::seen::{ChunkText, Id, Seen};
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
            None => self.records.push(record.bytes),
            Some(reason) => self.rejects.push((reason, record.bytes)),
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
            piece.ids.push(record.id);
            piece.push(record, self.record_bytes_max);
        }
        piece.ids.extend(also);
        self.stated = cursor.clone();
        self.emit(piece, seen_ms, &mut out);
        out
    }

    fn emit(&mut self, piece: Piece, seen_ms: i64, out: &mut Vec<Emission>) {
        for id in piece.ids {
            self.seen.insert(id, seen_ms);
        }
        for closed in self.seen.closed() {
            let (partition, after, upto, state) = closed;
            let (records, rejects) = Default::default();
            out.push(Emission { partition, after, upto, state, records, rejects });
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
