//! A Parquet file of the asker's own as a table beside those of the lake. It is read from its beginning for every
//! question, batch by batch; no statement can name a file, only the program that made the engine can.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::engine::Engine;
use crate::error::{Error, Kind};

type Builder = ParquetRecordBatchReaderBuilder<File>;

#[derive(Debug)]
struct Rows {
    path: PathBuf,
    schema: SchemaRef,
}

fn open(path: &Path) -> Result<Builder, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Builder::try_new(File::open(path)?)?)
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = open(&self.path).and_then(|builder| Ok(builder.build()?));
        let batches: Box<dyn Iterator<Item = _> + Send> = match reader {
            Ok(reader) => Box::new(reader.map(|batch| Ok(batch?))),
            Err(e) => Box::new(std::iter::once(Err(DataFusionError::External(e)))),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream::iter(batches)))
    }
}

impl Engine {
    /// Adds a file as a table.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the name is no plain one or is taken, or the file cannot be read as Parquet.
    pub fn add_file(&self, name: &str, path: &Path) -> Result<(), Error> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !begins || !name.bytes().all(is_plain) {
            let what = format!("`{name}` cannot be the name of a table: a-z, 0-9 and _ are");
            return Err(Error::new(Kind::Invalid, what));
        }
        if self.context.table_exist(name).unwrap_or(true) {
            return Err(Error::new(Kind::Invalid, format!("the lake has a table `{name}`")));
        }
        let failed = |e| {
            Error::caused(Kind::Invalid, format!("{} cannot be read as Parquet", path.display()), e)
        };
        let schema = Arc::clone(open(path).map_err(failed)?.schema());
        let rows = Arc::new(Rows { path: path.to_owned(), schema: schema.clone() });
        let table = StreamingTable::try_new(schema, vec![rows]);
        table
            .and_then(|table| self.context.register_table(name, Arc::new(table)))
            .map_err(|e| failed(e.into()))?;
        Ok(())
    }
}
