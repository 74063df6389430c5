//! Proves from the manifests that the lake is whole, and names what is not: every manifest is itself
//! and follows the one before it; the spans of every partition touch; received = stored + duplicates +
//! dead + dropped; the files hold as many rows as that, are there, and have their size (`deep`: their
//! every byte, and the rows their footers tell); nothing lies among the data that no manifest names;
//! a checkpoint says what the chains say.
//!
//! Writes nothing but where the proof ended ([`point`]), from where the next one can go on: then the chains, and
//! with `deep` the bytes, are read since that point, and the names and sizes of all files are compared still. May
//! run beside a writer: what a writer is just writing is noted, not blamed.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::commit::Intent;
use super::error::{Error, Kind};
use super::layout;
use super::manifest::{Checksum, DataFile, Digest, StateFile, Why};
use super::store::LakeStore;

mod base;
mod chain;
mod deep;
mod held;
mod moves;
mod point;
mod report;
mod sums;

use chain::Lane;
use moves::Moves;
use point::Point;
pub use report::{Fault, Held, Origin, PartitionTotals, Problem, Report, Totals, Verified};
use sums::{Mark, Seen, Sums};

/// How much is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Read every byte.
    pub deep: bool,
    pub since: Since,
    /// Write down where the proof ended, when nothing is wrong.
    pub record: bool,
}

impl Scope {
    /// Everything from the beginning; nothing is written.
    pub fn full(deep: bool) -> Self {
        Self { deep, since: Since::Beginning, record: false }
    }
}

/// Where a proof begins: at the newest point that fits, or at the beginning when there is none. With
/// [`Scope::deep`] only a proof that had read every byte fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Beginning,
    Last,
    /// That proved at most so many epochs of all lanes.
    Epochs(u64),
    /// Written at most then, microseconds since 1970.
    Time(i64),
}

/// What is known while the chains are followed.
struct Proof<'a> {
    at: &'a LakeStore,
    report: Report,
    files: BTreeMap<String, Known>,
    lanes: BTreeMap<String, Lane>,
    sums: Sums,
    moves: Moves,
}

/// A file and the epoch that wrote it.
#[derive(Clone, Debug)]
struct Known {
    lane: String,
    epoch: u64,
    file: DataFile,
    /// It has the column `dedup_key`.
    keyed: bool,
    state: State,
    /// What the rows must add up to, of a file that replaced others.
    digest: Option<Digest>,
    mark: Mark,
}

/// What became of a file. Only a live one must be there; the others may be, for readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// A later epoch has its rows in another file.
    Replaced,
    /// A later epoch has taken it out of the lake with its rows.
    Removed(Why),
}

/// Checks the lake.
///
/// # Errors
/// [`Kind::Store`] when the store cannot be read. Damage is not an error but the report.
pub async fn verify(at: &LakeStore, scope: Scope) -> Result<Report, Error> {
    let mut report = Report::new(&at.url, scope.deep);
    let points = point::all(at, &mut report).await?;
    let mut lost = Vec::new();
    if let Some(newest) = points.first()
        && let Err(wrong) = point::stand(at, newest).await?
    {
        lost = wrong;
    }
    let chosen = point::choose(&points, scope).filter(|_| lost.is_empty());
    let since = match chosen {
        Some(point) => base::begin(at, point, report.clone()).await?,
        None => None,
    };
    let is_since = since.is_some();
    let (mut proof, seen) = match since {
        Some((proof, seen)) => (proof, Some(seen)),
        None => {
            let seen = base::seen(at).await?;
            let sums = Sums::new(Digest::default(), seen.as_ref());
            let (files, lanes) = (BTreeMap::new(), BTreeMap::new());
            let moves = Moves::default();
            (Proof { at, report, files, lanes, sums, moves }, seen)
        }
    };
    proof.follow().await?;
    proof.judge_moves(!is_since).await;
    for (fault, path, what) in lost {
        if !proof.report.names(&path) {
            proof.report.problem(fault, &path, what);
        }
    }
    proof.compare(seen.as_ref());
    let head = |lane: &str| chosen.filter(|_| is_since).map_or(0, |point| point.head(lane));
    proof.check_files(head).await?;
    held::trace(at, &mut proof.report).await;
    if scope.record && proof.report.ok() {
        point::record(&mut proof, &points).await;
    }
    proof.report.close();
    Ok(proof.report)
}

