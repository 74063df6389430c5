//! A seen-set that commits with what is handed over: its open chunk goes into the state of the span that hands
//! records over, and every full chunk, before it, is the state of a partition of its own.

use std::collections::HashMap;
use std::sync::Arc;

use super::seen::{ChunkText, Id, Seen, SlotChange};
use crate::source::Resume;

/// A span that holds nothing but the state of a full chunk: partition, after, up to, state.
pub(crate) type Closed = (Arc<str>, u64, u64, String);

/// The set, and where its partitions stand.
#[derive(Debug)]
pub(crate) struct Kept {
    partition: Arc<str>,
    /// By slot.
    slots_upto: HashMap<u32, u64>,
    seen: Seen,
}

impl Kept {
    /// As the lake has it: `open` is from the state of `partition`. A chunk that cannot be read is left out;
    /// then what it held is handed over again.
    pub fn open(
        partition: &str,
        mut seen: Seen,
        open: Option<ChunkText>,
        resume: &HashMap<Arc<str>, Resume>,
    ) -> Self {
        let prefix = format!("{partition}/seen/");
        let (mut slots_upto, mut closed) = (HashMap::new(), Vec::new());
        for (name, resume) in resume {
            let Some(Ok(slot)) = name.strip_prefix(&prefix).map(str::parse::<u32>) else {
                continue;
            };
            slots_upto.insert(slot, resume.upto);
            let text = resume.state.as_deref().unwrap_or_default();
            closed.extend(serde_json::from_str::<ChunkText>(text).ok());
        }
        seen.restore(open, closed);
        Self { partition: partition.into(), slots_upto, seen }
    }

    pub fn set(&self) -> &Seen {
        &self.seen
    }

    /// Adds an id; whether it is new.
    pub fn insert(&mut self, id: Id, now_ms: i64) -> bool {
        self.seen.insert(id, now_ms)
    }

    /// Forgets what was last seen before this time.
    pub fn forget_before(&mut self, ms: i64) {
        self.seen.forget_before(ms);
    }

    /// The open chunk, for the state of the next span.
    pub fn open_text(&self) -> ChunkText {
        self.seen.open_text()
    }

    /// What must be handed over before the next open chunk. Every span moves its position: two spans of one
    /// place would have no order.
    pub fn closed(&mut self) -> Vec<Closed> {
        let changes = self.seen.take_changes();
        let span = |change: SlotChange| {
            let upto = self.slots_upto.entry(change.slot()).or_default();
            let after = *upto;
            *upto += 1;
            let partition = format!("{}/seen/{}", self.partition, change.slot()).into();
            let state = match change {
                SlotChange::Closed(_, chunk) => serde_json::to_string(&chunk).unwrap_or_default(),
                SlotChange::Emptied(_) => String::new(),
            };
            (partition, after, after + 1, state)
        };
        changes.into_iter().map(span).collect()
    }
}
