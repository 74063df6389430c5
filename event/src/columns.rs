//! Rows of one table as plain column buffers: what the mapper fills and the lake turns into Parquet.
//!
//! A cell is set at most once per row; one that was not set when the row ends is null. A column is only
//! touched by the rows that set it: nulls are filled in when the next value comes, and at the end a
//! column may be shorter than its table. Buffers grow and are kept, so filling them does not allocate
//! per event in the steady state.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The type of a column. Restricted to what every reader of Parquet understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// Signed 64-bit integer.
    Int,
    /// IEEE 754 binary64.
    Float,
    Bool,
    /// Microseconds since the epoch, UTC.
    Time,
    /// List of UTF-8 text.
    TextList,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// snake_case, legal in every SQL dialect without quotes.
    pub name: String,
    pub column_type: ColumnType,
    /// What it holds: shape, unit, and for common columns the ECS field.
    #[serde(default)]
    pub doc: String,
}

/// The columns of one table of the lake, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// `aws_cloudtrail`; see [`crate::LogType::table`].
    pub table: String,
    pub columns: Vec<ColumnDef>,
}

impl TableSchema {
    /// The position of a column.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// The cells of one column. It may be shorter than its table: the rows behind its end are null, so a
/// column that is never set costs nothing.
#[derive(Clone, Debug)]
pub struct Column {
    /// Which rows hold a value; of a list column nothing, there a row without items is null.
    set: Vec<bool>,
    cells: Cells,
}

/// Values of a column, one per row whether set or not (a list column: `ends` has one per row).
#[derive(Clone, Debug)]
pub enum Cells {
    /// Text of row `i` is `bytes[ends[i-1]..ends[i]]`; all of it is UTF-8.
    Text {
        ends: Vec<u32>,
        bytes: Vec<u8>,
    },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    /// Microseconds.
    Time(Vec<i64>),
    /// Items of row `i` are `ends[i-1]..ends[i]` of the items, laid out like `Text`.
    TextList {
        ends: Vec<u32>,
        item_ends: Vec<u32>,
        bytes: Vec<u8>,
    },
}

impl Column {
    fn new(column_type: ColumnType) -> Self {
        let cells = match column_type {
            ColumnType::Text => Cells::Text { ends: Vec::new(), bytes: Vec::new() },
            ColumnType::Int => Cells::Int(Vec::new()),
            ColumnType::Float => Cells::Float(Vec::new()),
            ColumnType::Bool => Cells::Bool(Vec::new()),
            ColumnType::Time => Cells::Time(Vec::new()),
            ColumnType::TextList => {
                Cells::TextList { ends: Vec::new(), item_ends: Vec::new(), bytes: Vec::new() }
            }
        };
        Self { set: Vec::new(), cells }
    }

    /// The values. Rows behind their end are null.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Whether a row holds a value.
    #[inline]
    pub fn is_set(&self, row: usize) -> bool {
        match &self.cells {
            Cells::TextList { ends, .. } => !range(ends, row).is_empty(),
            _ => self.set.get(row).copied().unwrap_or(false),
        }
    }

    /// Whether no row holds a value.
    pub fn is_blank(&self) -> bool {
        match &self.cells {
            Cells::TextList { item_ends, .. } => item_ends.is_empty(),
            _ => self.set.is_empty(),
        }
    }

    /// Whether its values are text.
    pub fn has_text(&self) -> bool {
        matches!(self.cells, Cells::Text { .. } | Cells::TextList { .. })
    }

    /// Bytes of text that a row holds.
    #[inline]
    pub fn text_len(&self, row: usize) -> usize {
        match &self.cells {
            Cells::Text { ends, .. } => range(ends, row).len(),
            Cells::TextList { ends, item_ends, .. } => {
                let items = range(ends, row);
                if items.is_empty() {
                    return 0;
                }
                item_ends[items.end - 1] as usize - range(item_ends, items.start).start
            }
            _ => 0,
        }
    }

    /// Bytes reserved.
    fn capacity(&self) -> usize {
        let cells = match &self.cells {
            Cells::Text { ends, bytes } => ends.capacity() * 4 + bytes.capacity(),
            Cells::Int(v) | Cells::Time(v) => v.capacity() * 8,
            Cells::Float(v) => v.capacity() * 8,
            Cells::Bool(v) => v.capacity(),
            Cells::TextList { ends, item_ends, bytes } => {
                (ends.capacity() + item_ends.capacity()) * 4 + bytes.capacity()
            }
        };
        self.set.capacity() + cells
    }

