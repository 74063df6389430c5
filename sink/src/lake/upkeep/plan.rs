//! Which files become one. Pure: the files and the time come in, jobs go out.
//!
//! Bytes are written anew at most [`REWRITES_MAX`] times. A merge gives a file one rewrite more than any
//! of its inputs had, and how many an input may have had grows with the age of its hour: an hour that
//! still fills gathers only what was never merged; when it is over, everything merged at most once; when
//! nothing late comes any more, everything merged at most twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::super::encode::Times;
use super::super::layout::Hour;
use super::super::live::LiveFile;
use super::super::manifest::{ColumnSpec, FileKind};
use super::erase::Erasure;
use super::merge::GROUP_BYTES_MAX;
use super::options::CompactionOptions;

/// How often bytes are written anew.
pub(in crate::lake) const REWRITES_MAX: u8 = 3;
/// Files that an hour which still fills must have gathered.
const GROWING_FILES_MIN: usize = 16;
/// Files that an hour which is over must have.
const SETTLED_FILES_MIN: usize = 4;
/// After this nothing late is expected any more.
const LATE_US: i64 = 7 * 24 * HOUR_US;
const HOUR_US: i64 = 3_600_000_000;
/// Records larger than this on average are few, and merging them would take memory: they stay.
const ROW_BYTES_MAX: u64 = 64 << 10;
/// Files of one merge.
const INPUTS_MAX: usize = 1_000;
/// Memory that the open inputs of one merge may take, as estimated from their sizes.
const MEMORY_MAX: u64 = 192 << 20;
/// Work of one epoch: an epoch that is lost is work that is lost.
const BATCH_BYTES_MAX: u64 = 256 << 20;
const BATCH_JOBS_MAX: usize = 32;

/// One hour of one table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::lake) struct Partition {
    pub table: String,
    pub hour: Hour,
    pub kind: FileKind,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hour.folder(&self.table))
    }
}

/// Files that become one, or one that is written anew.
#[derive(Clone, Debug)]
pub(in crate::lake) struct Job {
    pub partition: Partition,
    /// All columns of the inputs.
    pub columns: Arc<[ColumnSpec]>,
    /// By their first time.
    pub inputs: Vec<LiveFile>,
    /// Of the result.
    pub rewrites: u8,
    /// What of a person is not taken over.
    pub erasure: Option<Erasure>,
}

impl Job {
    pub(in crate::lake) fn rows(&self) -> u64 {
        self.inputs.iter().map(|live| live.file.rows).sum()
    }

    pub(in crate::lake) fn bytes(&self) -> u64 {
        self.inputs.iter().map(|live| live.file.bytes).sum()
    }

    pub(in crate::lake) fn times(&self) -> Times {
        let files = || self.inputs.iter().map(|live| &live.file);
        Times {
            min_time: files().map(|f| f.min_time).min().unwrap_or(0),
            max_time: files().map(|f| f.max_time).max().unwrap_or(0),
            min_ingest: files().map(|f| f.min_ingest).min().unwrap_or(0),
            max_ingest: files().map(|f| f.max_ingest).max().unwrap_or(0),
        }
    }
}

/// What is to be done now. `now` in microseconds; `thorough` as if every hour were long over.
pub(in crate::lake) fn jobs(
    files: &[LiveFile],
    options: &CompactionOptions,
    thorough: bool,
    now: i64,
) -> Vec<Job> {
    let mut partitions: BTreeMap<Partition, Vec<&LiveFile>> = BTreeMap::new();
    for live in files.iter().filter(|live| may_grow(live, options)) {
        let Some(hour) = Hour::parse(&live.file.dt, live.file.hr) else { continue };
        let (table, kind) = (live.file.table.clone(), live.file.kind);
        partitions.entry(Partition { table, hour, kind }).or_default().push(live);
    }
    let mut jobs = Vec::new();
    for (partition, mut files) in partitions {
        let over_for = now.saturating_sub((partition.hour.0 + 1).saturating_mul(HOUR_US));
        let (rewrites_max, files_min) = match over_for {
            _ if thorough => (2, 2),
            LATE_US.. => (2, 2),
            t if t >= options.settle_us() => (1, SETTLED_FILES_MIN),
            _ => (0, GROWING_FILES_MIN),
        };
        files.retain(|live| live.rewrites <= rewrites_max);
        if files.len() >= files_min {
            jobs.extend(in_partition(&partition, files, options));
        }
    }
    jobs
}

