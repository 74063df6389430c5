//! Rows to Parquet files: which row goes into which file, and the bytes of a file.
//!
//! Pure and synchronous; the committer runs it away from the async threads. Files of an epoch are
//! small (compaction makes big ones), so a file is built in memory, one bounded batch after another.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use event::Rows;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::arrays::{self, RowRef};
use super::layout::Hour;
use super::manifest::{Checksum, ColumnSpec, DataFile, FileKind, VERSION};

/// Speed and size as measured for audit logs.
const ZSTD_LEVEL: i32 = 3;
/// Bloom filters cost about a byte and a half per value; below this a scan is as fast.
const BLOOM_ROWS_MIN: usize = 10_000;
/// What people look up by one value that is anywhere in time.
const BLOOM_COLUMNS: [&str; 3] = ["event_uid", "source_ip", "actor_name"];
/// Values that (nearly) never repeat: a dictionary of them is only built to be thrown away.
const UNIQUE_COLUMNS: [&str; 6] = ["raw", "event_uid", "dedup_key", "dead_id", "bytes", "event"];
/// Values whose minimum and maximum prune nothing.
const OPAQUE_COLUMNS: [&str; 3] = ["raw", "bytes", "event"];

/// What is known of a file before its bytes are.
#[derive(Clone, Debug)]
pub(super) struct FileHead {
    pub path: String,
    pub table: String,
    pub kind: FileKind,
    pub hour: Hour,
    pub lane: String,
    pub epoch: u64,
    pub columns: Arc<[ColumnSpec]>,
}

/// The rows of a file.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Of the epoch's rows, sorted; the name of the column with the ingest time.
    Rows { rows: Arc<Vec<Rows>>, refs: Vec<RowRef>, ingest: Option<usize> },
    /// Dead letters as they are, with their times in microseconds.
    Batches { batches: Vec<RecordBatch>, min_time: i64, max_time: i64 },
}

/// A file to build.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub head: FileHead,
    pub content: Content,
}

/// A file as it will be stored. `file.schema` is not set yet.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub file: DataFile,
    pub columns: Arc<[ColumnSpec]>,
    pub bytes: Bytes,
}

/// Builds a file.
///
/// # Errors
/// What the Parquet writer says; with our own schemas that is a bug or memory.
pub(super) fn encode(job: &Job) -> Result<Encoded, ParquetError> {
    let schema = arrays::arrow_schema(&job.head.columns);
    let times = job.content.times();
    let (bytes, meta) = match &job.content {
        Content::Rows { rows, refs, .. } => {
            let batches = arrays::batches(rows, refs, &schema);
            write(&job.head, &schema, refs.len(), times, batches)?
        }
        Content::Batches { batches, .. } => {
            let rows = batches.iter().map(RecordBatch::num_rows).sum();
            write(&job.head, &schema, rows, times, batches.iter().cloned())?
        }
    };
    let bytes = Bytes::from(bytes);
    let (dt, hr) = job.head.hour.dt_hr();
    let file = DataFile {
        path: job.head.path.clone(),
        table: job.head.table.clone(),
        kind: job.head.kind,
        dt,
        hr,
        rows: meta.file_metadata().num_rows() as u64,
        bytes: bytes.len() as u64,
        checksum: Checksum::of(&bytes),
        min_time: times.min_time,
        max_time: times.max_time,
        min_ingest: times.min_ingest,
        max_ingest: times.max_ingest,
        schema: 0,
        column_bytes: column_bytes(&meta, job.head.columns.len()),
    };
    Ok(Encoded { file, columns: job.head.columns.clone(), bytes })
}

#[derive(Clone, Copy)]
struct Times {
    min_time: i64,
    max_time: i64,
    min_ingest: i64,
    max_ingest: i64,
}

impl Content {
    fn times(&self) -> Times {
        match self {
            Self::Batches { min_time, max_time, .. } => Times {
                min_time: *min_time,
                max_time: *max_time,
                min_ingest: *min_time,
                max_ingest: *max_time,
            },
            Self::Rows { rows, refs, ingest } => {
                let (min_time, max_time) = (refs[0].time, refs[refs.len() - 1].time);
                let times = refs.iter().map(|r| {
                    let rows = &rows[r.rows as usize];
                    ingest.and_then(|c| super::plan::time_at(rows, c, r.row)).unwrap_or(r.time)
                });
                let (min_ingest, max_ingest) =
                    times.fold((i64::MAX, i64::MIN), |(lo, hi), t| (lo.min(t), hi.max(t)));
                Times { min_time, max_time, min_ingest, max_ingest }
            }
        }
    }
}

fn write(
    head: &FileHead,
    schema: &SchemaRef,
    rows: usize,
    times: Times,
    batches: impl Iterator<Item = RecordBatch>,
) -> Result<(Vec<u8>, ParquetMetaData), ParquetError> {
    let properties = properties(head, rows, times)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
    for batch in batches {
        writer.write(&batch)?;
    }
    let meta = writer.finish()?;
    Ok((std::mem::take(writer.inner_mut()), meta))
}

fn properties(
    head: &FileHead,
    rows: usize,
    times: Times,
) -> Result<WriterProperties, ParquetError> {
    let keys = [
        ("mantissa.format", VERSION.to_string()),
        ("mantissa.table", head.table.clone()),
        ("mantissa.lane", head.lane.clone()),
        ("mantissa.epoch", head.epoch.to_string()),
        ("mantissa.min_time_us", times.min_time.to_string()),
        ("mantissa.max_time_us", times.max_time.to_string()),
    ];
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("mantissa ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(
            keys.into_iter().map(|(k, v)| KeyValue::new(k.to_owned(), v)).collect(),
        ));
    for (i, column) in head.columns.iter().enumerate() {
        let (name, path) = (column.name.as_str(), ColumnPath::from(column.name.as_str()));
        if name == "event_time" {
            let by_time =
                SortingColumn { column_idx: i as i32, descending: false, nulls_first: false };
            builder = builder.set_sorting_columns(Some(vec![by_time]));
        }
        if UNIQUE_COLUMNS.contains(&name) {
            builder = builder.set_column_dictionary_enabled(path.clone(), false);
        }
        if OPAQUE_COLUMNS.contains(&name) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        if rows >= BLOOM_ROWS_MIN && BLOOM_COLUMNS.contains(&name) {
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), 0.01)
                .set_column_bloom_filter_max_ndv(path, rows as u64);
        }
    }
    Ok(builder.build())
}

/// Compressed bytes of each top-level column. Every column of ours has exactly one leaf.
fn column_bytes(meta: &ParquetMetaData, columns: usize) -> Vec<u64> {
    let mut bytes = vec![0; columns];
    for group in meta.row_groups() {
        for (total, chunk) in bytes.iter_mut().zip(group.columns()) {
            *total += u64::try_from(chunk.compressed_size()).unwrap_or(0);
        }
    }
    bytes
}
