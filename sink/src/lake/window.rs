//! Loads the identities of the last hours back from the lake, newest epochs first, until the window's
//! time or size is reached. Reads the column `dedup_key` (and the time of arrival) only.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use event::{Timestamp, Uid};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::dedup::Window;
use super::error::{Error, Kind};
use super::lake::drive;
use super::layout;
use super::manifest::{DataFile, FileKind, Manifest, Replacement};
use super::protocol::{ATTEMPTS_MAX, Answer, Request, Step, failure, pause};
use super::reader::FileReader;
use super::recovery::End;
use super::store::{LakeOptions, LakeStore};

/// The most; the first request is for one, because there may be nothing new.
const MANIFESTS_AT_ONCE: u64 = 32;
const FILES_AT_ONCE: usize = 8;
/// How far the clocks of a lake's processes may be apart, in microseconds.
const CLOCKS_APART_US: i64 = 3_600_000_000;
const KEY: &str = "dedup_key";
const ARRIVAL: &str = "ingest_time";

/// The window as the lane's epochs up to `head` leave it at `now` (microseconds).
pub(super) async fn load(
    at: &LakeStore,
    lane: &str,
    head: u64,
    options: &LakeOptions,
    now: i64,
) -> Result<Window, Error> {
    let window = Window::new(options.dedup_hours, options.dedup_entries_max);
    let since = now.saturating_sub(i64::from(options.dedup_hours) * 3_600_000_000);
    let mut recent = Recent::new(lane, head, since, options.dedup_entries_max as u64);
    let (files, _) = drive(at, |answers| recent.step(answers)).await?;
    let files = moved(files, &replacements(at, since).await?);
    let mut keys = futures::stream::iter(files)
        .map(|file| async move { read_keys(at, &file).await.or_else(|e| unreadable(&file, e)) })
        .buffered(FILES_AT_ONCE);
    while let Some(keys) = keys.try_next().await? {
        for (uid, arrived) in keys {
            if arrived >= since {
                window.seen(uid, Timestamp::from_micros(arrived));
            }
        }
    }
    Ok(window)
}

/// What upkeep has replaced of the files since then. Clocks of several machines may be apart.
async fn replacements(at: &LakeStore, since: i64) -> Result<Vec<Replaced>, Error> {
    let mut end = End::new(layout::UPKEEP);
    let head = drive(at, |answers| end.step(answers)).await?;
    let since = since.saturating_sub(CLOCKS_APART_US);
    let mut recent = Recent::new(layout::UPKEEP, head, since, u64::MAX);
    Ok(drive(at, |answers| recent.step(answers)).await?.1)
}

/// The files that have the rows of these now.
pub(super) fn moved(files: Vec<DataFile>, replaced: &[Replaced]) -> Vec<DataFile> {
    if planted!(ReplacedForgotten) {
        return files;
    }
    let mut by: HashMap<&str, Option<&DataFile>> = HashMap::new();
    for Replaced { file, files } in replaced {
        by.extend(files.iter().map(|path| (path.as_str(), file.as_ref())));
    }
    let mut seen = HashSet::new();
    let now = files.into_iter().filter_map(|mut file| {
        // What replaced it may have been replaced in turn; a chain of them has no circle.
        while let Some(newer) = by.get(file.path.as_str()) {
            file = (*newer)?.clone();
        }
        Some(file)
    });
    now.filter(|file| seen.insert(file.path.clone())).collect()
}

/// A file of upkeep and those that it replaced; none where they were removed with their rows.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    pub file: Option<DataFile>,
    pub files: Vec<String>,
}

/// Files of events, oldest first, and what replaced others.
type Found = (Vec<DataFile>, Vec<Replaced>);

/// Finds the files of events that arrived lately, from the manifests, newest first. A state machine
/// without I/O.
#[derive(Debug)]
pub(super) struct Recent {
    lane: String,
    /// The newest epoch not asked for yet.
    upto: u64,
    /// Microseconds.
    since: i64,
    entries_max: u64,
    rows: u64,
    files: Vec<DataFile>,
    replaced: Vec<Replaced>,
    /// How many manifests are asked for in this round.
    at_once: u64,
    /// Whether the requests are out.
    sent: bool,
    attempts: u32,
}

impl Recent {
    pub(super) fn new(lane: &str, head: u64, since: i64, entries_max: u64) -> Self {
        let (upto, files) = (head, Vec::new());
        Self {
            lane: lane.into(),
            upto,
            since,
            entries_max,
            rows: 0,
            files,
            replaced: Vec::new(),
            // Where everything is wanted, there is no reason to begin with one.
            at_once: if since == i64::MIN { MANIFESTS_AT_ONCE } else { 1 },
            sent: false,
            attempts: 0,
        }
    }