impl Proof<'_> {
    /// What a reader sees who begins with a checkpoint with what the chains say.
    fn compare(&mut self, seen: Option<&Seen>) {
        let Some(seen) = seen.filter(|seen| seen.epochs > 0) else { return };
        self.report.checkpoint = Some(seen.epochs);
        if self.report.ok() && !self.sums.agree(seen) {
            let path = layout::checkpoint(seen.epochs);
            let what = format!(
                "the checkpoint {path} does not say what the chains say, so that questions see another lake: \
                 remove the folder _checkpoints, nothing is lost by that"
            );
            self.report.problem(Fault::WrongCheckpoint, &path, what);
        }
    }

    /// Compares what is there with what is known; bytes are read of files after the epoch `since` of their lane.
    async fn check_files(&mut self, since: impl Fn(&str) -> u64) -> Result<(), Error> {
        let (at, report) = (self.at, &mut self.report);
        // After the manifests, so that files committed meanwhile are newer than every head.
        let mut objects: HashMap<String, u64> = list(at, "", None)
            .await?
            .into_iter()
            .filter_map(|meta| Some((layout::relative(&at.root, &meta.location)?, meta.size)))
            .collect();
        let mut readable = Vec::new();
        for (path, known) in std::mem::take(&mut self.files) {
            let object = objects.remove(&path);
            match known.state {
                State::Live => {}
                State::Replaced => {
                    report.replaced(&known.file);
                    continue;
                }
                State::Removed(why) => {
                    report.removed(&known.file, why);
                    continue;
                }
            }
            match object {
                None => report.file_problem(Fault::MissingFile, &known.file, "is missing"),
                Some(size) if size != known.file.bytes => {
                    let what = format!("has {size} bytes instead of {}", known.file.bytes);
                    report.file_problem(Fault::DamagedFile, &known.file, &what);
                }
                Some(_) if known.epoch > since(&known.lane) => readable.push(known),
                Some(_) => {}
            }
        }
        for (lane, state) in &self.lanes {
            if let Some(file) = &state.newest {
                check_state(at, lane, state.head, file, objects.get(&file.path), report).await?;
            }
        }
        let announced = announced(at).await?;
        strays(objects.into_keys().collect(), &self.lanes, &announced, report);
        if report.deep {
            deep::check(at, readable, report).await?;
        }
        Ok(())
    }
}

/// Checks what the lane's process needs at its next start. `size` is that of the object, if it is there.
async fn check_state(
    at: &LakeStore,
    lane: &str,
    head: u64,
    file: &StateFile,
    size: Option<&u64>,
    report: &mut Report,
) -> Result<(), Error> {
    let path = &file.path;
    match size {
        // A writer that has gone on meanwhile has replaced it.
        None if is_there(at, &layout::manifest(lane, head + 1)).await => {}
        None => {
            let what =
                format!("the state {path} is missing: correlations forget what they counted");
            report.problem(Fault::MissingFile, path, what);
        }
        Some(size) if *size != file.bytes => {
            let what = format!("the state {path} has {size} bytes instead of {}", file.bytes);
            report.problem(Fault::DamagedFile, path, what);
        }
        Some(_) if report.deep => match read(at, path.clone()).await {
            Ok(bytes) if Checksum::of(&bytes) == file.checksum => {}
            Err(_) if is_there(at, &layout::manifest(lane, head + 1)).await => {}
            Err(error) => return Err(error),
            Ok(_) => {
                let what = format!("the state {path} does not have the checksum of its manifest");
                report.problem(Fault::DamagedFile, path, what);
            }
        },
        Some(_) => {}
    }
    Ok(())
}

async fn is_there(at: &LakeStore, path: &str) -> bool {
    at.store.head(&layout::under(&at.root, path)).await.is_ok()
}

