//! Events read back as the vendor wrote them, with where they stood: what is needed to match them again,
//! and no other column.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use event::Timestamp;
use futures::TryStreamExt;

use super::error::{Error, Kind};
use super::live::LiveFile;
use super::reader::{self, Checked};
use super::store::LakeStore;

/// The columns that are read.
const COLUMNS: &[&str] = &[
    "event_time_ns",
    "ingest_time",
    "late",
    "source",
    "source_partition",
    "source_position",
    "source_index",
    RAW,
];
const RAW: &str = "raw";

/// An event of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'r> {
    /// The vendor's record, byte by byte.
    pub raw: &'r str,
    pub source: &'r str,
    pub partition: &'r str,
    /// Position of its container in the partition.
    pub at: u64,
    /// Which record of the container, from 0.
    pub index: u32,
    pub event_time: Timestamp,
    /// In whole microseconds.
    pub ingest_time: Timestamp,
    /// It is filed under its arrival.
    pub late: bool,
}

/// Whether the file keeps what the vendor wrote; flow logs have columns only.
pub fn keeps_raw(live: &LiveFile) -> bool {
    live.columns.iter().any(|column| column.name == RAW)
}

/// Calls `each` for every event of a file in the order of the file, after its bytes were compared with
/// their checksum.
///
/// # Errors
/// [`Kind::Store`], or [`Kind::Damaged`] when the file is not what its manifest says.
pub async fn read(
    at: &LakeStore,
    live: &LiveFile,
    mut each: impl FnMut(&StoredRecord<'_>),
) -> Result<(), Error> {
    let path = &live.file.path;
    let damaged = |what: String| Error::new(Kind::Damaged, format!("{path} {what}"));
    let mut batches = match reader::open_checked(at, &live.file, Some(COLUMNS)).await? {
        Checked::Batches(batches, _) => batches,
        Checked::Wrong(what) => return Err(damaged(what)),
    };
    let failed = |e| damaged(reader::unreadable(&e));
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        if visit(&batch, &mut each).is_none() {
            return Err(damaged("lacks columns, or values in them".into()));
        }
    }
    Ok(())
}

/// `None` when it is not a batch of events.
fn visit(batch: &RecordBatch, each: &mut impl FnMut(&StoredRecord<'_>)) -> Option<()> {
    let text = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
    let int = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let (raws, sources, partitions) = (text(RAW)?, text("source")?, text("source_partition")?);
    let (times, positions) = (int("event_time_ns")?, int("source_position")?);
    let (indexes, late) = (int("source_index")?, batch.column_by_name("late")?.as_boolean_opt()?);
    let arrivals = batch.column_by_name("ingest_time")?;
    let arrivals = arrivals.as_primitive_opt::<TimestampMicrosecondType>()?;
    for row in 0..batch.num_rows() {
        if raws.is_null(row) || times.is_null(row) {
            return None;
        }
        each(&StoredRecord {
            raw: raws.value(row),
            source: sources.value(row),
            partition: partitions.value(row),
            at: positions.value(row).try_into().ok()?,
            index: indexes.value(row).try_into().ok()?,
            event_time: Timestamp(times.value(row)),
            ingest_time: Timestamp::from_micros(arrivals.value(row)),
            late: late.value(row),
        });
    }
    Some(())
}