    /// One move; `answers` to the requests of the step before.
    pub(super) fn step(&mut self, answers: Vec<Answer>) -> Step<Result<Found, Error>> {
        if std::mem::take(&mut self.sent) {
            match failure(answers) {
                Ok(answers) => {
                    self.attempts = 0;
                    if let Err(error) = self.take(answers) {
                        return Step::Done(Err(error));
                    }
                    self.at_once = (2 * self.at_once).min(MANIFESTS_AT_ONCE);
                }
                Err(failure) => {
                    self.attempts += 1;
                    if self.attempts < ATTEMPTS_MAX {
                        return pause(self.attempts);
                    }
                    let what = format!("the manifests of the lane {} cannot be read", self.lane);
                    return Step::Done(Err(Error::caused(Kind::Store, what, failure)));
                }
            }
        }
        if self.upto == 0 || self.rows >= self.entries_max || planted!(IdentitiesForgotten) {
            self.files.reverse();
            let replaced = std::mem::take(&mut self.replaced);
            return Step::Done(Ok((std::mem::take(&mut self.files), replaced)));
        }
        self.sent = true;
        let get = |epoch| Request::Get { path: layout::manifest(&self.lane, epoch) };
        Step::Do(self.asked().map(get).collect())
    }

    /// The epochs of one round of requests, newest first.
    fn asked(&self) -> impl Iterator<Item = u64> + use<> {
        (self.upto.saturating_sub(self.at_once - 1).max(1)..=self.upto).rev()
    }

    fn take(&mut self, answers: Vec<Answer>) -> Result<(), Error> {
        for (epoch, answer) in self.asked().zip(answers) {
            let manifest = self.manifest(epoch, answer)?;
            self.upto = epoch - 1;
            if manifest.created_at < self.since {
                self.upto = 0;
                return Ok(());
            }
            for Replacement { by, files, .. } in manifest.replaced {
                let file = Some(manifest.files[by].clone());
                self.replaced.push(Replaced { file, files });
            }
            let files: Vec<String> = manifest.removed.into_iter().map(|r| r.path).collect();
            if !files.is_empty() {
                self.replaced.push(Replaced { file: None, files });
            }
            let schemas = &manifest.schemas;
            let keyed = |f: &DataFile| {
                f.kind == FileKind::Events
                    && f.max_ingest >= self.since
                    && schemas[f.schema].iter().any(|c| c.name == KEY)
            };
            for file in manifest.files.into_iter().filter(keyed) {
                self.rows += file.rows;
                self.files.push(file);
            }
            if planted!(IdentitiesCutShort) {
                self.upto = 0;
                return Ok(());
            }
        }
        Ok(())
    }

    fn manifest(&self, epoch: u64, answer: Answer) -> Result<Manifest, Error> {
        let path = layout::manifest(&self.lane, epoch);
        let Answer::Bytes(bytes) = answer else {
            return Err(Error::new(Kind::Damaged, format!("the manifest {path} is missing")));
        };
        let decoded = Manifest::decode(&bytes).map_err(|damage| {
            Error::caused(Kind::Damaged, format!("the manifest {path} is damaged"), damage)
        })?;
        Ok(decoded.0)
    }
}

async fn read_keys(at: &LakeStore, file: &DataFile) -> Result<Vec<(Uid, i64)>, ParquetError> {
    let path = layout::under(&at.root, &file.path);
    let reader = FileReader::new(at.store.clone(), path, file.bytes);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [KEY, ARRIVAL]);
    let mut batches = builder.with_projection(mask).build()?;
    let mut keys = Vec::with_capacity(file.rows as usize);
    while let Some(batch) = batches.try_next().await? {
        collect(&batch, file.max_ingest, &mut keys);
    }
    Ok(keys)
}

fn collect(batch: &RecordBatch, arrival: i64, keys: &mut Vec<(Uid, i64)>) {
    let Some(texts) = batch.column_by_name(KEY).and_then(|c| c.as_string_opt::<i32>()) else {
        return;
    };
    let times = batch
        .column_by_name(ARRIVAL)
        .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    for (i, text) in texts.iter().enumerate() {
        let arrived = times.filter(|t| t.is_valid(i)).map_or(arrival, |t| t.value(i));
        keys.extend(text.and_then(Uid::parse).map(|uid| (uid, arrived)));
    }
}

/// A file that is damaged or gone must not keep the lake from going on; it can only let a duplicate
/// through. A store that does not answer must.
fn unreadable(file: &DataFile, error: ParquetError) -> Result<Vec<(Uid, i64)>, Error> {
    let lost = match &error {
        ParquetError::External(e) => matches!(
            e.downcast_ref::<object_store::Error>(),
            Some(object_store::Error::NotFound { .. })
        ),
        _ => true,
    };
    if lost {
        tracing::error!(file = file.path, %error, "a file of the lake cannot be read: run `lake verify`");
        return Ok(Vec::new());
    }
    Err(Error::caused(Kind::Store, format!("{} cannot be read", file.path), error))
}
