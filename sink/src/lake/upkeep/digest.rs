//! A sum over rows, whatever their order and whatever files they are in. A cell that is not set adds
//! nothing, so that a column that came later does not change it.
//!
//! It guards against mistakes of ours, not against somebody who can write to the lake.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use super::super::manifest::Digest;

/// Sums up.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::lake) struct Digester {
    sum: Digest,
    rows: u64,
}

impl Digester {
    /// Adds the rows of a batch of the lake. `None`, and nothing is added, when a column has a type that
    /// the lake does not write.
    pub(in crate::lake) fn add(&mut self, batch: &RecordBatch) -> Option<()> {
        let schema = batch.schema();
        let mut columns: Vec<(&str, &ArrayRef)> =
            schema.fields().iter().map(|f| f.name().as_str()).zip(batch.columns()).collect();
        columns.sort_unstable_by_key(|(name, _)| *name);
        let columns: Option<Vec<_>> =
            columns.into_iter().map(|(name, array)| Some((name, of(array)?, array))).collect();
        let columns = columns?;
        let mut row = Vec::new();
        for i in 0..batch.num_rows() {
            row.clear();
            for (name, cells, array) in &columns {
                if array.is_valid(i) {
                    put(&mut row, name.as_bytes());
                    cells(array, i, &mut row);
                }
            }
            let hash = blake3::hash(&row);
            let first =
                hash.as_bytes().first_chunk().map_or(0, |first| u128::from_le_bytes(*first));
            self.sum.0 = self.sum.0.wrapping_add(first);
        }
        self.rows += batch.num_rows() as u64;
        Some(())
    }

    pub(in crate::lake) fn sum(self) -> Digest {
        self.sum
    }

    pub(in crate::lake) fn rows(self) -> u64 {
        self.rows
    }
}

/// Writes a cell behind the others, so that no two rows look the same.
type Cell = fn(&ArrayRef, usize, &mut Vec<u8>);

fn of(array: &ArrayRef) -> Option<Cell> {
    Some(match array.data_type() {
        DataType::Utf8 => |a, i, row| put(row, a.as_string::<i32>().value(i).as_bytes()),
        DataType::Binary => |a, i, row| put(row, a.as_binary::<i32>().value(i)),
        DataType::Boolean => |a, i, row| row.push(u8::from(a.as_boolean().value(i))),
        DataType::Int64 => {
            |a, i, row| row.extend(a.as_primitive::<Int64Type>().value(i).to_le_bytes())
        }
        DataType::Float64 => |a, i, row| {
            row.extend(a.as_primitive::<Float64Type>().value(i).to_bits().to_le_bytes());
        },
        DataType::Timestamp(TimeUnit::Microsecond, _) => |a, i, row| {
            row.extend(a.as_primitive::<TimestampMicrosecondType>().value(i).to_le_bytes());
        },
        DataType::List(item) if *item.data_type() == DataType::Utf8 => |a, i, row| {
            let list: &ListArray = a.as_list();
            let items = list.value(i);
            row.extend((items.len() as u64).to_le_bytes());
            for item in items.as_string::<i32>() {
                row.push(u8::from(item.is_some()));
                put(row, item.unwrap_or_default().as_bytes());
            }
        },
        _ => return None,
    })
}

fn put(row: &mut Vec<u8>, bytes: &[u8]) {
    row.extend((bytes.len() as u64).to_le_bytes());
    row.extend(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, new_null_array};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
            .unwrap()
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn sum(batches: &[RecordBatch]) -> Digest {
        let mut digester = Digester::default();
        batches.iter().for_each(|b| digester.add(b).unwrap());
        digester.sum()
    }

    #[test]
    fn order_and_columns_without_values_do_not_matter_and_everything_else_does() {
        let ints = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let whole =
            batch(vec![("a", texts(&[Some("x"), None, Some("y")])), ("b", ints(&[1, 2, 3]))]);
        let expected = sum(std::slice::from_ref(&whole));
        let pieces = [whole.slice(2, 1), whole.slice(0, 2)];
        assert_eq!(sum(&pieces), expected);
        let other = batch(vec![
            ("b", ints(&[3, 1, 2])),
            ("later", new_null_array(&DataType::Float64, 3)),
            ("a", texts(&[Some("y"), Some("x"), None])),
        ]);
        assert_eq!(sum(&[other]), expected);
        for changed in [
            batch(vec![("a", texts(&[Some("x"), Some(""), Some("y")])), ("b", ints(&[1, 2, 3]))]),
            batch(vec![("a", texts(&[Some("y"), None, Some("x")])), ("b", ints(&[1, 2, 3]))]),
            batch(vec![("c", texts(&[Some("x"), None, Some("y")])), ("b", ints(&[1, 2, 3]))]),
            whole.slice(0, 2),
        ] {
            assert_ne!(sum(&[changed]), expected);
        }
        assert_ne!(sum(&[whole.clone(), whole.slice(0, 1)]), expected);
        let unknown = batch(vec![("a", new_null_array(&DataType::Date32, 1))]);
        assert!(Digester::default().add(&unknown).is_none());
    }
}
