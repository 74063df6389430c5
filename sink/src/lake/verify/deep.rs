//! The part of `verify` that reads every byte.

use std::collections::{HashMap, HashSet};

use arrow::array::AsArray;
use bytes::Bytes;
use event::Uid;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::error::{Error, Kind};
use super::super::manifest::Checksum;
use super::super::store::LakeStore;
use super::super::upkeep::Digester;
use super::{Fault, Known, Report, read};

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
        .map(|known| async move {
            let bytes = read(at, known.file.path.clone()).await?;
            let task = tokio::task::spawn_blocking(move || {
                let found = examine(&bytes, &known);
                (known, found)
            });
            let failed = |e| Error::caused(Kind::Store, "a file could not be examined", e);
            task.await.map_err(failed)
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
fn examine(bytes: &Bytes, known: &Known) -> Result<Vec<Uid>, String> {
    let file = &known.file;
    if Checksum::of(bytes) != file.checksum {
        return Err("is damaged: its bytes do not have the checksum of its manifest".into());
    }
    let unreadable = |e: &dyn std::fmt::Display| format!("cannot be read as Parquet ({e})");
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|e| unreadable(&e))?;
    let rows = builder.metadata().file_metadata().num_rows();
    if u64::try_from(rows) != Ok(file.rows) {
        return Err(format!("holds {rows} rows"));
    }
    if let Some(expected) = known.digest {
        let batches = builder.build().map_err(|e| unreadable(&e))?;
        let mut digester = Digester::default();
        for batch in batches {
            let batch = batch.map_err(|e| unreadable(&e))?;
            digester.add(&batch).ok_or("has a column of an unknown type")?;
        }
        if digester.sum() != expected {
            return Err("does not hold the rows of the files that it replaced".into());
        }
    }
    keys(bytes, known.keyed)
}

/// The identities in a file that has them.
fn keys(bytes: &Bytes, keyed: bool) -> Result<Vec<Uid>, String> {
    let unreadable = |e: &dyn std::fmt::Display| format!("cannot be read as Parquet ({e})");
    let mut keys = Vec::new();
    if keyed {
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|e| unreadable(&e))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["dedup_key"]);
        let batches = builder.with_projection(mask).build().map_err(|e| unreadable(&e))?;
        for batch in batches {
            let batch = batch.map_err(|e| unreadable(&e))?;
            let column = batch.column(0).as_string_opt::<i32>();
            keys.extend(column.into_iter().flatten().flatten().filter_map(Uid::parse));
        }
    }
    Ok(keys)
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
