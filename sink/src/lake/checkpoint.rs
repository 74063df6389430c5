//! A checkpoint: what the chains say up to some epochs, folded, so that a reader of a lake of a million
//! epochs reads some tens of objects. It lies beside the chains and proves nothing by itself: the chains
//! stay the truth. A checkpoint that is damaged, or whose last manifests are not those of the chains, is
//! passed over for the one before it, and without any the chains are read from their beginning.
//!
//! Its root names *runs*: lists of files in objects of their own that are named by their content and
//! never changed. Most runs of a checkpoint are those of the one before it. A file that stops being
//! part of the lake is marked in the root, and its run is written anew when half of it is gone. Runs of
//! one size class are put together when there are [`FAN`] of them ([`groups`]), so that there are few,
//! and a file is written at most nine times: into its first run, twice in the smallest class, once in each of
//! five others, and once more for another that has gone. This module does no I/O.

use std::sync::Arc;

use event::Uid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::layout;
use super::live::{End, Former, LiveFile};
use super::manifest::{Checksum, ColumnSpec, DataFile, Why};

pub(super) mod write;

/// Format of checkpoints. One of another format is passed over.
const VERSION: u32 = 1;
/// Runs of a size class that are put together.
const FAN: usize = 4;
/// Runs of fewer files are one size class.
const RUN_FILES_MIN: u64 = 16;
/// Runs of more are left as they are.
const RUN_FILES_MAX: u64 = 16_384;

/// The root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    version: u32,
    /// How far it goes.
    pub lanes: Vec<Covered>,
    /// The files that are part of the lake.
    pub live: Vec<RunRef>,
    /// Those that were.
    pub former: Vec<RunRef>,
    /// Dead letters that were redriven, ascending.
    pub redriven: Vec<Uid>,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            version: VERSION,
            lanes: Vec::new(),
            live: Vec::new(),
            former: Vec::new(),
            redriven: Vec::new(),
        }
    }
}

/// The last manifest of a lane that a checkpoint knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Covered {
    pub lane: String,
    pub epoch: u64,
    /// Of the manifest's bytes.
    pub hash: Checksum,
    /// Microseconds since 1970.
    pub created_at: i64,
}

/// One run of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRef {
    /// Of its bytes, and its name.
    pub hash: Checksum,
    pub files: u64,
    /// Those that do not count any more, ascending from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<u32>,
}

impl RunRef {
    pub(super) fn path(&self) -> String {
        layout::run(self.hash)
    }

    fn left(&self) -> u64 {
        self.files - self.gone.len() as u64
    }
}

impl Checkpoint {
    /// Of all lanes. A later checkpoint of the same lake has more.
    pub(super) fn epochs(&self) -> u64 {
        self.lanes.iter().map(|covered| covered.epoch).sum()
    }

    pub(super) fn path(&self) -> String {
        layout::checkpoint(self.epochs())
    }

    /// `<blake3 of the rest>\n<JSON>`
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = json(self);
        let mut bytes = format!("{}\n", Checksum::of(&body)).into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// `None` when it is not what was written, or not of this format.
    pub(super) fn decode(path: &str, bytes: &[u8]) -> Option<Self> {
        let (digits, rest) = bytes.split_at_checked(64)?;
        let body = rest.strip_prefix(b"\n")?;
        let stated = Checksum::parse(std::str::from_utf8(digits).ok()?)?;
        let checkpoint: Self = read(body, stated)?;
        let fits = |run: &RunRef| {
            run.gone.is_sorted_by(|a, b| a < b)
                && run.gone.last().is_none_or(|last| u64::from(*last) < run.files)
        };
        let runs = || checkpoint.live.iter().chain(&checkpoint.former);
        (checkpoint.version == VERSION && checkpoint.path() == path && runs().all(fits))
            .then_some(checkpoint)
    }
}

/// A list of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// The columns of the files, each list once.
    schemas: Vec<Vec<ColumnSpec>>,
    files: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    lane: String,
    epoch: u64,
    rewrites: u8,
    /// Its `schema` is an index into those of the run.
    file: DataFile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Ended>,
}

