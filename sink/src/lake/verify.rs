//! Proves from the manifests that the lake is whole, and names what is not: every manifest is itself
//! and follows the one before it; the spans of every partition touch; received = stored + duplicates +
//! dead + dropped; the files hold as many rows as that, are there, and have their size (`deep`: their
//! every byte, and the rows their footers tell); nothing lies among the data that no manifest names.
//!
//! Reads only. May run beside a writer: what a writer is just writing is noted, not blamed.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt};

use super::error::{Error, Kind};
use super::layout;
use super::manifest::{Checksum, DataFile, Digest, FileKind, Manifest, StateFile, Why};
use super::part::{self, Positions};
use super::store::LakeStore;

mod deep;
mod held;
mod report;

pub use report::{Fault, Held, Origin, PartitionTotals, Problem, Report, Totals};

const READS_MAX: usize = 32;

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

/// Checks the lake; `deep` reads every byte of it.
///
/// # Errors
/// [`Kind::Store`] when the store cannot be read. Damage is not an error but the report.
pub async fn verify(at: &LakeStore, deep: bool) -> Result<Report, Error> {
    let mut report = Report::new(&at.url, deep);
    let mut files = BTreeMap::new();
    let mut lanes = BTreeMap::new();
    // What was replaced is listed before what it was.
    let upkeep = lane_epochs(at, layout::UPKEEP).await?;
    let mut all: Vec<_> = lane_epochs(at, "").await?.into_iter().collect();
    all.retain(|(lane, _)| lane != layout::UPKEEP);
    all.extend(upkeep);
    for (lane, epochs) in all {
        let unknown = lanes.values().any(|state: &LaneState| !state.unknown.is_empty());
        let lane_state = check_lane(at, &lane, &epochs, unknown, &mut report, &mut files).await?;
        lanes.insert(lane, lane_state);
    }
    // After the manifests, so that files committed meanwhile are newer than every head.
    let mut objects: HashMap<String, u64> = list(at, "")
        .await?
        .into_iter()
        .filter_map(|meta| Some((layout::relative(&at.root, &meta.location)?, meta.size)))
        .collect();
    let mut readable = Vec::new();
    for (path, known) in files {
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
            Some(_) => readable.push(known),
        }
    }
    for (lane, state) in &lanes {
        if let Some(file) = &state.newest {
            check_state(at, lane, state.head, file, objects.get(&file.path), &mut report).await?;
        }
    }
    strays(objects.into_keys().collect(), &lanes, &mut report);
    if deep {
        deep::check(at, readable, &mut report).await?;
    }
    held::trace(at, &mut report).await;
    report.close();
    Ok(report)
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

/// What is known of a lane for judging files that no manifest names.
#[derive(Debug, Default)]
struct LaneState {
    head: u64,
    /// Epochs whose manifest cannot be read: what they named is unknown.
    unknown: HashSet<u64>,
    /// What the newest manifest says that the next start needs.
    newest: Option<StateFile>,
}

/// Of one lane, or of all.
async fn lane_epochs(at: &LakeStore, lane: &str) -> Result<BTreeMap<String, Vec<u64>>, Error> {
    let mut lanes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for meta in list(at, &format!("{}/{lane}", layout::MANIFESTS)).await? {
        let path = layout::relative(&at.root, &meta.location);
        if let Some((lane, epoch)) = path.as_deref().and_then(layout::parse_manifest) {
            lanes.entry(lane).or_default().push(epoch);
        }
    }
    lanes.values_mut().for_each(|epochs| epochs.sort_unstable());
    Ok(lanes)
}

async fn list(at: &LakeStore, folder: &str) -> Result<Vec<ObjectMeta>, Error> {
    let folder = layout::under(&at.root, folder);
    let failed = |e| Error::caused(Kind::Store, format!("the lake {} cannot be listed", at.url), e);
    at.store.list(Some(&folder)).try_collect().await.map_err(failed)
}

/// Follows the chain of a lane.
async fn check_lane(
    at: &LakeStore,
    lane: &str,
    epochs: &[u64],
    unknown_before: bool,
    report: &mut Report,
    files: &mut BTreeMap<String, Known>,
) -> Result<LaneState, Error> {
    let mut state = LaneState::default();
    let mut link = Link::default();
    let mut stream = futures::stream::iter(epochs.to_vec())
        .map(|epoch| read(at, layout::manifest(lane, epoch)))
        .buffered(READS_MAX);
    for &epoch in epochs {
        for missing in state.head + 1..epoch {
            let path = layout::manifest(lane, missing);
            report.problem(
                Fault::MissingManifest,
                &path,
                format!("the manifest {path} is missing"),
            );
            state.unknown.insert(missing);
            link = Link { blind: true, ..Link::default() };
        }
        state.head = epoch;
        let path = layout::manifest(lane, epoch);
        let bytes = stream.try_next().await?.unwrap_or_default();
        match Manifest::decode(&bytes) {
            Ok((manifest, hash)) => {
                check_manifest(lane, &path, &manifest, &mut link, report);
                (link.previous, link.known) = (Some(hash), true);
                state.newest = manifest.state.clone();
                let is_blind = unknown_before || !state.unknown.is_empty();
                check_replaced(&path, &manifest, is_blind, report, files);
                add_files(lane, manifest, report, files);
            }
            Err(damage) => {
                let what = format!("the manifest {path} is damaged: {damage}");
                report.problem(Fault::DamagedManifest, &path, what);
                state.unknown.insert(epoch);
                state.newest = None;
                link = Link { blind: true, ..Link::default() };
            }
        }
    }
    report.epochs += epochs.len() as u64;
    Ok(state)
}

