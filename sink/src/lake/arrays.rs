//! Column buffers to Arrow arrays, one column at a time: picks rows of several [`Rows`] in a given order.
//!
//! Nothing is converted on the way: a cell that is not set is null, everything else is itself. Rows that
//! stand together in their buffers are copied together.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use event::Rows;
use event::columns::{Cells, Column, range};

use super::manifest::{ColumnKind, ColumnSpec};

/// Rows per array; an array also ends when it has [`ARRAY_BYTES_MAX`].
const ARRAY_ROWS_MAX: usize = 4096;
/// Text per array. Arrow's offsets are 32 bits; one row beyond this is an array of its own.
const ARRAY_BYTES_MAX: usize = 2 << 20;

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

/// Rows that stand one behind the other in one of several [`Rows`].
#[derive(Clone, Copy, Debug)]
struct Run {
    rows: u32,
    first: u32,
    len: u32,
}

/// The rows of a file in their order, cut into runs.
#[derive(Debug)]
pub(super) struct Picked<'a> {
    rows: &'a [Rows],
    refs: &'a [RowRef],
    runs: Vec<Run>,
}

impl<'a> Picked<'a> {
    /// All `rows` that are picked have the same schema.
    pub(super) fn new(rows: &'a [Rows], refs: &'a [RowRef]) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for r in refs {
            match runs.last_mut() {
                Some(run) if run.rows == r.rows && run.first + run.len == r.row => run.len += 1,
                _ => runs.push(Run { rows: r.rows, first: r.row, len: 1 }),
            }
        }
        Self { rows, refs, runs }
    }

    /// The arrays of a column, one behind the other; each bounded in rows and text.
    pub(super) fn column(&self, column: usize, field: &Field) -> impl Iterator<Item = ArrayRef> {
        let made_late = field.name() == "late" && self.refs.iter().any(|r| r.made_late);
        let mut cutter = Cutter { picked: self, column, run: 0, used: 0, at: 0 };
        std::iter::from_fn(move || {
            let first = cutter.at;
            let runs = cutter.next()?;
            let array = self.array(&runs, column, field.data_type());
            if !made_late {
                return Some(array);
            }
            Some(late(&array, &self.refs[first..cutter.at]))
        })
    }

    fn array(&self, runs: &[Run], column: usize, data_type: &DataType) -> ArrayRef {
        let pieces: Vec<Piece<'_>> = runs
            .iter()
            .map(|run| Piece {
                column: self.rows[run.rows as usize].column(column),
                rows: run.first as usize..(run.first + run.len) as usize,
            })
            .collect();
        let len = pieces.iter().map(|piece| piece.rows.len()).sum();
        let Some(first) = pieces.iter().find(|piece| !piece.column.is_blank()) else {
            return new_null_array(data_type, len);
        };
        let nulls = nulls(&pieces, len);
        match first.column.cells() {
            Cells::Text { .. } => Arc::new(text(&pieces, len, nulls)),
            Cells::TextList { .. } => Arc::new(text_list(&pieces, len, nulls)),
            Cells::Int(_) => Arc::new(Int64Array::new(integers(&pieces, len).into(), nulls)),
            Cells::Time(_) => {
                let array = TimestampMicrosecondArray::new(integers(&pieces, len).into(), nulls);
                Arc::new(array.with_timezone("UTC"))
            }
            Cells::Float(_) => {
                let floats = plain(&pieces, len, 0.0, |cells| match cells {
                    Cells::Float(v) => v,
                    _ => wrong(),
                });
                Arc::new(Float64Array::new(floats.into(), nulls))
            }
            Cells::Bool(_) => {
                let bools = plain(&pieces, len, false, |cells| match cells {
                    Cells::Bool(v) => v,
                    _ => wrong(),
                });
                Arc::new(BooleanArray::new(bools.into(), nulls))
            }
        }
    }
}

/// Goes through the runs of a file in portions of bounded size.
struct Cutter<'p, 'a> {
    picked: &'p Picked<'a>,
    column: usize,
    run: usize,
    /// Rows of the run that were taken.
    used: u32,
    /// Rows taken in all.
    at: usize,
}

impl Cutter<'_, '_> {
    fn next(&mut self) -> Option<Vec<Run>> {
        let (mut rows, mut bytes) = (0, 0);
        let mut taken: Vec<Run> = Vec::new();
        while let Some(run) = self.picked.runs.get(self.run) {
            let column = self.picked.rows[run.rows as usize].column(self.column);
            let first = run.first + self.used;
            let room = (run.len - self.used).min((ARRAY_ROWS_MAX - rows) as u32);
            let mut len = if column.has_text() { 0 } else { room };
            while len < room {
                bytes += column.text_len((first + len) as usize);
                if bytes > ARRAY_BYTES_MAX && rows + len as usize > 0 {
                    break;
                }
                len += 1;
            }
            rows += len as usize;
            if len == 0 {
                break;
            }
            taken.push(Run { rows: run.rows, first, len });
            self.used += len;
            if self.used < run.len {
                break;
            }
            (self.run, self.used) = (self.run + 1, 0);
        }
        self.at += rows;
        (rows > 0).then_some(taken)
    }
}