    /// Bytes filled.
    fn used(&self) -> usize {
        let cells = match &self.cells {
            Cells::Text { ends, bytes } => ends.len() * 4 + bytes.len(),
            Cells::Int(v) | Cells::Time(v) => v.len() * 8,
            Cells::Float(v) => v.len() * 8,
            Cells::Bool(v) => v.len(),
            Cells::TextList { ends, item_ends, bytes } => {
                (ends.len() + item_ends.len()) * 4 + bytes.len()
            }
        };
        self.set.len() + cells
    }

    /// Forgets the values and keeps the buffers.
    fn clear(&mut self) {
        self.set.clear();
        match &mut self.cells {
            Cells::Text { ends, bytes } => {
                ends.clear();
                bytes.clear();
            }
            Cells::Int(v) | Cells::Time(v) => v.clear(),
            Cells::Float(v) => v.clear(),
            Cells::Bool(v) => v.clear(),
            Cells::TextList { ends, item_ends, bytes } => {
                ends.clear();
                item_ends.clear();
                bytes.clear();
            }
        }
    }

    /// Drops what the row after `rows` closed ones has set so far.
    fn reopen(&mut self, rows: usize) {
        self.set.truncate(rows);
        match &mut self.cells {
            Cells::Text { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(end(ends));
            }
            Cells::Int(v) | Cells::Time(v) => v.truncate(rows),
            Cells::Float(v) => v.truncate(rows),
            Cells::Bool(v) => v.truncate(rows),
            Cells::TextList { ends, item_ends, bytes } => {
                ends.truncate(rows);
                item_ends.truncate(end(ends));
                bytes.truncate(end(item_ends));
            }
        }
    }
}

/// Where value `row` lies, given where each ends; nothing for rows behind the end.
#[inline]
pub fn range(ends: &[u32], row: usize) -> Range<usize> {
    match ends.get(row) {
        Some(end) => (if row == 0 { 0 } else { ends[row - 1] as usize })..*end as usize,
        None => 0..0,
    }
}

/// Where the last value ends.
#[inline]
fn end(ends: &[u32]) -> usize {
    ends.last().map_or(0, |end| *end as usize)
}

/// A buffer's length as an end. A buffer holds the rows of one worker's chunk, megabytes.
#[inline]
fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("rows are handed over long before they hold 4 GiB of text")
}

/// Appends to a column of plain values; false when the open row has one already.
#[inline]
fn push<T: Copy + Default>(set: &mut Vec<bool>, cells: &mut Vec<T>, rows: usize, value: T) -> bool {
    if cells.len() > rows {
        return false;
    }
    if cells.len() < rows {
        cells.resize(rows, T::default());
        set.resize(rows, false);
    }
    cells.push(value);
    set.push(true);
    true
}

/// Rows of one table.
#[derive(Clone, Debug)]
pub struct Rows {
    schema: Arc<TableSchema>,
    columns: Vec<Column>,
    len: usize,
}

