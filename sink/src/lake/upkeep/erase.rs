//! Erasing a person: whatever names them is blotted out of every row. The rows stay, and with them counts,
//! positions and identities: that something happened is still known, who it was is not.
//!
//! Each file that names them is replaced by one that does not, as in compaction. The manifest says why and in
//! how many rows, and never whom.

mod person;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use parquet::errors::ParquetError;

use super::super::error::{Error, Kind};
use super::super::layout::Hour;
use super::super::live::LiveFile;
use super::super::manifest::DataFile;
use super::super::reader::{self, Checked};
use super::super::snapshot::Snapshot;
use super::super::store::LakeStore;
use super::plan::{self, Job, Partition};
use super::retention::{self, RetentionOptions};
use super::{Compacted, Upkeep};

pub use person::{ERASED, Person};
use rows::each_text;
pub(super) use rows::{Found, blot};

const FILES_AT_ONCE: usize = 2;

/// Whom to blot out of the files of a job, and why.
#[derive(Clone, Debug)]
pub(in crate::lake) struct Erasure {
    pub(super) person: Arc<Person>,
    /// For the record.
    pub reason: String,
}

/// Where a person was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Erased {
    pub files: u64,
    pub rows: u64,
    pub tables: BTreeMap<String, ErasedTable>,
    /// Where they still are, because `lake.retention.hold` keeps the files.
    pub held_files: u64,
    pub held_rows: u64,
    /// Files that cannot be read, and may name them.
    pub damaged: Vec<String>,
}

/// In one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ErasedTable {
    pub rows: u64,
    /// Rows, by column.
    pub columns: BTreeMap<String, u64>,
}

impl Upkeep {
    /// Blots a person out of all that is in the lake now, but for what is held. The files as they were stay
    /// until they are collected. After an error open it again: what was done is done.
    ///
    /// # Errors
    /// As [`Upkeep::compact`].
    pub async fn erase(
        &mut self,
        person: &Person,
        reason: &str,
        retention: Option<&RetentionOptions>,
    ) -> Result<Erased, Error> {
        let (files, mut erased) = search(&self.at, person, retention).await?;
        let erasure = Erasure { person: Arc::new(person.clone()), reason: reason.to_owned() };
        let jobs = files.into_iter().filter_map(|live| job(live, &erasure)).collect();
        let (mut done, mut failed) = (Compacted::default(), HashSet::new());
        for batch in plan::batches(jobs) {
            self.replace(batch, &mut done, &mut failed).await?;
        }
        // Damaged since it was searched.
        erased.damaged.extend(done.failed);
        Ok(erased)
    }
}

/// What [`Upkeep::erase`] would do now.
///
/// # Errors
/// [`Kind::Store`]; [`Kind::Damaged`] when manifests are.
pub async fn erasable(
    at: &LakeStore,
    person: &Person,
    retention: Option<&RetentionOptions>,
) -> Result<Erased, Error> {
    Ok(search(at, person, retention).await?.1)
}

/// Shows all text of the lake, so that a person can be found of whom only something else is known. Files that
/// are damaged are passed over.
///
/// # Errors
/// As [`erasable`].
pub async fn texts(at: &LakeStore, mut each: impl FnMut(&str)) -> Result<(), Error> {
    for live in Snapshot::read(&at.store, &at.root).await?.files {
        walk(at, &live.file, |batch| each_text(batch, &mut each)).await?;
    }
    Ok(())
}

fn job(live: LiveFile, erasure: &Erasure) -> Option<Job> {
    let file = &live.file;
    let hour = Hour::parse(&file.dt, file.hr)?;
    Some(Job {
        partition: Partition { table: file.table.clone(), hour, kind: file.kind },
        columns: live.columns.clone(),
        rewrites: live.rewrites,
        inputs: vec![live],
        erasure: Some(erasure.clone()),
    })
}

/// The files to be replaced, and what is found in them.
async fn search(
    at: &LakeStore,
    person: &Person,
    retention: Option<&RetentionOptions>,
) -> Result<(Vec<LiveFile>, Erased), Error> {
    let snapshot = Snapshot::read(&at.store, &at.root).await?;
    let (mut theirs, mut erased) = (Vec::new(), Erased::default());
    let person = Arc::new(person.clone());
    let mut searched = futures::stream::iter(snapshot.files)
        .map(|live| {
            let (at, person) = (at.clone(), person.clone());
            // On threads of the runtime: decoding takes the processor.
            let task = tokio::spawn(async move {
                let found = look(&at, &person, &live.file).await?;
                Ok::<_, Error>((live, found))
            });
            async move {
                let failed = |e| Error::caused(Kind::Store, "a file could not be searched", e);
                task.await.map_err(failed)?
            }
        })
        .buffered(FILES_AT_ONCE);
    while let Some((live, found)) = searched.try_next().await? {
        match found {
            None => erased.damaged.push(live.file.path),
            Some(found) if found.rows == 0 => {}
            Some(found) if retention.is_some_and(|options| retention::is_held(&live, options)) => {
                erased.held_files += 1;
                erased.held_rows += found.rows;
            }
            Some(found) => {
                erased.files += 1;
                erased.rows += found.rows;
                let table = erased.tables.entry(live.file.table.clone()).or_default();
                table.rows += found.rows;
                for (column, rows) in found.columns {
                    *table.columns.entry(column).or_default() += rows;
                }
                theirs.push(live);
            }
        }
    }
    Ok((theirs, erased))
}

/// What a file says of the person; `None` when it is damaged.
async fn look(at: &LakeStore, person: &Person, file: &DataFile) -> Result<Option<Found>, Error> {
    let mut found = Found::default();
    let whole = walk(at, file, |batch| found.add(blot(person, batch).1)).await?;
    Ok(whole.then_some(found))
}

/// Goes through the rows of a file; whether it was whole.
async fn walk(
    at: &LakeStore,
    file: &DataFile,
    mut each: impl FnMut(&RecordBatch),
) -> Result<bool, Error> {
    let Checked::Batches(mut batches, _) = reader::open_checked(at, file, None).await? else {
        return Ok(false);
    };
    loop {
        match batches.try_next().await {
            Ok(Some(batch)) => each(&batch),
            Ok(None) => return Ok(true),
            Err(ParquetError::External(error)) => {
                let what = format!("{} cannot be read", file.path);
                return Err(Error::caused(Kind::Store, what, error));
            }
            Err(_) => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests;
