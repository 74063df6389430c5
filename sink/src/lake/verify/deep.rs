//! The part of `verify` that reads every byte.

use std::collections::{HashMap, HashSet};

use arrow::array::AsArray;
use event::Uid;
use futures::{FutureExt, StreamExt, TryStreamExt};
use parquet::errors::ParquetError;

use super::super::error::{Error, Kind};
use super::super::reader::{self, Checked};
use super::super::store::LakeStore;
use super::super::upkeep::Digester;
use super::{Fault, Known, Report};

const KEY: &str = "dedup_key";
const FILES_AT_ONCE: usize = 4;
/// Identities compared over the whole lake; about 40 bytes each.
const KEYS_MAX: usize = 4_000_000;

/// Reads files and compares them with what their manifests say.
pub(super) async fn check(
    at: &LakeStore,
    files: Vec<Known>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut keys = Keys::default();
    let mut stream = futures::stream::iter(files)
        .map(|known| {
            let at = at.clone();
            // On threads of the runtime: decoding takes the processor.
            let task = tokio::spawn(async move {
                let found = examine(&at, &known).await?;
                Ok::<_, Error>((known, found))
            });
            let failed = |e| Error::caused(Kind::Store, "a file could not be examined", e);
            task.map(move |done| done.map_err(failed)?)
        })
        .buffered(FILES_AT_ONCE);
    while let Some((known, found)) = stream.try_next().await? {
        match found {
            Ok(found) => keys.add(&known, found, report),
            Err(what) => report.file_problem(Fault::DamagedFile, &known.file, &what),
        }
    }
    keys.close(report);
    Ok(())
}

/// The identities in a file, or what is wrong with it.
async fn examine(at: &LakeStore, known: &Known) -> Result<Result<Vec<Uid>, String>, Error> {
    let file = &known.file;
    // A sum is over whole rows, identities are one column.
    let columns: &[&str] = if known.keyed { &[KEY] } else { &[] };
    let columns = known.digest.is_none().then_some(columns);
    let (mut batches, rows) = match reader::open_checked(at, file, columns).await? {
        Checked::Batches(_, rows) if rows != file.rows => {
            return Ok(Err(format!("holds {rows} rows")));
        }
        Checked::Batches(batches, rows) => (batches, rows),
        Checked::Wrong(what) => return Ok(Err(what)),
    };
    let (mut keys, mut digester) = (Vec::new(), Digester::default());
    if known.keyed {
        keys.reserve(usize::try_from(rows).unwrap_or(0));
    }
    loop {
        let batch = match batches.try_next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(ParquetError::External(error)) => {
                let what = format!("{} cannot be read", file.path);
                return Err(Error::caused(Kind::Store, what, error));
            }
            Err(error) => return Ok(Err(reader::unreadable(&error))),
        };
        if known.digest.is_some() && digester.add(&batch).is_none() {
            return Ok(Err("has a column of an unknown type".into()));
        }
        let column = batch.column_by_name(KEY).and_then(|c| c.as_string_opt::<i32>());
        keys.extend(column.into_iter().flatten().flatten().filter_map(Uid::parse));
    }
    if known.digest.is_some_and(|expected| digester.sum() != expected) {
        return Ok(Err("does not hold the rows of the files that it replaced".into()));
    }
    Ok(Ok(keys))
}

/// Looks for events that are stored more than once.
#[derive(Debug, Default)]
struct Keys {
    /// Where a table's identity was seen first. Epochs of lanes, numbered.
    seen: HashMap<(u32, Uid), u32>,
    tables: HashMap<String, u32>,
    epochs: HashMap<(String, u64), u32>,
    repeats: u64,
    full: bool,
}

impl Keys {
    fn add(&mut self, known: &Known, keys: Vec<Uid>, report: &mut Report) {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let next = number(self.tables.len());
        let table = *self.tables.entry(known.file.table.clone()).or_insert(next);
        let next = number(self.epochs.len());
        let epoch = *self.epochs.entry((known.lane.clone(), known.epoch)).or_insert(next);
        let (mut here, mut in_file) = (0, HashSet::new());
        for key in keys {
            if self.seen.len() >= KEYS_MAX {
                self.full = true;
                here += u64::from(!in_file.insert(key) && known.digest.is_none());
                continue;
            }
            match self.seen.insert((table, key), epoch) {
                // In a file that replaced others, epochs have met that may be far apart.
                Some(before) if before == epoch && known.digest.is_none() => here += 1,
                Some(_) => self.repeats += 1,
                None => {}
            }
        }
        if here > 0 {
            let what = format!("holds {here} events that its epoch has already");
            report.file_problem(Fault::RepeatedEvent, &known.file, &what);
        }
    }

    fn close(self, report: &mut Report) {
        if self.repeats > 0 {
            report.note(format!(
                "{} events came again after the window of identities had forgotten them",
                self.repeats
            ));
        }
        if self.full {
            report.note(format!("identities were compared up to {KEYS_MAX} only"));
        }
    }
}
