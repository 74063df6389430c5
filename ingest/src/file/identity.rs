//! Which file is which, across restarts, renames and copies.
//!
//! A file is known by the hash of its first bytes, not by its name or inode. What was skipped because
//! it had been read before is checked: besides the beginning, the bytes just before the position must
//! be those that were read. A file that does not fit is a new one and is read from its start.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use event::Uid;
use serde::{Deserialize, Serialize};

use crate::framing::Checkpoint;
use crate::source::Resume;

/// How much of the beginning is hashed.
pub(crate) const PREFIX_BYTES: usize = 64 << 10;
/// How much of a first line goes into a partition's name.
const NAMED_BYTES: usize = 256;
/// How much before the position is hashed.
const TAIL_BYTES: usize = 512;

/// The state kept with every span of a file or of standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub path: String,
    pub prefix_len: u64,
    pub prefix_hash: Uid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
    /// Size and last bytes of the compressed file when it had been read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<(u64, Uid)>,
    pub framing: Checkpoint,
}

impl State {
    pub fn to_text(&self) -> Arc<str> {
        serde_json::to_string(self).expect("a state is plain data").into()
    }

    pub fn of(resume: &Resume) -> Option<Self> {
        serde_json::from_str(resume.state.as_deref()?).ok()
    }
}

/// The decompressed bytes that end at `upto`, which is at or before the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub upto: u64,
    pub len: u64,
    pub hash: Uid,
}

impl Tail {
    /// Of the part of `chunk`, which stands `base` in the stream, that lies before `position`.
    pub fn before(position: u64, chunk: &[u8], base: u64) -> Option<Self> {
        let end = position.checked_sub(base).filter(|end| *end > 0)? as usize;
        let seen = chunk.get(..end)?;
        let last = &seen[seen.len().saturating_sub(TAIL_BYTES)..];
        Some(Self { upto: position, len: last.len() as u64, hash: hash(last) })
    }

    pub fn fits(&self, bytes: &[u8]) -> bool {
        hash(bytes) == self.hash
    }

    pub fn from(&self) -> u64 {
        self.upto - self.len
    }
}

pub(crate) fn hash(bytes: &[u8]) -> Uid {
    Uid::of("file", &[bytes])
}

/// The partitions of a source that were read before, by what their file begins with.
#[derive(Debug, Default)]
pub(crate) struct Known {
    by_prefix: HashMap<(u64, Uid), Vec<Entry>>,
    lengths: BTreeSet<u64>,
    names: HashSet<Arc<str>>,
    claimed: HashSet<Arc<str>>,
}

/// One partition that was read before.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub partition: Arc<str>,
    pub upto: u64,
    pub state: State,
}

impl Known {
    pub fn new(resume: &HashMap<Arc<str>, Resume>) -> Self {
        let mut known = Self::default();
        for (partition, resume) in resume {
            known.names.insert(partition.clone());
            if let Some(state) = State::of(resume) {
                known.lengths.insert(state.prefix_len);
                let key = (state.prefix_len, state.prefix_hash);
                let entry = Entry { partition: partition.clone(), upto: resume.upto, state };
                known.by_prefix.entry(key).or_default().push(entry);
            }
        }
        known
    }

    /// The partition of the file that begins with `prefix`; each is given out once. With `path` only
    /// the one that was last seen there.
    pub fn claim(&mut self, prefix: &[u8], path: Option<&str>) -> Option<Entry> {
        let mut best: Option<&Entry> = None;
        for &length in self.lengths.iter().rev() {
            if length > prefix.len() as u64 || length == 0 {
                continue;
            }
            let key = (length, hash(&prefix[..length as usize]));
            let entries = self.by_prefix.get(&key).into_iter().flatten();
            let free = entries
                .filter(|entry| !self.claimed.contains(&entry.partition))
                .filter(|entry| path.is_none_or(|path| entry.state.path == path));
            best = free.max_by_key(|entry| entry.upto);
            if best.is_some() {
                break;
            }
        }
        let entry = best?.clone();
        self.claimed.insert(entry.partition.clone());
        Some(entry)
    }

    /// A new partition's name: from where the file is and how it begins, with a number when that is
    /// taken. Events without an identity of their own have one by this name, so after a crash before
    /// the first commit it must come out the same although the file has grown: only the first line
    /// counts, or [`NAMED_BYTES`] of it.
    pub fn new_name(&mut self, kind: &str, path: &str, prefix: &[u8]) -> Arc<str> {
        let begin = &prefix[..prefix.len().min(NAMED_BYTES)];
        let line = begin.iter().position(|b| *b == b'\n').unwrap_or(begin.len());
        let uid = Uid::of("file name", &[path.as_bytes(), &begin[..line]]);
        let base = format!("{kind}:{}", &uid.to_string()[..16]);
        let mut name: Arc<str> = base.as_str().into();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{base}.{number}").into();
            number += 1;
        }
        name
    }
}
