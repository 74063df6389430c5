//! Keeps the lake pleasant: makes big files of many small ones, and removes what was replaced when no
//! reader can need it any more.
//!
//! It is one more lane, [`layout::UPKEEP`], with the same steps as any other: its epochs have no spans, but
//! name files that are replaced. So a crash at any moment, an answer that does not come, and a second
//! process that does the same are what they are for events. All that ever leaves the lake leaves it by
//! this one chain: of two that replace the same file, one loses its number and removes what it wrote.

pub(super) mod collect;
mod digest;
mod erase;
mod forget;
mod merge;
mod options;
pub(super) mod plan;
pub(super) mod replace;
pub(super) mod retention;
mod upload;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};

use super::commit::Lane;
use super::encode::FileHead;
use super::error::{Error, Kind};
use super::lake::{now_us, perform_all, recover};
use super::layout;
use super::live::LiveFile;
use super::manifest::{Removed, Why};
use super::snapshot::Snapshot;
use super::store::{LakeOptions, LakeStore};

pub use collect::{Collected, collect};
pub(super) use digest::Digester;
pub use erase::{ERASED, Erased, ErasedTable, Person, erasable, texts};
pub use forget::Forgotten;
pub use options::CompactionOptions;
use plan::{Job, Partition};
use replace::{Next, Replace};
pub use retention::RetentionOptions;

/// Files that one epoch removes: a manifest stays small.
const REMOVED_MAX: usize = 10_000;

/// Whoever keeps a lake in order. One at a time.
#[derive(Debug)]
pub struct Upkeep {
    at: LakeStore,
    lane: Lane,
    /// Held while it is open; see [`LakeStore`].
    _lock: Option<File>,
}

/// What compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    pub epochs: u64,
    pub files_before: u64,
    pub files_after: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub rows: u64,
    /// Hours that were left as they are, because a file in them is damaged.
    pub failed: Vec<String>,
}

impl Upkeep {
    /// Opens the lane of upkeep of a lake that exists; removes what a crash left.
    ///
    /// # Errors
    /// As [`super::Lake::open`]; [`Kind::Fenced`] when another process of this machine is at it.
    pub async fn open(options: &LakeOptions) -> Result<Self, Error> {
        Self::at(LakeStore::open_to_change(options)?, true).await
    }

    /// Without `lock` as on another machine that shares the store.
    async fn at(at: LakeStore, lock: bool) -> Result<Self, Error> {
        let lock = if lock { at.lock(layout::UPKEEP)? } else { None };
        let (lane, _) = recover(&at, layout::UPKEEP).await?;
        Ok(Self { at, lane, _lock: lock })
    }

    /// Makes big files of small ones until there is nothing to do. `thorough`: also in hours that may
    /// still grow, and of few files. After an error open it again.
    ///
    /// # Errors
    /// [`Kind::Store`], [`Kind::Fenced`] when another process was faster, [`Kind::Damaged`] when
    /// manifests are. Nothing is lost by any: what was not committed is removed, now or at the next start.
    pub async fn compact(
        &mut self,
        options: &CompactionOptions,
        thorough: bool,
    ) -> Result<Compacted, Error> {
        let mut done = Compacted::default();
        let mut failed = HashSet::new();
        loop {
            let snapshot = Snapshot::read(&self.at.store, &self.at.root).await?;
            let mut jobs = plan::jobs(&snapshot.files, options, thorough, now_us());
            jobs.retain(|job| !failed.contains(&job.partition));
            if jobs.is_empty() {
                return Ok(done);
            }
            for batch in plan::batches(jobs) {
                self.replace(batch, &mut done, &mut failed).await?;
            }
        }
    }

    /// Takes out of the lake what has been kept long enough; what arrived in the last `dedup_hours` stays,
    /// so that it is known when it comes again. The files stay until they are collected.
    ///
    /// # Errors
    /// As [`Upkeep::compact`].
    pub async fn expire(
        &mut self,
        options: &RetentionOptions,
        dedup_hours: u32,
    ) -> Result<Expired, Error> {
        let snapshot = Snapshot::read(&self.at.store, &self.at.root).await?;
        let since = known_since(dedup_hours);
        let gone = retention::expired(&snapshot.files, options, since, now_us());
        let expired = Expired::of(&gone);
        for gone in gone.chunks(REMOVED_MAX) {
            let path = |live: &LiveFile| live.file.path.clone();
            let removed = gone.iter().map(|(live, why)| Removed { path: path(live), why: *why });
            self.remove(removed.collect()).await?;
        }
        Ok(expired)
    }