/// The state of a chain between two manifests.
#[derive(Debug, Default)]
struct Link {
    /// Whether `previous` is what the next manifest must name.
    known: bool,
    previous: Option<Checksum>,
    /// A manifest before this one could not be read: partitions may begin anywhere, once.
    blind: bool,
    positions: Positions,
}

fn check_manifest(
    lane: &str,
    path: &str,
    manifest: &Manifest,
    link: &mut Link,
    report: &mut Report,
) {
    let mut wrong = |fault, what: String| report.problem(fault, path, what);
    if manifest.lane != lane || layout::manifest(lane, manifest.epoch) != path {
        wrong(Fault::DamagedManifest, format!("the manifest {path} belongs to another place"));
    }
    if manifest.previous != link.previous && (link.known || !link.blind) {
        let what = format!("the manifest {path} does not follow the one before it");
        wrong(Fault::DamagedManifest, what);
    }
    let rows =
        |kind| -> u64 { manifest.files.iter().filter(|f| f.kind == kind).map(|f| f.rows).sum() };
    let stored: u64 = manifest.spans.iter().map(|s| s.stored).sum();
    let dead: u64 = manifest.spans.iter().map(|s| s.dead).sum();
    let (rows, letters) = (rows(FileKind::Events), rows(FileKind::DeadLetters));
    // What replaces files has the rows of others, which is judged with them.
    if (stored, dead) != (rows, letters) && manifest.replaced.is_empty() {
        let what = format!(
            "epoch {} says {stored} stored and {dead} dead records, its files hold {rows} and {letters}",
            manifest.epoch
        );
        wrong(Fault::Unbalanced, what);
    }
    for span in &manifest.spans {
        let name = format!("{} / {}", span.source, span.partition);
        let sum = span.stored + span.duplicates + span.dead + span.dropped;
        if span.received != sum {
            let what = format!(
                "{name}: of {} records received in ({}, {}] {sum} are accounted for",
                span.received, span.after, span.upto
            );
            wrong(Fault::Unbalanced, what);
        }
        let key = event::PartitionKey {
            source: span.source.as_str().into(),
            partition: span.partition.as_str().into(),
        };
        let Some(before) = link.positions.get(&key).map(|resume| resume.upto) else { continue };
        if span.after > before {
            wrong(Fault::Gap, format!("{name}: nothing is known of ({before}, {}]", span.after));
        } else if span.after < before {
            wrong(Fault::Overlap, format!("{name}: ({}, {before}] is there twice", span.after));
        }
    }
    part::advance(&mut link.positions, &manifest.spans);
    if let Some(listed) = &manifest.positions {
        let listed = part::unlist(listed);
        if !link.blind && listed != link.positions {
            let what = format!("the manifest {path} lists other positions than its chain");
            wrong(Fault::DamagedManifest, what);
        }
        (link.positions, link.blind) = (listed, false);
    }
    manifest.spans.iter().for_each(|span| report.span(span));
}

/// Rows that moved are as many as they were, of the same table and hour, and move once.
fn check_replaced(
    path: &str,
    manifest: &Manifest,
    is_blind: bool,
    report: &mut Report,
    files: &mut BTreeMap<String, Known>,
) {
    for replacement in &manifest.replaced {
        let by = &manifest.files[replacement.by];
        let (mut rows, mut whole) = (0, true);
        for file in &replacement.files {
            let Some(known) = take(path, file, State::Replaced, is_blind, report, files) else {
                whole = false;
                continue;
            };
            rows += known.file.rows;
            let old = &known.file;
            let place = (&old.table, old.kind, &old.dt, old.hr);
            if place != (&by.table, by.kind, &by.dt, by.hr) {
                report.file_problem(Fault::Unbalanced, by, "has rows of another table or hour");
            }
        }
        if whole && rows != by.rows {
            let what = format!("replaces files of {rows} rows");
            report.file_problem(Fault::Unbalanced, by, &what);
        }
    }
    for removed in &manifest.removed {
        take(path, &removed.path, State::Removed(removed.why), is_blind, report, files);
    }
}

/// Takes a live file away; once.
fn take<'a>(
    manifest: &str,
    file: &str,
    state: State,
    is_blind: bool,
    report: &mut Report,
    files: &'a mut BTreeMap<String, Known>,
) -> Option<&'a Known> {
    let known = files.get_mut(file).filter(|known| known.state == State::Live);
    match known {
        Some(known) => {
            known.state = state;
            Some(known)
        }
        None => {
            // It may be of an epoch whose manifest cannot be read, which is said already.
            if !is_blind {
                let what = format!("the manifest {manifest} takes away {file}, which is not there");
                report.problem(Fault::Overlap, manifest, what);
            }
            None
        }
    }
}

fn add_files(
    lane: &str,
    manifest: Manifest,
    report: &mut Report,
    files: &mut BTreeMap<String, Known>,
) {
    let Manifest { files: listed, schemas, epoch, replaced, .. } = manifest;
    for (n, file) in listed.into_iter().enumerate() {
        let digest = replaced.iter().find(|r| r.by == n).map(|r| r.rows);
        let keyed = schemas[file.schema].iter().any(|c| c.name == "dedup_key");
        report.file(&file);
        let path = file.path.clone();
        let lane = lane.to_owned();
        let known = Known { lane, epoch, file, keyed, state: State::Live, digest };
        if let Some(twice) = files.insert(path, known) {
            report.file_problem(Fault::Overlap, &twice.file, "is in two epochs");
        }
    }
}

/// Judges what lies among the data and is in no manifest.
fn strays(mut paths: Vec<String>, lanes: &BTreeMap<String, LaneState>, report: &mut Report) {
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