/// The names of the lanes that hold events.
async fn lane_names(at: &LakeStore) -> Result<Vec<String>, Error> {
    let folder = layout::under(&at.root, layout::MANIFESTS);
    let listed = at.store.list_with_delimiter(Some(&folder)).await.map_err(|e| unlisted(at, e))?;
    let names = listed.common_prefixes.iter().filter_map(|path| Some(path.filename()?.to_owned()));
    Ok(names.filter(|lane| lane != layout::UPKEEP).collect())
}

/// The epochs of a lane after one, ascending.
async fn lane_epochs(at: &LakeStore, lane: &str, after: u64) -> Result<Vec<u64>, Error> {
    let folder = format!("{}/{lane}", layout::MANIFESTS);
    let known = (after > 0).then(|| layout::manifest(lane, after));
    let listed = list(at, &folder, known.as_deref()).await?;
    let path = |meta: ObjectMeta| layout::relative(&at.root, &meta.location);
    let epochs = listed.into_iter().filter_map(path).filter_map(|p| layout::parse_manifest(&p));
    let mut epochs: Vec<u64> = epochs.map(|(_, epoch)| epoch).filter(|e| *e > after).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

async fn list(at: &LakeStore, folder: &str, after: Option<&str>) -> Result<Vec<ObjectMeta>, Error> {
    let folder = layout::under(&at.root, folder);
    let listed = match after {
        Some(after) => {
            let after = layout::under(&at.root, after);
            at.store.list_with_offset(Some(&folder), &after)
        }
        None => at.store.list(Some(&folder)),
    };
    listed.try_collect().await.map_err(|e| unlisted(at, e))
}

fn unlisted(at: &LakeStore, error: object_store::Error) -> Error {
    Error::caused(Kind::Store, format!("the lake {} cannot be listed", at.url), error)
}

/// The files that unfinished epochs have announced.
async fn announced(at: &LakeStore) -> Result<HashSet<String>, Error> {
    let mut files = HashSet::new();
    for meta in list(at, layout::INTENTS, None).await? {
        // One that is gone by now is finished.
        let Ok(got) = at.store.get(&meta.location).await else { continue };
        let Ok(bytes) = got.bytes().await else { continue };
        if let Ok(intent) = serde_json::from_slice::<Intent>(&bytes) {
            files.extend(intent.files);
        }
    }
    Ok(files)
}

/// Judges what lies among the data and is in no manifest.
fn strays(
    mut paths: Vec<String>,
    lanes: &BTreeMap<String, Lane>,
    announced: &HashSet<String>,
    report: &mut Report,
) {
    paths.retain(|path| !path.starts_with('_'));
    paths.sort_unstable();
    for path in paths {
        let owner = layout::parse_data(&path).map(|(lane, epoch)| {
            let state = lanes.get(&lane);
            let unknown = state.is_some_and(|s| s.unknown.contains(&epoch));
            (state.map_or(0, |s| s.head), unknown, epoch, lane)
        });
        match owner {
            Some((head, _, epoch, lane)) if epoch > head => report.note(format!(
                "{path} belongs to epoch {epoch} of the lane {lane}, which is not finished: it is being \
                 written, or the next start removes it"
            )),
            // Its number went to another, who may live on without the one who wrote it.
            _ if announced.contains(&path) => report.note(format!(
                "{path} belongs to an epoch that was given up: the next start of its lane removes it, or \
                 `lake collect`"
            )),
            Some((_, true, ..)) => {
                report.note(format!("{path} belongs to an epoch whose manifest cannot be read"));
            }
            _ if !path.ends_with(".parquet") => {
                report.note(format!("{path} is not a file of the lake"));
            }
            _ => {
                let what = format!(
                    "{path} is in no manifest: queries do not see it, programs that read the folders do; \
                     remove it"
                );
                report.problem(Fault::StrayFile, &path, what);
            }
        }
    }
}

async fn read(at: &LakeStore, path: String) -> Result<Bytes, Error> {
    let failed = |e| Error::caused(Kind::Store, format!("{path} cannot be read"), e);
    let got = at.store.get(&layout::under(&at.root, &path)).await.map_err(failed)?;
    got.bytes().await.map_err(failed)
}

#[cfg(test)]
mod tests;
