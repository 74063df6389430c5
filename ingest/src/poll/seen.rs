//! Which events were handed over already: a bounded set of 16-byte hashes that commits with the epoch.
//!
//! Ids lie in chunks by the time at which they were first seen. Only the newest chunk is open, and it
//! travels in the state of the very span that hands its events over, so neither a crash nor a redo can
//! part the two. A chunk that is full becomes the state of a partition of its own, written once. An event
//! cannot happen after it was seen, so a chunk is needed only while a window still to be asked for begins
//! before the chunk's last id was seen.
//!
//! When the set is full its oldest chunk is forgotten: what is met again is then handed over again, for
//! the lake to recognise. Nothing here can lose an event.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

/// The identity of an event within its partition.
pub type Id = [u8; 16];

/// Ids of a full chunk: 32 KiB, 44 kB as text.
const CHUNK_IDS: usize = 2_048;

/// The identity that these values make.
pub fn id_of<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Id {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// A chunk as text of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkText {
    slot: u32,
    /// When its first and last id was seen, milliseconds since 1970.
    from_ms: i64,
    upto_ms: i64,
    ids: String,
}

#[derive(Debug, Default)]
struct Chunk {
    from_ms: i64,
    upto_ms: i64,
    ids: Vec<Id>,
}

/// What has changed outside of the open chunk: the state of a slot, or that it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotChange {
    Closed(u32, ChunkText),
    Emptied(u32),
}

/// The set.
#[derive(Debug)]
pub struct Seen {
    /// By slot.
    chunks: Vec<Chunk>,
    /// Places as slot and offset in one number, found by the id's own first bytes.
    table: HashTable<u32>,
    /// Closed chunks, the oldest first.
    closed: VecDeque<u32>,
    free: Vec<u32>,
    open: u32,
    changes: Vec<SlotChange>,
    ids_max: usize,
    /// An open chunk is closed at this age, so that it can be forgotten in time.
    chunk_ms: i64,
    /// Ids that were forgotten because the set was full.
    pub forgotten: u64,
}

