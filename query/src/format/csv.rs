//! Comma-separated values (RFC 4180) with a header line, lines ended by a line feed.

use std::io::Write;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Sheet, Written, failed};
use crate::error::Error;

pub(super) struct Csv {
    schema: SchemaRef,
    headed: bool,
    cell: String,
}

impl Csv {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, headed: false, cell: String::new() }
    }

    fn head(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        if std::mem::replace(&mut self.headed, true) {
            return Ok(());
        }
        for (i, field) in self.schema.fields().iter().enumerate() {
            let comma: &[u8] = if i == 0 { b"" } else { b"," };
            out.write_all(comma).and_then(|()| text(out, field.name())).map_err(failed)?;
        }
        out.write_all(b"\n").map_err(failed)
    }
}

impl Sheet for Csv {
    fn rows(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Error> {
        use std::fmt::Write as _;
        self.head(out)?;
        let options = FormatOptions::default();
        let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options));
        let columns: Vec<_> = columns.collect::<Result<_, _>>().map_err(failed)?;
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter().enumerate() {
                let comma: &[u8] = if i == 0 { b"" } else { b"," };
                out.write_all(comma).map_err(failed)?;
                if batch.column(i).is_valid(row) {
                    self.cell.clear();
                    write!(self.cell, "{}", column.value(row)).map_err(failed)?;
                    text(out, &self.cell).map_err(failed)?;
                }
            }
            out.write_all(b"\n").map_err(failed)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, _written: Written) -> Result<(), Error> {
        self.head(out)
    }
}

/// One cell, quoted where it must be; empty text always, to tell it from null.
fn text(out: &mut dyn Write, cell: &str) -> std::io::Result<()> {
    if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) {
        write!(out, "\"{}\"", cell.replace('"', "\"\""))
    } else {
        out.write_all(cell.as_bytes())
    }
}
