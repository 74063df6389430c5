//! JSON: an array of objects, or one object a line. Every object has every column. Times are RFC 3339
//! in UTC, bytes are hexadecimal.

use std::io::Write;

use arrow::json::writer::LineDelimited;
use arrow::json::{Writer, WriterBuilder};
use arrow::record_batch::RecordBatch;

use super::{Sheet, Written, failed};
use crate::error::Error;

pub(super) struct Json {
    array: bool,
    rows: u64,
    lines: Vec<u8>,
}

impl Json {
    pub(super) fn array() -> Self {
        Self { array: true, rows: 0, lines: Vec::new() }
    }

    pub(super) fn lines() -> Self {
        Self { array: false, rows: 0, lines: Vec::new() }
    }
}

impl Sheet for Json {
    fn rows(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Error> {
        self.lines.clear();
        let mut writer: Writer<&mut Vec<u8>, LineDelimited> =
            WriterBuilder::new().with_explicit_nulls(true).build(&mut self.lines);
        writer.write(batch).map_err(failed)?;
        writer.finish().map_err(failed)?;
        // A line feed inside a value is escaped, so each one ends an object.
        for line in self.lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let before: &[u8] = match (self.array, self.rows) {
                (false, _) => b"",
                (true, 0) => b"[",
                (true, _) => b",\n",
            };
            let after: &[u8] = if self.array { b"" } else { b"\n" };
            [before, line, after].into_iter().try_for_each(|p| out.write_all(p)).map_err(failed)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, _written: Written) -> Result<(), Error> {
        let end: &[u8] = match (self.array, self.rows) {
            (false, _) => b"",
            (true, 0) => b"[]\n",
            (true, _) => b"]\n",
        };
        out.write_all(end).map_err(failed)
    }
}
