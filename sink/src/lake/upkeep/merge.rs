//! Many files to one, sorted by time, in bounded memory: an input is opened when its first row is due,
//! read batch by batch, and gone after its last; the output leaves row group by row group.
//!
//! Inputs are compared with their checksums before a row of them is believed: damage must not get a
//! checksum of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use futures::TryStreamExt;
use parquet::arrow::AsyncArrowWriter;
use parquet::errors::ParquetError;

use super::super::arrays;
use super::super::encode::{self, Encoded, FileHead};
use super::super::error::{Error, Kind};
use super::super::layout;
use super::super::live::LiveFile;
use super::super::manifest::{Checksum, DataFile, Digest, FileKind};
use super::super::reader::{self, Batches, Checked};
use super::super::store::LakeStore;
use super::digest::Digester;
use super::erase::{self, Person};
use super::plan::Job;
use super::replace::Merged;
use super::upload::Upload;

/// A row group is closed when it takes this much on disk, or its rows that much in memory.
pub(super) const GROUP_BYTES_MAX: usize = 16 << 20;
const GROUP_MEMORY_MAX: usize = 256 << 20;
/// Rows written at once, and about how many bytes of them.
const WRITE_ROWS: usize = 2_048;
const WRITE_BYTES: usize = 8 << 20;

/// Writes the file of a job.
///
/// # Errors
/// [`Kind::Damaged`] when an input is not what its manifest says, [`Kind::Store`].
pub(super) async fn merge(at: &LakeStore, job: &Job, head: FileHead) -> Result<Merged, Error> {
    let schema = arrays::arrow_schema(&job.columns);
    let path = head.path.clone();
    let failed = |e| unwritten(&path, e);
    let rows = usize::try_from(job.rows()).unwrap_or(usize::MAX);
    let properties = encode::properties(&head, rows, job.times()).map_err(failed)?;
    let upload = Upload::new(at.store.clone(), layout::under(&at.root, &path));
    let mut writer =
        AsyncArrowWriter::try_new(upload, schema.clone(), Some(properties)).map_err(failed)?;
    match write(at, job, schema, &mut writer, &path).await {
        Ok(Written { column_bytes, rows, erased }) => {
            let (bytes, checksum) = writer.into_inner().written();
            let file = data_file(job, head, bytes, checksum, column_bytes);
            let encoded = Encoded { file, columns: job.columns.clone(), bytes: Bytes::new() };
            Ok(Merged { encoded, rows, erased })
        }
        Err(error) => {
            writer.into_inner().abort().await;
            Err(error)
        }
    }
}

fn unwritten(path: &str, error: ParquetError) -> Error {
    Error::caused(Kind::Store, format!("{path} cannot be written"), error)
}

/// What came of it.
struct Written {
    column_bytes: Vec<u64>,
    rows: Digest,
    /// Rows in which a person was erased.
    erased: u64,
}

async fn write(
    at: &LakeStore,
    job: &Job,
    schema: SchemaRef,
    writer: &mut AsyncArrowWriter<Upload>,
    path: &str,
) -> Result<Written, Error> {
    let failed = |e| unwritten(path, e);
    let mut rows = Sorted::new(at, job, schema);
    let mut memory = 0;
    while let Some(batch) = rows.next().await? {
        memory += batch.get_array_memory_size();
        writer.write(&batch).await.map_err(failed)?;
        if writer.in_progress_size() >= GROUP_BYTES_MAX || memory >= GROUP_MEMORY_MAX {
            writer.flush().await.map_err(failed)?;
            memory = 0;
        }
    }
    let (read, expected) = (rows.digester.rows(), job.rows());
    if read != expected {
        let what = format!("the files of {} hold {read} rows instead of {expected}", job.partition);
        return Err(Error::new(Kind::Damaged, what));
    }
    let meta = writer.finish().await.map_err(failed)?;
    if u64::try_from(meta.file_metadata().num_rows()) != Ok(expected) {
        let what = format!("{path} did not get all of {expected} rows");
        return Err(Error::new(Kind::Store, what));
    }
    let column_bytes = encode::column_bytes(&meta, job.columns.len());
    Ok(Written { column_bytes, rows: rows.digester.sum(), erased: rows.erased })
}

fn data_file(
    job: &Job,
    head: FileHead,
    bytes: u64,
    checksum: Checksum,
    column_bytes: Vec<u64>,
) -> DataFile {
    let ((dt, hr), times) = (head.hour.dt_hr(), job.times());
    DataFile {
        path: head.path,
        table: head.table,
        kind: head.kind,
        dt,
        hr,
        rows: job.rows(),
        bytes,
        checksum,
        min_time: times.min_time,
        max_time: times.max_time,
        min_ingest: times.min_ingest,
        max_ingest: times.max_ingest,
        schema: 0,
        column_bytes,
    }
}

/// All rows of the inputs in the order of their times.
struct Sorted<'a> {
    at: &'a LakeStore,
    schema: SchemaRef,
    kind: FileKind,
    /// By their first time.
    waiting: VecDeque<&'a LiveFile>,
    open: Vec<Option<Input>>,
    /// The next row of every open input.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    digester: Digester,
    person: Option<&'a Person>,
    /// Rows in which the person was.
    erased: u64,
}

/// An input and the batch that it is in.
struct Input {
    path: String,
    batches: Batches,
    batch: RecordBatch,
    /// The times of the batch's rows, ascending.
    times: Vec<i64>,
    row: usize,
    /// Where the batch is among those of the rows being collected.
    place: Option<usize>,
}

