//! Alerts as a Parquet file of its own, outside of every lake: what a backtest found, with the columns of the
//! lake's table `alerts`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use event::{Alert, Rows};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::arrays::{self, Picked, RowRef};
use super::manifest::ColumnSpec;
use super::tables;

/// Alerts that become rows together.
const ROWS_MAX: usize = 1_000;

/// A file that is being written. It stands at its path once it is finished, whole.
#[derive(Debug)]
pub struct AlertFile {
    path: PathBuf,
    new: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    waiting: Vec<Alert>,
}

impl AlertFile {
    /// Begins the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let columns: Vec<ColumnSpec> = tables::alert_schema()
            .columns
            .iter()
            .map(|c| ColumnSpec { name: c.name.clone(), kind: c.column_type.into() })
            .collect();
        let schema = arrays::arrow_schema(&columns);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let new = path.with_extension("new");
        let writer = ArrowWriter::try_new(File::create(&new)?, schema.clone(), Some(properties))?;
        Ok(Self { path: path.to_owned(), new, schema, writer, waiting: Vec::new() })
    }

    /// Adds an alert.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, alert: Alert) -> io::Result<()> {
        self.waiting.push(alert);
        if self.waiting.len() < ROWS_MAX {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let rows = [tables::alerts(&self.waiting, &HashMap::new())];
        self.waiting.clear();
        self.writer.write(&batch(&rows, &self.schema)?)?;
        Ok(())
    }

    /// Returns when the file is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.writer.into_inner()?.sync_all()?;
        std::fs::rename(&self.new, &self.path)
    }
}

/// All rows, in their order.
fn batch(rows: &[Rows; 1], schema: &SchemaRef) -> Result<RecordBatch, ParquetError> {
    let len = u32::try_from(rows[0].len()).unwrap_or(u32::MAX);
    let refs: Vec<RowRef> =
        (0..len).map(|row| RowRef { time: 0, rows: 0, row, made_late: false }).collect();
    let picked = Picked::new(rows, &refs);
    let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| -> Result<ArrayRef, _> {
        let pieces: Vec<ArrayRef> = picked.column(at, field).collect();
        if pieces.is_empty() {
            return Ok(arrow::array::new_empty_array(field.data_type()));
        }
        concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    };
    let columns: Result<Vec<_>, _> = schema.fields().iter().enumerate().map(column).collect();
    Ok(RecordBatch::try_new(schema.clone(), columns?)?)
}
