//! Sums over files of the lake and what became of them, whatever their order: two that read the same chains
//! in different ways get the same sum, or one of them is wrong. A sum proves a checkpoint, and lets a
//! proof go on from where the one before ended without keeping a list of files of its own.

use std::collections::HashMap;

use super::super::layout;
use super::super::live::{End, Former, LiveFile};
use super::super::manifest::{Checksum, ColumnSpec, DataFile, Digest, Why};
use super::super::snapshot::Snapshot;

/// One file of one epoch, and perhaps its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(Checksum);

impl Mark {
    pub(super) fn of(
        lane: &str,
        epoch: u64,
        rewrites: u8,
        file: &DataFile,
        columns: Checksum,
    ) -> Self {
        // The index of the columns is another in every list of files.
        let file = DataFile { schema: 0, ..file.clone() };
        let text = serde_json::to_vec(&(lane, epoch, rewrites, file, columns));
        Self(Checksum::of(&text.expect("plain values")))
    }
}

/// Of the columns of a file.
pub(super) fn schema(columns: &[ColumnSpec]) -> Checksum {
    Checksum::of(&serde_json::to_vec(columns).expect("plain values"))
}

/// The file when it is no part of the lake any more.
pub(super) fn gone(mark: Mark, by: Option<&str>, why: Option<Why>) -> Mark {
    let end = serde_json::to_vec(&(mark.0, by, why)).expect("plain values");
    Mark(Checksum::of(&end))
}

fn number(mark: Mark) -> u128 {
    mark.0.0.first_chunk().map_or(0, |first| u128::from_le_bytes(*first))
}

/// The sums of a proof while it follows the chains.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub all: Digest,
    /// Only as far as somebody else has read.
    seen: Digest,
    heads: HashMap<String, u64>,
}

impl Sums {
    /// From where a proof ended, to be compared with what was `seen`.
    pub(super) fn new(before: Digest, seen: Option<&Seen>) -> Self {
        let heads = seen.map(|seen| seen.heads.clone()).unwrap_or_default();
        Self { all: before, seen: before, heads }
    }

    pub(super) fn add(&mut self, lane: &str, epoch: u64, mark: Mark) {
        plus(&mut self.all, mark);
        if epoch <= self.heads.get(lane).copied().unwrap_or(0) {
            plus(&mut self.seen, mark);
        }
    }

    /// By an epoch of upkeep.
    pub(super) fn take(&mut self, epoch: u64, mark: Mark, gone: Mark) {
        let is_seen = epoch <= self.heads.get(layout::UPKEEP).copied().unwrap_or(0);
        let seen = is_seen.then_some(&mut self.seen);
        for sum in [Some(&mut self.all), seen].into_iter().flatten() {
            plus(sum, gone);
            sum.0 = sum.0.wrapping_sub(number(mark));
        }
    }

    /// Whether the chains say what was seen.
    pub(super) fn agree(&self, seen: &Seen) -> bool {
        self.seen == seen.sum
    }
}

pub(super) fn plus(sum: &mut Digest, mark: Mark) {
    sum.0 = sum.0.wrapping_add(number(mark));
}

/// What a reader sees who begins with a checkpoint.
#[derive(Debug)]
pub(super) struct Seen {
    /// Epochs of all lanes that the checkpoint covers.
    pub epochs: u64,
    pub heads: HashMap<String, u64>,
    sum: Digest,
}

impl Seen {
    pub(super) fn of(snapshot: &Snapshot, epochs: u64) -> Self {
        let mut columns = Columns::default();
        let mut sum = Digest::default();
        for live in &snapshot.files {
            plus(&mut sum, columns.mark(live));
        }
        for former in &snapshot.former {
            plus(&mut sum, ended(columns.mark(&former.live), former));
        }
        let heads = snapshot.lanes.iter().map(|head| (head.lane.to_string(), head.epoch));
        Self { epochs, heads: heads.collect(), sum }
    }
}

pub(super) fn ended(mark: Mark, former: &Former) -> Mark {
    match &former.end {
        End::Replaced(by) => gone(mark, Some(by), None),
        End::Removed(why) => gone(mark, None, Some(*why)),
    }
}

/// Lists of columns of a snapshot, which many files share.
#[derive(Debug, Default)]
pub(super) struct Columns(HashMap<*const ColumnSpec, Checksum>);

impl Columns {
    pub(super) fn mark(&mut self, live: &LiveFile) -> Mark {
        let known = self.0.entry(live.columns.as_ptr()).or_insert_with(|| schema(&live.columns));
        Mark::of(&live.lane, live.epoch, live.rewrites, &live.file, *known)
    }
}