fn hash(id: &Id) -> u64 {
    let (first, _) = id.split_at(8);
    first.iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn place(slot: u32, offset: usize) -> u32 {
    slot * CHUNK_IDS as u32 + offset as u32
}

impl Seen {
    /// For at most `ids_max` ids (rounded up to a chunk).
    pub fn new(ids_max: usize, chunk_ms: i64) -> Self {
        Self {
            chunks: vec![Chunk::default()],
            table: HashTable::new(),
            closed: VecDeque::new(),
            free: Vec::new(),
            open: 0,
            changes: Vec::new(),
            ids_max: ids_max.clamp(CHUNK_IDS, 1 << 28),
            chunk_ms: chunk_ms.max(1),
            forgotten: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn contains(&self, id: &Id) -> bool {
        let chunks = &self.chunks;
        self.table.find(hash(id), |place| at(chunks, *place) == id).is_some()
    }

    /// Adds an id; whether it is new.
    pub fn insert(&mut self, id: Id, now_ms: i64) -> bool {
        if self.contains(&id) {
            return false;
        }
        let open = &self.chunks[self.open as usize];
        let is_old = !open.ids.is_empty() && now_ms.saturating_sub(open.from_ms) >= self.chunk_ms;
        if open.ids.len() >= CHUNK_IDS || is_old {
            self.close();
        }
        let open = &mut self.chunks[self.open as usize];
        if open.ids.is_empty() {
            (open.from_ms, open.upto_ms) = (now_ms, now_ms);
        }
        open.upto_ms = open.upto_ms.max(now_ms);
        self.add(self.open, id);
        true
    }

    fn add(&mut self, slot: u32, id: Id) {
        let offset = self.chunks[slot as usize].ids.len();
        self.chunks[slot as usize].ids.push(id);
        let chunks = &self.chunks;
        self.table.insert_unique(hash(&id), place(slot, offset), |place| hash(at(chunks, *place)));
    }

    /// Makes the open chunk a closed one, and room for another.
    fn close(&mut self) {
        let text = self.chunk_text(self.open);
        self.changes.push(SlotChange::Closed(self.open, text));
        self.closed.push_back(self.open);
        while self.len() + CHUNK_IDS > self.ids_max {
            let Some(oldest) = self.closed.pop_front() else { break };
            self.forgotten += self.chunks[oldest as usize].ids.len() as u64;
            self.empty(oldest);
        }
        self.open = self.free.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            self.chunks.len() as u32 - 1
        });
    }

    fn empty(&mut self, slot: u32) {
        let chunk = std::mem::take(&mut self.chunks[slot as usize]);
        for (offset, id) in chunk.ids.iter().enumerate() {
            let wanted = place(slot, offset);
            if let Ok(entry) = self.table.find_entry(hash(id), |place| *place == wanted) {
                entry.remove();
            }
        }
        self.free.push(slot);
        self.changes.push(SlotChange::Emptied(slot));
    }

    /// Forgets what was last seen before this time.
    pub fn forget_before(&mut self, ms: i64) {
        while let Some(oldest) = self.closed.front().copied() {
            if self.chunks[oldest as usize].upto_ms >= ms {
                break;
            }
            self.closed.pop_front();
            self.empty(oldest);
        }
    }

    /// The open chunk, for the state of the next span.
    pub fn open_text(&self) -> ChunkText {
        self.chunk_text(self.open)
    }

    fn chunk_text(&self, slot: u32) -> ChunkText {
        let chunk = &self.chunks[slot as usize];
        let ids = BASE64.encode(chunk.ids.as_flattened());
        ChunkText { slot, from_ms: chunk.from_ms, upto_ms: chunk.upto_ms, ids }
    }

    /// What must be committed no later than the next open chunk.
    pub fn take_changes(&mut self) -> Vec<SlotChange> {
        let changes = std::mem::take(&mut self.changes);
        // Of a slot that changed several times the last word counts.
        let is_last = |i: usize| changes[i + 1..].iter().all(|c| c.slot() != changes[i].slot());
        (0..changes.len()).filter(|i| is_last(*i)).map(|i| changes[i].clone()).collect()
    }

    /// The set as it was committed: the open chunk, and the closed ones in any order. A text that cannot
    /// be read is left out; then what it held is handed over again.
    pub fn restore(&mut self, open: Option<ChunkText>, mut closed: Vec<ChunkText>) {
        let open = open.unwrap_or_default();
        closed.retain(|chunk| chunk.slot != open.slot);
        closed.sort_by_key(|chunk| (chunk.upto_ms, chunk.from_ms));
        let slots = closed.iter().map(|c| c.slot).chain([open.slot]).max().unwrap_or(0);
        let slots = slots.min((self.ids_max / CHUNK_IDS * 2) as u32 + 64);
        *self = Self::new(self.ids_max, self.chunk_ms);
        self.chunks.resize_with(slots as usize + 1, Chunk::default);
        for chunk in closed {
            if self.load(&chunk) {
                self.closed.push_back(chunk.slot);
            }
        }
        self.open = open.slot.min(slots);
        self.load(&open);
        let used = |slot: &u32| *slot == self.open || self.closed.contains(slot);
        self.free = (0..=slots).filter(|slot| !used(slot)).collect();
    }

    fn load(&mut self, text: &ChunkText) -> bool {
        let Ok(bytes) = BASE64.decode(&text.ids) else { return false };
        let (ids, rest) = bytes.as_chunks::<16>();
        let fits = (text.slot as usize) < self.chunks.len() && ids.len() <= CHUNK_IDS;
        if !rest.is_empty() || !fits || !self.chunks[text.slot as usize].ids.is_empty() {
            return false;
        }
        let chunk = &mut self.chunks[text.slot as usize];
        (chunk.from_ms, chunk.upto_ms) = (text.from_ms, text.upto_ms);
        for id in ids {
            if !self.contains(id) {
                self.add(text.slot, *id);
            }
        }
        true
    }
}

impl SlotChange {
    pub fn slot(&self) -> u32 {
        match self {
            Self::Closed(slot, _) | Self::Emptied(slot) => *slot,
        }
    }
}

fn at(chunks: &[Chunk], place: u32) -> &Id {
    &chunks[place as usize / CHUNK_IDS].ids[place as usize % CHUNK_IDS]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn id(n: u64) -> Id {
        id_of([n.to_le_bytes().as_slice()])
    }

    /// What is durable.
    #[derive(Default)]
    struct Disk {
        open: Option<ChunkText>,
        slots: BTreeMap<u32, ChunkText>,
    }

    impl Disk {
        fn commit(&mut self, seen: &mut Seen) {
            for change in seen.take_changes() {
                match change {
                    SlotChange::Closed(slot, text) => drop(self.slots.insert(slot, text)),
                    SlotChange::Emptied(slot) => drop(self.slots.remove(&slot)),
                }
            }
            self.open = Some(seen.open_text());
        }

        fn restore(&self, ids_max: usize) -> Seen {
            let mut seen = Seen::new(ids_max, 1_000);
            seen.restore(self.open.clone(), self.slots.values().cloned().collect());
            seen
        }
    }

    #[test]
    fn an_id_is_new_once_also_after_restarts() {
        let (mut seen, mut disk) = (Seen::new(1 << 20, 1_000), Disk::default());
        for n in 0..20_000u64 {
            assert!(seen.insert(id(n), n as i64 / 10), "{n}");
            if n % 777 == 0 {
                disk.commit(&mut seen);
                seen = disk.restore(1 << 20);
                assert_eq!(seen.len() as u64, n + 1);
            }
        }
        assert!((0..20_000).all(|n| !seen.insert(id(n), 2_000)));
        assert!(!seen.contains(&id(20_000)));
    }

    #[test]
    fn what_is_old_is_forgotten_and_its_room_is_used_again() {
        let (mut seen, mut disk) = (Seen::new(1 << 20, 1_000), Disk::default());
        for round in 0..50i64 {
            for n in 0..5_000u64 {
                seen.insert(id(round as u64 * 5_000 + n), round * 1_000);
            }
            seen.forget_before((round - 2) * 1_000);
            disk.commit(&mut seen);
        }
        assert!(seen.contains(&id(49 * 5_000)) && seen.contains(&id(47 * 5_000)));
        assert!(!seen.contains(&id(40 * 5_000)));
        assert!(seen.chunks.len() < 20, "{} slots", seen.chunks.len());
        assert!(disk.slots.len() < 20, "{} durable slots", disk.slots.len());
        assert_eq!((disk.restore(1 << 20).len(), seen.forgotten), (seen.len(), 0));
    }

    #[test]
    fn a_full_set_forgets_the_oldest() {
        let mut seen = Seen::new(3 * CHUNK_IDS, i64::MAX);
        let count = 10 * CHUNK_IDS as u64;
        for n in 0..count {
            seen.insert(id(n), 0);
            assert!(seen.len() <= 3 * CHUNK_IDS);
        }
        assert!(!seen.contains(&id(0)) && seen.contains(&id(count - 1)));
        assert_eq!(seen.forgotten + seen.len() as u64, count);
    }

    #[test]
    fn a_million_ids_take_less_than_64_megabytes() {
        let mut seen = Seen::new(1_000_000, 3_600_000);
        let mut changes = 0;
        for n in 0..1_000_000u64 {
            seen.insert(id(n), n as i64);
            changes += seen.take_changes().len();
        }
        let ids: usize = seen.chunks.iter().map(|c| c.ids.capacity() * size_of::<Id>()).sum();
        let table = seen.table.capacity() * 8 / 7 * (size_of::<u32>() + 1);
        assert!(seen.len() > 990_000 && ids + table < 64 << 20, "{ids} + {table} bytes");
        assert!(changes < 1_000, "{changes} slots were written for a million ids");
    }

    #[test]
    fn damaged_texts_are_left_out() {
        let mut seen = Seen::new(1 << 16, 1_000);
        let good = ChunkText { slot: 1, from_ms: 0, upto_ms: 1, ids: BASE64.encode(id(1)) };
        let huge = ChunkText { slot: u32::MAX, ..good.clone() };
        let odd = ChunkText { slot: 2, ids: "AAAA".into(), ..good.clone() };
        let text = ChunkText { slot: 3, ids: "no base64!".into(), ..good.clone() };
        seen.restore(Some(huge.clone()), vec![good, huge, odd, text]);
        assert!(seen.contains(&id(1)));
        assert_eq!(seen.len(), 1);
        assert!(seen.insert(id(2), 5));
    }
}
