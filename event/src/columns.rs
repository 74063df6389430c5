//! Rows of one table as plain column buffers: what the mapper fills and the lake turns into Parquet.
//!
//! A cell is set at most once per row; [`Rows::end_row`] makes every unset cell null. Buffers grow
//! and are kept, so filling them does not allocate per event in the steady state.

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

/// The cells of one column. `set` tells which rows hold a value.
#[derive(Clone, Debug)]
pub struct Column {
    pub set: Vec<bool>,
    pub cells: Cells,
}

/// Values of a column, one per row whether set or not (a list column: `ends` has one per row).
#[derive(Clone, Debug)]
pub enum Cells {
    /// Text of row `i` is `bytes[ends[i-1]..ends[i]]`; all of it is UTF-8.
    Text {
        ends: Vec<usize>,
        bytes: Vec<u8>,
    },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    /// Microseconds.
    Time(Vec<i64>),
    /// Items of row `i` are `ends[i-1]..ends[i]` of the items, laid out like `Text`.
    TextList {
        ends: Vec<usize>,
        item_ends: Vec<usize>,
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

    /// Bytes reserved.
    fn capacity(&self) -> usize {
        let word = size_of::<usize>();
        let cells = match &self.cells {
            Cells::Text { ends, bytes } => ends.capacity() * word + bytes.capacity(),
            Cells::Int(v) | Cells::Time(v) => v.capacity() * 8,
            Cells::Float(v) => v.capacity() * 8,
            Cells::Bool(v) => v.capacity(),
            Cells::TextList { ends, item_ends, bytes } => {
                (ends.capacity() + item_ends.capacity()) * word + bytes.capacity()
            }
        };
        self.set.capacity() + cells
    }

    /// Closes the row: what was not set becomes null.
    fn close(&mut self, rows: usize) {
        let set = match &mut self.cells {
            Cells::Text { ends, bytes } => pad(ends, rows, bytes.len()),
            Cells::Int(v) | Cells::Time(v) => pad(v, rows, 0),
            Cells::Float(v) => pad(v, rows, 0.0),
            Cells::Bool(v) => pad(v, rows, false),
            Cells::TextList { ends, item_ends, .. } => {
                let before = ends.last().copied().unwrap_or(0);
                ends.push(item_ends.len());
                item_ends.len() > before
            }
        };
        self.set.push(set);
    }

    /// Drops what the open row has set so far.
    fn reopen(&mut self, rows: usize) {
        match &mut self.cells {
            Cells::Text { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(ends.last().copied().unwrap_or(0));
            }
            Cells::Int(v) | Cells::Time(v) => v.truncate(rows),
            Cells::Float(v) => v.truncate(rows),
            Cells::Bool(v) => v.truncate(rows),
            Cells::TextList { ends, item_ends, bytes } => {
                item_ends.truncate(ends.last().copied().unwrap_or(0));
                bytes.truncate(item_ends.last().copied().unwrap_or(0));
            }
        }
    }
}

/// Makes `cells` one longer than `rows`; returns whether the row's cell was there already.
fn pad<T>(cells: &mut Vec<T>, rows: usize, blank: T) -> bool {
    let set = cells.len() > rows;
    if !set {
        cells.push(blank);
    }
    set
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
        match &mut self.columns[column].cells {
            Cells::Text { ends, bytes } if ends.len() == self.len => {
                bytes.extend_from_slice(value.as_bytes());
                ends.push(bytes.len());
            }
            Cells::Text { .. } => {}
            _ => self.wrong_type(column),
        }
    }

    /// Adds an item to a list cell of the open row.
    #[inline]
    pub fn item(&mut self, column: usize, value: &str) {
        match &mut self.columns[column].cells {
            Cells::TextList { item_ends, bytes, .. } => {
                bytes.extend_from_slice(value.as_bytes());
                item_ends.push(bytes.len());
            }
            _ => self.wrong_type(column),
        }
    }

    /// Whether the open row's list already has this item.
    pub fn has_item(&self, column: usize, value: &str) -> bool {
        let Cells::TextList { ends, item_ends, bytes } = &self.columns[column].cells else {
            self.wrong_type(column)
        };
        let first = ends.last().copied().unwrap_or(0);
        (first..item_ends.len()).any(|i| {
            let start = if i == 0 { 0 } else { item_ends[i - 1] };
            &bytes[start..item_ends[i]] == value.as_bytes()
        })
    }

    /// How many items the open row's list has.
    pub fn open_items(&self, column: usize) -> usize {
        let Cells::TextList { ends, item_ends, .. } = &self.columns[column].cells else {
            self.wrong_type(column)
        };
        item_ends.len() - ends.last().copied().unwrap_or(0)
    }

