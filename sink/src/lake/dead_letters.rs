//! Reading the table `dead_letters` back: to look at what could not be stored, and to give it to the
//! pipeline again.
//!
//! Redriving is a source like any other: its records are received under a partition of its own, and
//! the epoch that holds them lists the dead letters' identities in [`super::Part::redriven`]. A dead
//! letter is marked by that and nothing else; a redrive that is interrupted begins again, and what was
//! stored already is removed as a duplicate by its identity.

use std::ops::ControlFlow;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use event::{DeadLetter, LogType, PartitionKey, Stage, Timestamp, Uid};
use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::error::{Error, Kind};
use super::layout;
use super::live::LiveFile;
use super::reader::FileReader;
use super::snapshot::Snapshot;
use super::store::LakeStore;

/// Rows decoded at once: their bytes may be large.
const ROWS_AT_ONCE: usize = 64;

/// Which dead letters are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub id: Option<Uid>,
    pub source: Option<String>,
    pub log_type: Option<String>,
    pub redriven: Option<bool>,
    /// Leave `bytes` empty: costs much less.
    pub without_bytes: bool,
}

/// A dead letter in the lake.
#[derive(Clone, Debug)]
pub struct StoredLetter {
    pub id: Uid,
    pub letter: DeadLetter,
    /// It was given to the pipeline again; if it failed again, it is there again with another identity.
    pub redriven: bool,
}