    /// A name of its own for every attempt: what an earlier one has sent may still arrive.
    fn take_new_name(&mut self) {
        let nonce = RandomState::new().hash_one((std::process::id(), now_us()));
        self.lane.writer = format!("{:08x}", nonce as u32);
    }

    /// One epoch.
    async fn replace(
        &mut self,
        jobs: Vec<Job>,
        done: &mut Compacted,
        failed: &mut HashSet<Partition>,
    ) -> Result<(), Error> {
        self.take_new_name();
        let mut replace = Replace::new(&self.lane, jobs);
        let mut answers = Vec::new();
        let sealed = loop {
            match replace.step(std::mem::take(&mut answers)) {
                Next::Do(requests) => answers = perform_all(&self.at, requests).await,
                Next::Build => {
                    let built = build(&self.at, replace.jobs()).await;
                    replace.built(built, now_us());
                }
                Next::Done(result) => break result?,
            }
        };
        let replaced = sealed.as_ref().map_or(&[][..], |sealed| &sealed.manifest.replaced);
        let replaced: HashSet<&String> = replaced.iter().flat_map(|r| &r.files).collect();
        for (job, _) in replace.jobs() {
            if job.inputs.iter().all(|live| replaced.contains(&live.file.path)) {
                done.inputs(job);
            } else {
                done.failed.push(job.partition.to_string());
                failed.insert(job.partition.clone());
            }
        }
        if let Some(sealed) = sealed {
            self.lane.committed(&sealed.manifest, sealed.hash);
            done.epochs += 1;
            done.files_after += sealed.manifest.files.len() as u64;
            done.bytes_after += sealed.manifest.files.iter().map(|f| f.bytes).sum::<u64>();
        }
        Ok(())
    }
}

/// Writes the files. A job whose inputs are damaged is left out, the others go on.
async fn build(
    at: &LakeStore,
    jobs: &[(Job, FileHead)],
) -> Result<Vec<Option<replace::Merged>>, Error> {
    let mut built = Vec::new();
    for (job, head) in jobs {
        built.push(match merge::merge(at, job, head.clone()).await {
            Ok(merged) => Some(merged),
            Err(error) if error.kind() == Kind::Damaged => {
                tracing::error!(%error, partition = %job.partition, "left as it is");
                None
            }
            Err(error) => return Err(error),
        });
    }
    Ok(built)
}

/// What retention takes out of the lake.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Expired {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    pub tables: BTreeMap<String, ExpiredTable>,
}

/// Of one table, because of its age and because the lake is too large.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ExpiredTable {
    /// The first and the last hour, `2026-03-01T09`.
    pub from: String,
    pub to: String,
    pub rows_by_age: u64,
    pub rows_by_size: u64,
}

impl Expired {
    fn of(gone: &[(&LiveFile, Why)]) -> Self {
        let mut expired = Self::default();
        for (live, why) in gone {
            let file = &live.file;
            expired.files += 1;
            expired.rows += file.rows;
            expired.bytes += file.bytes;
            let hour = format!("{}T{:02}", file.dt, file.hr);
            let table = expired.tables.entry(file.table.clone()).or_default();
            if table.from.is_empty() || hour < table.from {
                table.from.clone_from(&hour);
            }
            table.to = hour.max(std::mem::take(&mut table.to));
            *match why {
                Why::Size => &mut table.rows_by_size,
                Why::Age | Why::Lost => &mut table.rows_by_age,
            } += file.rows;
        }
        expired
    }
}

/// What [`Upkeep::expire`] would take out now.
///
/// # Errors
/// [`Kind::Store`], [`Kind::Damaged`].
pub async fn expirable(
    at: &LakeStore,
    options: &RetentionOptions,
    dedup_hours: u32,
) -> Result<Expired, Error> {
    let snapshot = Snapshot::read(&at.store, &at.root).await?;
    let since = known_since(dedup_hours);
    Ok(Expired::of(&retention::expired(&snapshot.files, options, since, now_us())))
}

/// Identities of what arrived since then are remembered, microseconds.
fn known_since(dedup_hours: u32) -> i64 {
    now_us().saturating_sub(i64::from(dedup_hours) * 3_600_000_000)
}

impl Compacted {
    fn inputs(&mut self, job: &Job) {
        self.files_before += job.inputs.len() as u64;
        self.bytes_before += job.bytes();
        self.rows += job.rows();
    }
}

#[cfg(test)]
mod tests;
