//! Blots a person out of rows: every column that can hold words of a record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, ListArray, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Int64Type};

use super::person::Person;

/// What was found in some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::lake::upkeep) struct Found {
    pub rows: u64,
    /// Rows, by column.
    pub columns: BTreeMap<String, u64>,
}

impl Found {
    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        for (column, rows) in other.columns {
            *self.columns.entry(column).or_default() += rows;
        }
    }
}

/// The rows without the person, and in how many they were.
pub(in crate::lake::upkeep) fn blot(person: &Person, batch: &RecordBatch) -> (RecordBatch, Found) {
    let (mut columns, mut found) = (Vec::new(), Found::default());
    let mut touched = vec![false; batch.num_rows()];
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some((blotted, rows)) = column(person, array) else {
            columns.push(array.clone());
            continue;
        };
        rows.iter().for_each(|row| touched[*row] = true);
        found.columns.insert(field.name().clone(), rows.len() as u64);
        columns.push(blotted);
    }
    found.rows = touched.into_iter().filter(|touched| *touched).count() as u64;
    let blotted = RecordBatch::try_new(batch.schema(), columns);
    (blotted.expect("columns of the same types and lengths, which may be null"), found)
}

/// Shows the texts of all rows.
pub(super) fn each_text(batch: &RecordBatch, each: &mut impl FnMut(&str)) {
    for array in batch.columns() {
        match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().flatten().for_each(&mut *each),
            DataType::Binary => {
                let chunks =
                    array.as_binary::<i32>().iter().flatten().flat_map(<[u8]>::utf8_chunks);
                chunks.for_each(|chunk| each(chunk.valid()));
            }
            DataType::List(item) if *item.data_type() == DataType::Utf8 => {
                let items = array.as_list::<i32>().values().as_string::<i32>();
                items.iter().flatten().for_each(&mut *each);
            }
            _ => {}
        }
    }
}

/// The column without the person, and the rows in which they were; `None` when they are in none.
fn column(person: &Person, array: &ArrayRef) -> Option<(ArrayRef, Vec<usize>)> {
    match array.data_type() {
        DataType::Utf8 => texts(person, array),
        DataType::Binary => bytes(person, array),
        DataType::Int64 => numbers(person, array),
        DataType::List(item) if *item.data_type() == DataType::Utf8 => {
            lists(person, array.as_list())
        }
        _ => None,
    }
}

fn texts(person: &Person, array: &ArrayRef) -> Option<(ArrayRef, Vec<usize>)> {
    let texts = array.as_string::<i32>();
    let (mut rows, mut out) = (Vec::new(), None::<StringBuilder>);
    for (row, text) in texts.iter().enumerate() {
        let blotted = text.map(|text| person.blot(text));
        if let Some(Cow::Owned(_)) = blotted {
            rows.push(row);
            out.get_or_insert_with(|| {
                let mut out = StringBuilder::new();
                out.extend(texts.iter().take(row));
                out
            });
        }
        if let Some(out) = &mut out {
            out.append_option(blotted);
        }
    }
    Some((Arc::new(out?.finish()), rows))
}

/// Bytes that are not UTF-8 stay as they are, what is between them is text.
fn bytes(person: &Person, array: &ArrayRef) -> Option<(ArrayRef, Vec<usize>)> {
    let values = array.as_binary::<i32>();
    let (mut rows, mut out) = (Vec::new(), BinaryBuilder::new());
    for (row, value) in values.iter().enumerate() {
        let Some(value) = value else {
            out.append_null();
            continue;
        };
        let (mut blotted, mut is_touched) = (Vec::with_capacity(value.len()), false);
        for chunk in value.utf8_chunks() {
            let text = person.blot(chunk.valid());
            is_touched |= matches!(text, Cow::Owned(_));
            blotted.extend_from_slice(text.as_bytes());
            blotted.extend_from_slice(chunk.invalid());
        }
        if is_touched {
            rows.push(row);
        }
        out.append_value(blotted);
    }
    (!rows.is_empty()).then(|| (Arc::new(out.finish()) as ArrayRef, rows))
}

fn numbers(person: &Person, array: &ArrayRef) -> Option<(ArrayRef, Vec<usize>)> {
    let numbers = array.as_primitive::<Int64Type>();
    let is_theirs = |n: Option<i64>| n.is_some_and(|n| person.numbers.contains(&n));
    let rows: Vec<usize> =
        (0..).zip(numbers).filter(|(_, n)| is_theirs(*n)).map(|(row, _)| row).collect();
    let rest = || numbers.iter().map(|n| n.filter(|n| !person.numbers.contains(n)));
    (!rows.is_empty()).then(|| (Arc::new(rest().collect::<Int64Array>()) as ArrayRef, rows))
}

fn lists(person: &Person, list: &ListArray) -> Option<(ArrayRef, Vec<usize>)> {
    let (items, touched) = texts(person, list.values())?;
    let is_touched = |row: &usize| {
        let (start, end) =
            (list.value_offsets()[*row] as usize, list.value_offsets()[*row + 1] as usize);
        touched.partition_point(|item| *item < start) < touched.partition_point(|item| *item < end)
    };
    let rows: Vec<usize> = (0..list.len()).filter(is_touched).collect();
    let DataType::List(field) = list.data_type() else { return None };
    let blotted =
        ListArray::new(field.clone(), list.offsets().clone(), items, list.nulls().cloned());
    (!rows.is_empty()).then(|| (Arc::new(blotted) as ArrayRef, rows))
}

#[cfg(test)]
mod tests;