    #[inline]
    pub fn int(&mut self, column: usize, value: i64) {
        match &mut self.columns[column].cells {
            Cells::Int(v) if v.len() == self.len => {
                v.push(value);
            }
            Cells::Int(_) => {}
            _ => self.wrong_type(column),
        }
    }

    #[inline]
    pub fn float(&mut self, column: usize, value: f64) {
        match &mut self.columns[column].cells {
            Cells::Float(v) if v.len() == self.len => {
                v.push(value);
            }
            Cells::Float(_) => {}
            _ => self.wrong_type(column),
        }
    }

    #[inline]
    pub fn bool(&mut self, column: usize, value: bool) {
        match &mut self.columns[column].cells {
            Cells::Bool(v) if v.len() == self.len => v.push(value),
            Cells::Bool(_) => {}
            _ => self.wrong_type(column),
        }
    }

    /// Sets a time cell.
    #[inline]
    pub fn time(&mut self, column: usize, value: crate::Timestamp) {
        match &mut self.columns[column].cells {
            Cells::Time(v) if v.len() == self.len => {
                v.push(value.micros());
            }
            Cells::Time(_) => {}
            _ => self.wrong_type(column),
        }
    }

    /// Closes the open row.
    pub fn end_row(&mut self) {
        for column in &mut self.columns {
            column.close(self.len);
        }
        self.len += 1;
    }

    /// Forgets the open row.
    pub fn abandon_row(&mut self) {
        for column in &mut self.columns {
            column.reopen(self.len);
        }
    }

    /// The value of a closed row's cell, for tests, cases and alerts; hot paths read columns whole.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let Column { set, cells } = &self.columns[column];
        if !set[row] {
            return Cell::Null;
        }
        match cells {
            Cells::Text { ends, bytes } => Cell::Text(slice(ends, bytes, row)),
            Cells::Int(v) => Cell::Int(v[row]),
            Cells::Float(v) => Cell::Float(v[row]),
            Cells::Bool(v) => Cell::Bool(v[row]),
            Cells::Time(v) => Cell::Time(crate::Timestamp::from_micros(v[row])),
            Cells::TextList { ends, item_ends, bytes } => {
                let start = if row == 0 { 0 } else { ends[row - 1] };
                Cell::List((start..ends[row]).map(|i| slice(item_ends, bytes, i)).collect())
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

fn slice<'b>(ends: &[usize], bytes: &'b [u8], i: usize) -> &'b str {
    let start = if i == 0 { 0 } else { ends[i - 1] };
    std::str::from_utf8(&bytes[start..ends[i]]).expect("only whole strings are appended")
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
mod tests {
    use super::*;

    fn rows() -> Rows {
        let column = |name: &str, column_type| ColumnDef {
            name: name.into(),
            column_type,
            doc: String::new(),
        };
        let columns = vec![
            column("a", ColumnType::Text),
            column("n", ColumnType::Int),
            column("l", ColumnType::TextList),
        ];
        Rows::new(Arc::new(TableSchema { table: "t".into(), columns }))
    }

    #[test]
    fn unset_cells_are_null_and_the_first_value_stays() {
        let mut rows = rows();
        rows.text(0, "x");
        rows.text(0, "y");
        rows.end_row();
        rows.int(1, 7);
        rows.item(2, "p");
        rows.item(2, "q");
        assert!(rows.has_item(2, "q") && !rows.has_item(2, "x"));
        assert_eq!(rows.open_items(2), 2);
        rows.end_row();
        rows.text(0, "");
        rows.end_row();
        assert_eq!(serde_json::Value::from(rows.json(0)), serde_json::json!({"a": "x"}));
        let second = serde_json::json!({"n": 7, "l": ["p", "q"]});
        assert_eq!(serde_json::Value::from(rows.json(1)), second);
        assert_eq!(rows.cell(2, 0), Cell::Text(""), "empty is not null");
        assert!(!rows.has_item(2, "p") && rows.open_items(2) == 0, "the items of an earlier row");
    }

    #[test]
    fn an_abandoned_row_leaves_no_trace() {
        let mut rows = rows();
        rows.text(0, "kept");
        rows.item(2, "i");
        rows.end_row();
        rows.text(0, "dropped");
        rows.int(1, 1);
        rows.item(2, "j");
        rows.abandon_row();
        rows.int(1, 2);
        rows.end_row();
        assert_eq!(rows.len(), 2);
        assert_eq!(serde_json::Value::from(rows.json(1)), serde_json::json!({"n": 2}));
    }
}
