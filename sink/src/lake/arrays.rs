//! Column buffers to Arrow arrays: picks rows of several [`Rows`] in a given order.
//!
//! Nothing is converted on the way: a cell that is not set is null, everything else is itself.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use event::Rows;
use event::columns::Cells;

use super::manifest::{ColumnKind, ColumnSpec};

/// Rows per batch; a batch also ends when it has [`BATCH_BYTES_MAX`].
const BATCH_ROWS_MAX: usize = 8192;
/// Text per batch. Arrow's offsets are 32 bits; one row beyond this is a batch of its own.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// A row among several [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowRef {
    /// Time to sort by, microseconds. First, so that references sort by time.
    pub time: i64,
    pub rows: u32,
    pub row: u32,
    /// Filed under its ingest hour by the lake, not by the mapper: `late` becomes true.
    pub made_late: bool,
}

/// The Arrow type of a kind of column.
pub fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Int => DataType::Int64,
        ColumnKind::Float => DataType::Float64,
        ColumnKind::Bool => DataType::Boolean,
        ColumnKind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnKind::TextList => DataType::List(element()),
        ColumnKind::Binary => DataType::Binary,
    }
}

/// The Arrow schema of a file with these columns.
pub fn arrow_schema(columns: &[ColumnSpec]) -> SchemaRef {
    let field = |c: &ColumnSpec| Field::new(&c.name, data_type(c.kind), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

/// Cuts `refs` into batches of bounded size, in order.
pub(super) fn batches<'a>(
    rows: &'a [Rows],
    refs: &'a [RowRef],
    schema: &'a SchemaRef,
) -> impl Iterator<Item = RecordBatch> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &refs[at..];
        if rest.is_empty() {
            return None;
        }
        let chunk = &rest[..chunk_len(rows, rest)];
        at += chunk.len();
        Some(batch(rows, chunk, schema))
    })
}

/// How many of these rows make the next batch; at least one.
fn chunk_len(rows: &[Rows], refs: &[RowRef]) -> usize {
    let mut bytes = 0;
    for (n, r) in refs.iter().take(BATCH_ROWS_MAX).enumerate() {
        bytes += row_bytes(&rows[r.rows as usize], r.row as usize);
        if bytes > BATCH_BYTES_MAX && n > 0 {
            return n;
        }
    }
    refs.len().min(BATCH_ROWS_MAX)
}

fn row_bytes(rows: &Rows, row: usize) -> usize {
    let columns = 0..rows.schema().columns.len();
    columns
        .map(|column| match &rows.column(column).cells {
            Cells::Text { ends, .. } => range(ends, row).len(),
            Cells::TextList { ends, item_ends, .. } => {
                let items = range(ends, row);
                if items.is_empty() {
                    0
                } else {
                    item_ends[items.end - 1] - range(item_ends, items.start).start
                }
            }
            _ => 0,
        })
        .sum()
}