fn may_grow(live: &LiveFile, options: &CompactionOptions) -> bool {
    let file = &live.file;
    file.bytes < options.target_bytes() / 2
        && live.rewrites < REWRITES_MAX
        && file.rows > 0
        && file.bytes / file.rows <= ROW_BYTES_MAX
}

/// Neighbours in time go together.
fn in_partition(
    partition: &Partition,
    mut files: Vec<&LiveFile>,
    options: &CompactionOptions,
) -> Vec<Job> {
    files.sort_by(|a, b| (a.file.min_time, &a.file.path).cmp(&(b.file.min_time, &b.file.path)));
    let (mut jobs, mut group) = (Vec::new(), Vec::<&LiveFile>::new());
    let mut columns = Vec::new();
    for live in files {
        let united = unite(&columns, &live.columns);
        let fits = united.is_some() && fits(&group, live, options);
        if !fits {
            jobs.extend(job(partition, std::mem::take(&mut group), &columns));
        }
        columns = if fits { united.unwrap_or_default() } else { live.columns.to_vec() };
        group.push(live);
    }
    jobs.extend(job(partition, group, &columns));
    jobs
}

fn job(partition: &Partition, group: Vec<&LiveFile>, columns: &[ColumnSpec]) -> Option<Job> {
    let rewrites = group.iter().map(|live| live.rewrites).max()? + 1;
    (group.len() > 1).then(|| Job {
        partition: partition.clone(),
        columns: columns.into(),
        inputs: group.into_iter().cloned().collect(),
        rewrites,
        erasure: None,
    })
}

fn fits(group: &[&LiveFile], next: &LiveFile, options: &CompactionOptions) -> bool {
    let bytes: u64 = group.iter().map(|live| live.file.bytes).sum();
    // Inputs are opened when their time has come: those that end before need no memory any more.
    let overlapping = group.iter().filter(|live| live.file.max_time >= next.file.min_time);
    let memory: u64 = overlapping.map(|live| memory(live)).sum();
    group.len() < INPUTS_MAX
        && bytes + next.file.bytes <= options.target_bytes()
        && memory + self::memory(next) <= MEMORY_MAX
}

/// About what an open input takes: its row group, and pages of it decoded. The rows of an epoch's file took
/// 64 MB in memory at most.
fn memory(live: &LiveFile) -> u64 {
    let most = if live.rewrites == 0 { 96 << 20 } else { 4 * GROUP_BYTES_MAX as u64 };
    live.file.bytes.saturating_mul(6).min(most)
}

/// All columns of both, those of `a` first; `None` when one has two types.
fn unite(a: &[ColumnSpec], b: &[ColumnSpec]) -> Option<Vec<ColumnSpec>> {
    let mut all = a.to_vec();
    for column in b {
        match all.iter().find(|known| known.name == column.name) {
            Some(known) if known.kind != column.kind => return None,
            Some(_) => {}
            None => all.push(column.clone()),
        }
    }
    Some(all)
}

/// Jobs of one epoch each.
pub(in crate::lake) fn batches(jobs: Vec<Job>) -> Vec<Vec<Job>> {
    let mut batches: Vec<Vec<Job>> = Vec::new();
    let mut bytes = 0;
    for job in jobs {
        bytes += job.bytes();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_JOBS_MAX && bytes <= BATCH_BYTES_MAX => {
                batch.push(job);
            }
            _ => {
                bytes = job.bytes();
                batches.push(vec![job]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests;