/// Rows of one column that stand together.
struct Piece<'a> {
    column: &'a Column,
    rows: Range<usize>,
}

fn nulls(pieces: &[Piece<'_>], len: usize) -> Option<NullBuffer> {
    let mut set = Vec::with_capacity(len);
    for Piece { column, rows } in pieces {
        set.extend(rows.clone().map(|row| column.is_set(row)));
    }
    let nulls = NullBuffer::from(set);
    (nulls.null_count() > 0).then_some(nulls)
}

/// Plain values; rows behind the end of a column are null and `blank`.
fn plain<'a, T: Copy + 'a>(
    pieces: &[Piece<'a>],
    len: usize,
    blank: T,
    values: impl Fn(&'a Cells) -> &'a Vec<T>,
) -> Vec<T> {
    let mut all = Vec::with_capacity(len);
    for Piece { column, rows } in pieces {
        let there = values(column.cells());
        let there = &there[rows.start.min(there.len())..rows.end.min(there.len())];
        all.extend_from_slice(there);
        all.resize(all.len() + rows.len() - there.len(), blank);
    }
    all
}

fn integers(pieces: &[Piece<'_>], len: usize) -> Vec<i64> {
    plain(pieces, len, 0, |cells| match cells {
        Cells::Int(v) | Cells::Time(v) => v,
        _ => wrong(),
    })
}

fn text(pieces: &[Piece<'_>], len: usize, nulls: Option<NullBuffer>) -> StringArray {
    let total = pieces.iter().map(|p| p.rows.clone().map(|r| p.column.text_len(r)).sum::<usize>());
    let (mut values, mut offsets) = (Vec::with_capacity(total.sum()), Vec::with_capacity(len + 1));
    offsets.push(0);
    for Piece { column, rows } in pieces {
        let Cells::Text { ends, bytes } = column.cells() else { wrong() };
        copy(rows, ends, bytes, &mut values, &mut offsets);
    }
    strings(offsets, values, nulls)
}

fn text_list(pieces: &[Piece<'_>], len: usize, nulls: Option<NullBuffer>) -> ListArray {
    let (mut values, mut item_offsets) = (Vec::new(), vec![0]);
    let mut offsets = Vec::with_capacity(len + 1);
    offsets.push(0);
    for Piece { column, rows } in pieces {
        let Cells::TextList { ends, item_ends, bytes } = column.cells() else { wrong() };
        for row in rows.clone() {
            copy(&range(ends, row), item_ends, bytes, &mut values, &mut item_offsets);
            offsets.push(offset(item_offsets.len() - 1));
        }
    }
    let items = Arc::new(strings(item_offsets, values, None));
    ListArray::new(element(), OffsetBuffer::new(ScalarBuffer::from(offsets)), items, nulls)
}

/// Appends the texts of a range; those behind the end are empty.
fn copy(
    texts: &Range<usize>,
    ends: &[u32],
    bytes: &[u8],
    values: &mut Vec<u8>,
    offsets: &mut Vec<i32>,
) {
    let there = texts.start.min(ends.len())..texts.end.min(ends.len());
    let start = range(ends, there.start).start;
    let before = values.len();
    if let Some(last) = there.clone().next_back() {
        values.extend_from_slice(&bytes[start..ends[last] as usize]);
    }
    offsets.extend(ends[there.clone()].iter().map(|end| offset(before + *end as usize - start)));
    let missing = texts.len() - there.len();
    offsets.resize(offsets.len() + missing, offset(values.len()));
}

fn strings(offsets: Vec<i32>, values: Vec<u8>, nulls: Option<NullBuffer>) -> StringArray {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from_vec(values), nulls)
        .expect("rows hold whole UTF-8 strings")
}

/// The column `late` where the lake made some rows late.
fn late(array: &ArrayRef, refs: &[RowRef]) -> ArrayRef {
    let said = array.as_boolean().iter();
    let late = said.zip(refs).map(|(said, r)| if r.made_late { Some(true) } else { said });
    Arc::new(late.collect::<BooleanArray>())
}

fn offset(n: usize) -> i32 {
    i32::try_from(n).expect("an array holds far less text than 2 GiB")
}

#[cold]
fn wrong() -> ! {
    panic!("rows of one schema have the same column types")
}
