//! Rows to Parquet files: which row goes into which file, and the bytes of a file.
//!
//! Pure and synchronous; the committer runs it on threads of its own. Files of an epoch are small
//! (compaction makes big ones), so a file is built in memory: one row group, whose columns are encoded
//! one by one, several at once when there are several threads. A column at a time needs the memory of
//! one column beside the compressed bytes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use event::Rows;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowWriterOptions, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use super::arrays::{self, Picked, RowRef};
use super::layout::Hour;
use super::manifest::{Checksum, ColumnSpec, DataFile, FileKind, VERSION};

/// Speed and size as measured for audit logs.
const ZSTD_LEVEL: i32 = 3;
/// After so many rows it is looked whether a page is full. The usual 1,024 rows of records are several times
/// a page.
const ROWS_PER_LOOK: usize = 256;
/// Bloom filters cost about a byte and a half per value; below this a scan is as fast.
const BLOOM_ROWS_MIN: usize = 10_000;
/// What people look up by one value that is anywhere in time.
const BLOOM_COLUMNS: [&str; 3] = ["event_uid", "source_ip", "actor_name"];
/// Values that (nearly) never repeat: a dictionary of them is only built to be thrown away.
const UNIQUE_COLUMNS: [&str; 9] = [
    "raw",
    "event_uid",
    "dedup_key",
    "dead_id",
    "bytes",
    "event",
    "event_time",
    "event_time_ns",
    "source_position",
];
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
            let properties = properties(&job.head, refs.len(), times)?;
            write_columns(&Picked::new(rows, refs), &schema, properties)?
        }
        Content::Batches { batches, .. } => {
            let rows = batches.iter().map(RecordBatch::num_rows).sum();
            write_batches(batches, &schema, properties(&job.head, rows, times)?)?
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

/// Bounds of a file, inclusive, in microseconds; see [`DataFile`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub min_time: i64,
    pub max_time: i64,
    pub min_ingest: i64,
    pub max_ingest: i64,
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

type Written = (Vec<u8>, ParquetMetaData);

fn write_batches(
    batches: &[RecordBatch],
    schema: &SchemaRef,
    properties: WriterProperties,
) -> Result<Written, ParquetError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    let meta = writer.finish()?;
    Ok((std::mem::take(writer.inner_mut()), meta))
}

fn write_columns(
    picked: &Picked<'_>,
    schema: &SchemaRef,
    properties: WriterProperties,
) -> Result<Written, ParquetError> {
    // The record itself takes as long as all other columns together: it goes first.
    let mut order: Vec<usize> = (0..schema.fields().len()).collect();
    order.sort_by_key(|column| schema.field(*column).name() != "raw");
    let chunks: Result<Vec<_>, _> = order
        .into_par_iter()
        .with_max_len(1)
        .map(|column| Ok((column, chunk(picked, column, schema, &properties)?)))
        .collect();
    let mut chunks: Vec<(usize, ArrowColumnChunk)> = chunks.map_err(|e: ParquetError| e)?;
    chunks.sort_unstable_by_key(|(column, _)| *column);
    let bytes: u64 = chunks.iter().map(|(_, chunk)| chunk.close().bytes_written).sum();
    let footer = FOOTER_BYTES + schema.fields().len() * FOOTER_BYTES_PER_COLUMN;
    let out = Vec::with_capacity(bytes as usize + footer);
    let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
    let (mut writer, _) = writer.into_serialized_writer()?;
    let mut group = writer.next_row_group()?;
    for (_, chunk) in chunks {
        chunk.append_to_row_group(&mut group)?;
    }
    group.close()?;
    let meta = writer.finish()?;
    Ok((std::mem::take(writer.inner_mut()), meta))
}

/// About what the metadata at the end of a file take, so that its buffer need not grow.
const FOOTER_BYTES: usize = 4 << 10;
const FOOTER_BYTES_PER_COLUMN: usize = 512;

/// Encodes one column. Its writer knows a schema of that column alone, so that only one column's
/// buffers exist on each thread.
fn chunk(
    picked: &Picked<'_>,
    column: usize,
    schema: &SchemaRef,
    properties: &WriterProperties,
) -> Result<ArrowColumnChunk, ParquetError> {
    let field = schema.field(column);
    let alone = Arc::new(Schema::new(vec![field.clone()]));
    let options = ArrowWriterOptions::new()
        .with_properties(properties.clone())
        .with_skip_arrow_metadata(true);
    let file = ArrowWriter::try_new_with_options(std::io::sink(), alone, options)?;
    let (_, factory) = file.into_serialized_writer()?;
    let mut writers = factory.create_column_writers(0)?;
    let (Some(mut writer), true) = (writers.pop(), writers.is_empty()) else {
        let what = format!("the column {} does not have exactly one leaf", field.name());
        return Err(ParquetError::General(what));
    };
    for array in picked.column(column, field) {
        for leaf in compute_leaves(field, &array)? {
            writer.write(&leaf)?;
        }
    }
    writer.close()
}

pub(super) fn properties(
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
        .set_write_batch_size(ROWS_PER_LOOK)
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
pub(super) fn column_bytes(meta: &ParquetMetaData, columns: usize) -> Vec<u64> {
    let mut bytes = vec![0; columns];
    for group in meta.row_groups() {
        for (total, chunk) in bytes.iter_mut().zip(group.columns()) {
            *total += u64::try_from(chunk.compressed_size()).unwrap_or(0);
        }
    }
    bytes
}