fn batch(rows: &[Rows], refs: &[RowRef], schema: &SchemaRef) -> RecordBatch {
    let columns = (0..schema.fields().len())
        .map(|column| {
            if schema.field(column).name() == "late" && refs.iter().any(|r| r.made_late) {
                late(rows, refs, column)
            } else {
                array(rows, refs, column)
            }
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns)
        .expect("the arrays were built from the schema, one value per row")
}

/// The column of `refs`; all `rows` have the same schema.
fn array(rows: &[Rows], refs: &[RowRef], column: usize) -> ArrayRef {
    let first = &rows[refs[0].rows as usize];
    match &first.column(column).cells {
        Cells::Text { .. } => text(rows, refs, column),
        Cells::TextList { .. } => text_list(rows, refs, column),
        Cells::Int(_) => {
            let values = gather(rows, refs, column, |c, i| match c {
                Cells::Int(v) => v[i],
                _ => wrong(),
            });
            Arc::new(Int64Array::new(values.into(), nulls(rows, refs, column)))
        }
        Cells::Float(_) => {
            let values = gather(rows, refs, column, |c, i| match c {
                Cells::Float(v) => v[i],
                _ => wrong(),
            });
            Arc::new(Float64Array::new(values.into(), nulls(rows, refs, column)))
        }
        Cells::Time(_) => {
            let values = gather(rows, refs, column, |c, i| match c {
                Cells::Time(v) => v[i],
                _ => wrong(),
            });
            let array = TimestampMicrosecondArray::new(values.into(), nulls(rows, refs, column));
            Arc::new(array.with_timezone("UTC"))
        }
        Cells::Bool(_) => {
            let values = gather(rows, refs, column, bool_at);
            Arc::new(BooleanArray::new(values.into(), nulls(rows, refs, column)))
        }
    }
}

/// The column `late` where the lake made some rows late.
fn late(rows: &[Rows], refs: &[RowRef], column: usize) -> ArrayRef {
    let cells = refs.iter().map(|r| {
        let c = rows[r.rows as usize].column(column);
        r.made_late
            .then_some(true)
            .or(c.set[r.row as usize].then(|| bool_at(&c.cells, r.row as usize)))
    });
    Arc::new(cells.collect::<BooleanArray>())
}

fn bool_at(cells: &Cells, row: usize) -> bool {
    match cells {
        Cells::Bool(v) => v[row],
        _ => wrong(),
    }
}

fn gather<T>(
    rows: &[Rows],
    refs: &[RowRef],
    column: usize,
    get: impl Fn(&Cells, usize) -> T,
) -> Vec<T> {
    refs.iter().map(|r| get(&rows[r.rows as usize].column(column).cells, r.row as usize)).collect()
}

fn nulls(rows: &[Rows], refs: &[RowRef], column: usize) -> Option<NullBuffer> {
    let set = |r: &RowRef| rows[r.rows as usize].column(column).set[r.row as usize];
    let nulls: NullBuffer = refs.iter().map(set).collect::<Vec<bool>>().into();
    (nulls.null_count() > 0).then_some(nulls)
}

fn text(rows: &[Rows], refs: &[RowRef], column: usize) -> ArrayRef {
    let (mut values, mut offsets) = (Vec::new(), Vec::with_capacity(refs.len() + 1));
    offsets.push(0);
    for r in refs {
        let Cells::Text { ends, bytes } = &rows[r.rows as usize].column(column).cells else {
            wrong()
        };
        values.extend_from_slice(&bytes[range(ends, r.row as usize)]);
        offsets.push(offset(values.len()));
    }
    Arc::new(strings(offsets, values, nulls(rows, refs, column)))
}

fn text_list(rows: &[Rows], refs: &[RowRef], column: usize) -> ArrayRef {
    let (mut values, mut item_offsets, mut offsets) = (Vec::new(), vec![0], vec![0]);
    for r in refs {
        let Cells::TextList { ends, item_ends, bytes } =
            &rows[r.rows as usize].column(column).cells
        else {
            wrong()
        };
        for item in range(ends, r.row as usize) {
            values.extend_from_slice(&bytes[range(item_ends, item)]);
            item_offsets.push(offset(values.len()));
        }
        offsets.push(offset(item_offsets.len() - 1));
    }
    let items = Arc::new(strings(item_offsets, values, None));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let nulls = nulls(rows, refs, column);
    Arc::new(ListArray::new(element(), offsets, items, nulls))
}

fn strings(offsets: Vec<i32>, values: Vec<u8>, nulls: Option<NullBuffer>) -> StringArray {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from_vec(values), nulls)
        .expect("rows hold whole UTF-8 strings")
}

fn offset(n: usize) -> i32 {
    i32::try_from(n).expect("a batch holds far less text than 2 GiB")
}

/// Where value `i` lies, given where each ends.
fn range(ends: &[usize], i: usize) -> std::ops::Range<usize> {
    (if i == 0 { 0 } else { ends[i - 1] })..ends[i]
}

#[cold]
fn wrong() -> ! {
    panic!("rows of one schema have the same column types")
}