/// [`End`], and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed: Option<Why>,
}

/// A file of a run.
#[derive(Clone, Debug)]
pub(super) enum Listed {
    Live(LiveFile),
    Former(Former),
}

/// The bytes of a run of these files, and what names it.
pub(super) fn encode_run(files: &[Listed]) -> (RunRef, Vec<u8>) {
    let mut run = Run::default();
    for listed in files {
        let (live, end) = match listed {
            Listed::Live(live) => (live, None),
            Listed::Former(former) => (&former.live, Some(ended(former))),
        };
        let known = run.schemas.iter().position(|s| s.as_slice() == &*live.columns);
        let schema = known.unwrap_or_else(|| {
            run.schemas.push(live.columns.to_vec());
            run.schemas.len() - 1
        });
        let (lane, epoch, rewrites) = (live.lane.to_string(), live.epoch, live.rewrites);
        let file = DataFile { schema, ..live.file.clone() };
        run.files.push(Entry { lane, epoch, rewrites, file, end });
    }
    let bytes = json(&run);
    let hash = Checksum::of(&bytes);
    (RunRef { hash, files: files.len() as u64, gone: Vec::new() }, bytes)
}

fn ended(former: &Former) -> Ended {
    let (replaced_by, removed) = match &former.end {
        End::Replaced(by) => (Some(by.to_string()), None),
        End::Removed(why) => (None, Some(*why)),
    };
    Ended { at: former.at, replaced_by, removed }
}

/// The files of a run that count, with their places in it; `None` when it is not the run that was meant.
pub(super) fn decode_run(run: &RunRef, bytes: &[u8]) -> Option<Vec<(u32, Listed)>> {
    let Run { schemas, files } = read(bytes, run.hash)?;
    if files.len() as u64 != run.files && !planted!(CheckpointUnproved) {
        return None;
    }
    let schemas: Vec<Arc<[ColumnSpec]>> = schemas.into_iter().map(Into::into).collect();
    let mut listed = Vec::with_capacity(files.len());
    for (place, Entry { lane, epoch, rewrites, file, end }) in (0..).zip(files) {
        if run.gone.binary_search(&place).is_ok() {
            continue;
        }
        let columns = schemas.get(file.schema)?.clone();
        let live = LiveFile { lane: lane.into(), epoch, file, columns, rewrites };
        let one = match end {
            None => Listed::Live(live),
            Some(Ended { at, replaced_by: Some(by), .. }) => {
                Listed::Former(Former { live, end: End::Replaced(by.into()), at })
            }
            Some(Ended { at, removed, .. }) => {
                Listed::Former(Former { live, end: End::Removed(removed?), at })
            }
        };
        listed.push((place, one));
    }
    Some(listed)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text keys and plain values")
}

fn read<T: DeserializeOwned>(body: &[u8], stated: Checksum) -> Option<T> {
    let proved = Checksum::of(body) == stated || planted!(CheckpointUnproved);
    proved.then(|| serde_json::from_slice(body).ok()).flatten()
}

/// Which of the runs of these sizes are put together; every run is in one group.
pub(super) fn groups(sizes: &[u64]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(u64, Vec<usize>)> =
        sizes.iter().zip(0..).map(|(&n, i)| (n, vec![i])).collect();
    let class = |files: u64| (files / RUN_FILES_MIN).max(1).ilog(FAN as u64);
    let last = class(RUN_FILES_MAX);
    for of in 0..last {
        loop {
            let members = groups.iter().enumerate().filter(|(_, (n, _))| class(*n) == of);
            let members: Vec<usize> = members.map(|(g, _)| g).take(FAN).collect();
            if members.len() < FAN {
                break;
            }
            let mut whole = (0, Vec::new());
            for g in members.into_iter().rev() {
                let (n, runs) = groups.remove(g);
                whole.0 += n;
                whole.1.splice(0..0, runs);
            }
            groups.push(whole);
        }
    }
    groups.into_iter().map(|(_, runs)| runs).collect()
}

#[cfg(test)]
mod aged;
#[cfg(test)]
mod tests;