impl<'a> Sorted<'a> {
    fn new(at: &'a LakeStore, job: &'a Job, schema: SchemaRef) -> Self {
        let (waiting, kind) = (job.inputs.iter().collect(), job.partition.kind);
        let (open, next, digester) = (Vec::new(), BinaryHeap::new(), Digester::default());
        let person = job.erasure.as_ref().map(|erasure| &*erasure.person);
        Self { at, schema, kind, waiting, open, next, digester, person, erased: 0 }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        let (mut batches, mut picked, mut bytes) = (Vec::<RecordBatch>::new(), Vec::new(), 0);
        self.open.iter_mut().flatten().for_each(|input| input.place = None);
        while picked.len() < WRITE_ROWS && bytes < WRITE_BYTES {
            self.open_due().await?;
            let Some(Reverse((_, n))) = self.next.pop() else { break };
            let Some(input) = &mut self.open[n] else { break };
            let place = *input.place.get_or_insert_with(|| {
                batches.push(input.batch.clone());
                batches.len() - 1
            });
            picked.push((place, input.row));
            bytes += input.batch.get_array_memory_size() / input.batch.num_rows().max(1);
            input.row += 1;
            if input.row == input.times.len() {
                self.load(n).await?;
            } else {
                self.next.push(Reverse((input.times[input.row], n)));
            }
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let rows = interleave_record_batch(&batches, &picked)
            .map_err(|e| Error::caused(Kind::Store, "rows cannot be put together", e))?;
        Ok(Some(rows))
    }

    /// Opens the inputs that can have the next row.
    async fn open_due(&mut self) -> Result<(), Error> {
        let due = |live: &LiveFile, next: Option<&Reverse<(i64, usize)>>| {
            next.is_none_or(|Reverse((time, _))| live.file.min_time <= *time)
        };
        while let Some(live) = self.waiting.front().filter(|live| due(live, self.next.peek())) {
            let path = live.file.path.clone();
            let batches = open(self.at, &live.file).await?;
            self.waiting.pop_front();
            let batch = RecordBatch::new_empty(self.schema.clone());
            let input = Input { path, batches, batch, times: Vec::new(), row: 0, place: None };
            self.open.push(Some(input));
            self.load(self.open.len() - 1).await?;
        }
        Ok(())
    }

    /// The next batch of an input, or its end.
    async fn load(&mut self, n: usize) -> Result<(), Error> {
        let Some(input) = &mut self.open[n] else { return Ok(()) };
        let damaged = |what: &str| Error::new(Kind::Damaged, format!("{} {what}", input.path));
        loop {
            let batch = input.batches.try_next().await.map_err(|e| unread(&input.path, e))?;
            let Some(batch) = batch else {
                self.open[n] = None;
                return Ok(());
            };
            let mut batch = fit(&batch, &self.schema)
                .ok_or_else(|| damaged("has columns of other types than its manifest says"))?;
            if let Some(person) = self.person {
                let (blotted, found) = erase::blot(person, &batch);
                batch = blotted;
                self.erased += found.rows;
            }
            if batch.num_rows() == 0 {
                continue;
            }
            self.digester.add(&batch).ok_or_else(|| damaged("has columns of unknown types"))?;
            let last = input.times.last().copied().unwrap_or(i64::MIN);
            input.times = times(&batch, self.kind, last);
            (input.batch, input.row, input.place) = (batch, 0, None);
            self.next.push(Reverse((input.times[0], n)));
            return Ok(());
        }
    }
}

/// Damage is told apart from a store that does not answer.
async fn open(at: &LakeStore, file: &DataFile) -> Result<Batches, Error> {
    match reader::open_checked(at, file, None).await {
        Ok(Checked::Batches(batches, _)) => Ok(batches),
        Ok(Checked::Wrong(what)) => Err(Error::new(Kind::Damaged, format!("{} {what}", file.path))),
        Err(error) => Err(error),
    }
}

fn unread(path: &str, error: ParquetError) -> Error {
    let kind = if matches!(error, ParquetError::External(_)) { Kind::Store } else { Kind::Damaged };
    Error::caused(kind, format!("{path} cannot be read"), error)
}

/// The columns of the output; null where the input has none.
fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Option<RecordBatch> {
    let column = |field: &arrow::datatypes::FieldRef| -> Option<ArrayRef> {
        match batch.column_by_name(field.name()) {
            Some(array) => (array.data_type() == field.data_type()).then(|| array.clone()),
            None => Some(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let known = batch.schema().fields().iter().all(|f| schema.field_with_name(f.name()).is_ok());
    let columns: Option<Vec<ArrayRef>> = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns.filter(|_| known)?).ok()
}

/// The time to sort by of every row, as the file that holds them was sorted. A row without any keeps its
/// place.
fn times(batch: &RecordBatch, kind: FileKind, mut last: i64) -> Vec<i64> {
    let (first, second) = match kind {
        FileKind::Events => ("event_time", "ingest_time"),
        FileKind::Alerts => ("event_time", "detected_at"),
        FileKind::DeadLetters => ("received_at", "received_at"),
    };
    let column = |name| batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
    let (first, second) = (column(first), column(second));
    let time = |i| {
        let found = first.filter(|c| c.is_valid(i)).or(second.filter(|c| c.is_valid(i)));
        last = last.max(found.map_or(i64::MIN, |c| c.value(i)));
        last
    };
    (0..batch.num_rows()).map(time).collect()
}
