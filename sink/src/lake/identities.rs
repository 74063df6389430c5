//! Which events and alerts the lake has of a stretch of time: their identities, and nothing else of them.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use event::{Timestamp, Uid};
use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::error::{Error, Kind};
use super::layout;
use super::live::LiveFile;
use super::manifest::FileKind;
use super::reader::FileReader;
use super::records;
use super::snapshot::Snapshot;
use super::store::LakeStore;

const KEY: &str = "dedup_key";
const TIME: &str = "event_time_ns";
const ALERT_ID: &str = "alert_id";

/// By what events are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The identity that their log type gives them.
    Key,
    /// The vendor's record, byte by byte ([`of_record`]): for events whose identity is their place, which is
    /// another whenever they come.
    Record,
}

/// The identity of what a vendor wrote, whatever it means.
pub fn of_record(raw: &[u8]) -> Uid {
    Uid::of("record", &[raw])
}

/// Of all events of a table with these times.
///
/// # Errors
/// [`Kind::Store`], also when a file is gone because another has replaced it since the snapshot was read;
/// [`Kind::Damaged`].
pub async fn read(
    at: &LakeStore,
    snapshot: &Snapshot,
    table: &str,
    times: Range<Timestamp>,
    by: By,
) -> Result<HashSet<Uid>, Error> {
    let mut found = HashSet::new();
    for live in snapshot.table(table) {
        let file = &live.file;
        let is_in_time =
            file.max_time >= times.start.micros() && file.min_time <= times.end.micros();
        if file.kind != FileKind::Events || !is_in_time {
            continue;
        }
        match by {
            By::Key if live.columns.iter().any(|column| column.name == KEY) => {
                columns(at, live, &[KEY, TIME], |batch| collect(batch, &times, &mut found)).await?;
            }
            By::Record if records::keeps_raw(live) => {
                let each = |record: &records::StoredRecord<'_>| {
                    if times.contains(&record.event_time) {
                        found.insert(of_record(record.raw.as_bytes()));
                    }
                };
                records::read(at, live, each).await?;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Of the alerts about events of these times, and of some others.
///
/// # Errors
/// As [`read`].
pub async fn alerts(
    at: &LakeStore,
    snapshot: &Snapshot,
    times: Range<Timestamp>,
) -> Result<HashSet<Uid>, Error> {
    let mut found = HashSet::new();
    for live in &snapshot.files {
        let file = &live.file;
        let is_in_time =
            file.max_time >= times.start.micros() && file.min_time <= times.end.micros();
        if file.kind == FileKind::Alerts && is_in_time {
            columns(at, live, &[ALERT_ID], |batch| {
                let ids = batch.column_by_name(ALERT_ID)?.as_string_opt::<i32>()?;
                found.extend(ids.iter().map(|id| Uid::parse(id?)).collect::<Option<Vec<_>>>()?);
                Some(())
            })
            .await?;
        }
    }
    Ok(found)
}

/// Some columns of a file, batch by batch. `each` gives `None` when they are not what they should be.
async fn columns(
    at: &LakeStore,
    live: &LiveFile,
    names: &[&str],
    mut each: impl FnMut(&RecordBatch) -> Option<()>,
) -> Result<(), Error> {
    let (path, bytes) = (&live.file.path, live.file.bytes);
    let failed = |e: ParquetError| {
        let is_store = matches!(e, ParquetError::External(_));
        let kind = if is_store { Kind::Store } else { Kind::Damaged };
        Error::caused(kind, format!("{path} cannot be read"), e)
    };
    let reader = FileReader::new(at.store.clone(), layout::under(&at.root, path), bytes);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(failed)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
    let mut batches = builder.with_projection(mask).build().map_err(failed)?;
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        if each(&batch).is_none() {
            let what = format!("{path} lacks columns, or values in them");
            return Err(Error::new(Kind::Damaged, what));
        }
    }
    Ok(())
}

/// `None` when it is not a batch of events.
fn collect(batch: &RecordBatch, times: &Range<Timestamp>, found: &mut HashSet<Uid>) -> Option<()> {
    let keys = batch.column_by_name(KEY)?.as_string_opt::<i32>()?;
    let at = batch.column_by_name(TIME)?.as_primitive_opt::<Int64Type>()?;
    for row in 0..batch.num_rows() {
        if at.is_valid(row) && times.contains(&Timestamp(at.value(row))) {
            found.insert(Uid::parse(keys.value(row))?);
        }
    }
    Some(())
}