/// Calls `each` for every wanted dead letter, the newest epochs first, until it breaks.
///
/// # Errors
/// [`Kind::Store`], or [`Kind::Damaged`] when a file is not what its manifest says.
pub async fn read(
    at: &LakeStore,
    snapshot: &Snapshot,
    wanted: &Wanted,
    mut each: impl FnMut(StoredLetter) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut files: Vec<&LiveFile> = snapshot.table(layout::DEAD_LETTERS).collect();
    // Files that replaced others come last in the snapshot whatever their age.
    files.sort_by_key(|live| live.file.max_ingest);
    for live in files.into_iter().rev() {
        let path = &live.file.path;
        let failed = |e| {
            let kind = match e {
                ParquetError::External(_) => Kind::Store,
                _ => Kind::Damaged,
            };
            Error::caused(kind, format!("{path} cannot be read"), e)
        };
        let mut batches = open(at, live, wanted).await.map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let Some(letters) = decode(&batch) else {
                return Err(Error::new(Kind::Damaged, format!("{path} lacks columns")));
            };
            for (id, letter) in letters {
                let redriven = snapshot.redriven.contains(&id);
                let stored = StoredLetter { id, letter, redriven };
                if wanted.admits(&stored) && each(stored).is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The dead letter with this identity.
///
/// # Errors
/// As [`read`].
pub async fn find(
    at: &LakeStore,
    snapshot: &Snapshot,
    id: Uid,
) -> Result<Option<StoredLetter>, Error> {
    let (wanted, mut found) = (Wanted { id: Some(id), ..Wanted::default() }, None);
    read(at, snapshot, &wanted, |letter| {
        found = Some(letter);
        ControlFlow::Break(())
    })
    .await?;
    Ok(found)
}

impl Wanted {
    fn admits(&self, stored: &StoredLetter) -> bool {
        let letter = &stored.letter;
        self.id.is_none_or(|id| id == stored.id)
            && self.source.as_deref().is_none_or(|s| s == &*letter.key.source)
            && self.log_type.as_deref().is_none_or(|t| t == letter.log_type.as_str())
            && self.redriven.is_none_or(|r| r == stored.redriven)
    }
}

type Batches = parquet::arrow::async_reader::ParquetRecordBatchStream<FileReader>;

async fn open(at: &LakeStore, live: &LiveFile, wanted: &Wanted) -> Result<Batches, ParquetError> {
    let path = layout::under(&at.root, &live.file.path);
    let reader = FileReader::new(at.store.clone(), path, live.file.bytes);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let names = live.columns.iter().map(|c| c.name.as_str());
    let names: Vec<&str> = names.filter(|n| !(wanted.without_bytes && *n == "bytes")).collect();
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    builder.with_projection(mask).with_batch_size(ROWS_AT_ONCE).build()
}

/// The letters of a batch; `None` when it is not a batch of dead letters.
fn decode(batch: &RecordBatch) -> Option<Vec<(Uid, DeadLetter)>> {
    let text = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
    let int = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let (ids, sources, partitions) = (text("dead_id")?, text("source")?, text("source_partition")?);
    let (log_types, stages, reasons) = (text("log_type")?, text("stage")?, text("reason")?);
    let (positions, indexes) = (int("position")?, int("record_index")?);
    let times = batch.column_by_name("received_at")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
    let bytes = batch.column_by_name("bytes").and_then(|c| c.as_binary_opt::<i32>());
    let letter = |i: usize| {
        let letter = DeadLetter {
            key: PartitionKey {
                source: sources.value(i).into(),
                partition: partitions.value(i).into(),
            },
            at: positions.value(i).try_into().ok()?,
            index: indexes.value(i).try_into().ok()?,
            log_type: LogType::from(log_types.value(i)),
            stage: stage(stages.value(i))?,
            reason: reasons.value(i).into(),
            bytes: bytes.map(|b| b.value(i).to_vec().into()).unwrap_or_default(),
            received_at: Timestamp::from_micros(times.value(i)),
        };
        Some((Uid::parse(ids.value(i))?, letter))
    };
    (0..ids.len()).map(letter).collect()
}

fn stage(word: &str) -> Option<Stage> {
    [Stage::Frame, Stage::Parse, Stage::Map, Stage::Store].into_iter().find(|s| s.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::super::lake::tests::{filled, part};
    use super::super::part::Part;
    use super::super::tables::dead_id;
    use super::*;

    async fn ids(at: &LakeStore, wanted: Wanted) -> Vec<(u64, usize, bool)> {
        let snapshot = Snapshot::read(&at.store, &at.root).await.unwrap();
        let mut seen = Vec::new();
        let each = |s: StoredLetter| {
            seen.push((s.letter.at, s.letter.bytes.len(), s.redriven));
            ControlFlow::Continue(())
        };
        read(at, &snapshot, &wanted, each).await.unwrap();
        seen
    }

    #[tokio::test]
    async fn letters_come_back_newest_epoch_first() {
        let (_folder, lake) = filled(2).await;
        let at = lake.store();
        let all = [(30, 9, false), (40, 9, false), (10, 9, false), (20, 9, false)];
        assert_eq!(ids(at, Wanted::default()).await, all);
        let none = Wanted { source: Some("other".into()), ..Wanted::default() };
        assert_eq!(ids(at, none).await, []);
        let without_bytes = Wanted { without_bytes: true, ..Wanted::default() };
        assert_eq!(ids(at, without_bytes).await[0], (30, 0, false));
    }

    #[tokio::test]
    async fn what_was_redriven_is_marked_by_the_epoch_that_did_it() {
        let (_folder, mut lake) = filled(1).await;
        let letter = part("p", 9, 10).dead_letters.swap_remove(0);
        let again = Part { redriven: vec![dead_id(&letter)], ..part("redrive", 0, 1) };
        lake.commit(vec![again]).await.unwrap();
        let at = lake.store();
        let left = Wanted { redriven: Some(false), ..Wanted::default() };
        assert_eq!(ids(at, left).await, [(20, 9, false)]);
        let snapshot = Snapshot::read(&at.store, &at.root).await.unwrap();
        let found = find(at, &snapshot, dead_id(&letter)).await.unwrap().unwrap();
        assert_eq!(found.letter.bytes, letter.bytes);
        assert_eq!((found.redriven, found.letter.stage), (true, Stage::Parse));
        assert!(find(at, &snapshot, Uid([0; 16])).await.unwrap().is_none());
    }
}