impl Rows {
    /// No rows of this table.
    pub fn new(schema: Arc<TableSchema>) -> Self {
        let columns = schema.columns.iter().map(|c| Column::new(c.column_type)).collect();
        Self { schema, columns, len: 0 }
    }

    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Closed rows.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the buffers take, whether filled or only reserved.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::capacity).sum()
    }

    /// Bytes of the buffers that are filled.
    pub fn used_bytes(&self) -> usize {
        self.columns.iter().map(Column::used).sum()
    }

    /// The column at an index of the schema.
    pub fn column(&self, column: usize) -> &Column {
        &self.columns[column]
    }

    /// Sets a text cell of the open row. A cell that is set already keeps its value.
    ///
    /// # Panics
    /// This and the other setters panic when the column has another type: a caller's bug.
    #[inline]
    pub fn text(&mut self, column: usize, value: &str) {
        let Column { set, cells: Cells::Text { ends, bytes } } = &mut self.columns[column] else {
            self.wrong_type(column)
        };
        if ends.len() > self.len {
            return;
        }
        if ends.len() < self.len {
            ends.resize(self.len, offset(bytes.len()));
            set.resize(self.len, false);
        }
        bytes.extend_from_slice(value.as_bytes());
        ends.push(offset(bytes.len()));
        set.push(true);
    }

    /// Adds an item to a list cell of the open row.
    #[inline]
    pub fn item(&mut self, column: usize, value: &str) {
        let Cells::TextList { ends, item_ends, bytes } = &mut self.columns[column].cells else {
            self.wrong_type(column)
        };
        let before = offset(item_ends.len());
        bytes.extend_from_slice(value.as_bytes());
        item_ends.push(offset(bytes.len()));
        match ends.get_mut(self.len) {
            Some(end) => *end = before + 1,
            None => {
                ends.resize(self.len, before);
                ends.push(before + 1);
            }
        }
    }

    /// The items of the open row's list: their numbers among all items of the column.
    fn open(&self, column: usize) -> (Range<usize>, &[u32], &[u8]) {
        let Cells::TextList { ends, item_ends, bytes } = &self.columns[column].cells else {
            self.wrong_type(column)
        };
        (range(ends, self.len), item_ends, bytes)
    }

    /// Whether the open row's list already has this item.
    pub fn has_item(&self, column: usize, value: &str) -> bool {
        let (mut items, item_ends, bytes) = self.open(column);
        items.any(|i| &bytes[range(item_ends, i)] == value.as_bytes())
    }

    /// How many items the open row's list has.
    pub fn open_items(&self, column: usize) -> usize {
        self.open(column).0.len()
    }

    #[inline]
    pub fn int(&mut self, column: usize, value: i64) {
        match &mut self.columns[column] {
            Column { set, cells: Cells::Int(v) } => push(set, v, self.len, value),
            _ => self.wrong_type(column),
        };
    }

    #[inline]
    pub fn float(&mut self, column: usize, value: f64) {
        match &mut self.columns[column] {
            Column { set, cells: Cells::Float(v) } => push(set, v, self.len, value),
            _ => self.wrong_type(column),
        };
    }

    #[inline]
    pub fn bool(&mut self, column: usize, value: bool) {
        match &mut self.columns[column] {
            Column { set, cells: Cells::Bool(v) } => push(set, v, self.len, value),
            _ => self.wrong_type(column),
        };
    }

    /// Sets a time cell.
    #[inline]
    pub fn time(&mut self, column: usize, value: crate::Timestamp) {
        match &mut self.columns[column] {
            Column { set, cells: Cells::Time(v) } => push(set, v, self.len, value.micros()),
            _ => self.wrong_type(column),
        };
    }

    /// Closes the open row. Cells that were not set are null.
    #[inline]
    pub fn end_row(&mut self) {
        self.len += 1;
    }

    /// Forgets the open row.
    pub fn abandon_row(&mut self) {
        for column in &mut self.columns {
            column.reopen(self.len);
        }
    }

    /// Forgets all rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Column::clear);
        self.len = 0;
    }

    /// The value of a closed row's cell, for tests, cases and alerts; hot paths read columns whole.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let column = &self.columns[column];
        if !column.is_set(row) {
            return Cell::Null;
        }
        match &column.cells {
            Cells::Text { ends, bytes } => Cell::Text(text(bytes, range(ends, row))),
            Cells::Int(v) => Cell::Int(v[row]),
            Cells::Float(v) => Cell::Float(v[row]),
            Cells::Bool(v) => Cell::Bool(v[row]),
            Cells::Time(v) => Cell::Time(crate::Timestamp::from_micros(v[row])),
            Cells::TextList { ends, item_ends, bytes } => {
                let items = range(ends, row).map(|i| text(bytes, range(item_ends, i)));
                Cell::List(items.collect())
            }
        }
    }

    /// One row as a JSON object of its cells that are not null, in schema order.
    pub fn json(&self, row: usize) -> serde_json::Map<String, serde_json::Value> {
        let names = self.schema.columns.iter().map(|c| &c.name);
        names
            .enumerate()
            .filter_map(|(i, name)| Some((name.clone(), self.cell(row, i).json()?)))
            .collect()
    }

    #[cold]
    fn wrong_type(&self, column: usize) -> ! {
        panic!("column {} has another type", self.schema.columns[column].name)
    }
}

fn text(bytes: &[u8], range: Range<usize>) -> &str {
    std::str::from_utf8(&bytes[range]).expect("only whole strings are appended")
}

/// One cell. See [`Rows::cell`].
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'r> {
    Null,
    Text(&'r str),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(crate::Timestamp),
    List(Vec<&'r str>),
}

impl Cell<'_> {
    /// As JSON; times in RFC 3339; `None` for null.
    pub fn json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Cell::Null => return None,
            Cell::Text(s) => (*s).into(),
            Cell::Int(n) => (*n).into(),
            Cell::Float(n) => (*n).into(),
            Cell::Bool(b) => (*b).into(),
            Cell::Time(t) => t.to_string().into(),
            Cell::List(items) => items.clone().into(),
        })
    }
}

#[cfg(test)]
mod tests;
