//! Emptied rows on their way back from the lake to the workers, so that the buffers of one epoch serve
//! the next. Without them every epoch would take its memory anew from the system, page by page.
//!
//! Bounded in bytes; what does not fit is freed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event::{Rows, TableSchema};

/// Rows without content and with buffers.
#[derive(Debug)]
pub struct Spare {
    rows: Mutex<Vec<Rows>>,
    bytes_max: usize,
}

impl Spare {
    /// Keeps at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { rows: Mutex::default(), bytes_max }
    }

    /// Rows of this table: used ones when there are some.
    pub fn take(&self, schema: &Arc<TableSchema>) -> Rows {
        let mut rows = lock(&self.rows);
        match rows.iter().rposition(|r| Arc::ptr_eq(r.schema(), schema)) {
            Some(at) => rows.swap_remove(at),
            None => Rows::new(Arc::clone(schema)),
        }
    }

    /// Takes emptied rows back. Unusually large ones are freed, and the longest unused to make room.
    pub fn give(&self, spent: Vec<Rows>) {
        let usual = spent.into_iter().filter(|r| r.is_empty() && r.bytes() <= self.bytes_max / 4);
        let mut rows = lock(&self.rows);
        rows.extend(usual);
        let mut bytes: usize = rows.iter().map(Rows::bytes).sum();
        let mut first = 0;
        while bytes > self.bytes_max {
            bytes -= rows[first].bytes();
            first += 1;
        }
        rows.drain(..first);
    }
}

/// Rows are whole whenever the lock is free: a panic elsewhere cannot have broken them.
fn lock(rows: &Mutex<Vec<Rows>>) -> MutexGuard<'_, Vec<Rows>> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use event::{ColumnDef, ColumnType};

    use super::*;

    fn schema() -> Arc<TableSchema> {
        let column =
            ColumnDef { name: "a".into(), column_type: ColumnType::Text, doc: String::new() };
        Arc::new(TableSchema { table: "t".into(), columns: vec![column] })
    }

    fn spent(schema: &Arc<TableSchema>, bytes: usize) -> Rows {
        let mut rows = Rows::new(Arc::clone(schema));
        rows.text(0, &"x".repeat(bytes));
        rows.end_row();
        rows.clear();
        rows
    }

    #[test]
    fn buffers_come_back_to_their_own_table_within_bounds() {
        let (spare, one, other) = (Spare::new(10_000), schema(), schema());
        spare.give(vec![spent(&one, 1_000)]);
        assert_eq!(spare.take(&other).bytes(), 0, "rows of another table");
        assert!(spare.take(&one).bytes() >= 1_000);
        assert_eq!(spare.take(&one).bytes(), 0, "they were taken");
        spare.give(vec![spent(&one, 5_000)]);
        assert_eq!(spare.take(&one).bytes(), 0, "too large to keep");
        spare.give((0..20).map(|_| spent(&one, 1_000)).collect());
        let kept: usize = (0..20).map(|_| spare.take(&one).bytes()).sum();
        assert!((5_000..=10_000).contains(&kept), "{kept}");
    }
}
