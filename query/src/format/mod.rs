//! Rows to text, as they come: nothing here collects an answer.

mod csv;
mod json;
mod table;

use std::io::Write;

use arrow::record_batch::RecordBatch;

use crate::engine::Answer;
use crate::error::{Error, Kind};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// One array of objects; every object has every column.
    Json,
    /// One object a line.
    Ndjson,
    /// RFC 4180 with a header line. Null is empty, empty text is `""`.
    Csv,
}

impl Format {
    pub const NAMES: [&'static str; 4] = ["table", "json", "ndjson", "csv"];

    /// Reads one of [`Format::NAMES`].
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "json" => Self::Json,
            "ndjson" => Self::Ndjson,
            "csv" => Self::Csv,
            _ => return None,
        })
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub rows: u64,
    /// Rows beyond [`crate::Limits::rows_max`] were left out.
    pub truncated: bool,
}

/// A format at work.
trait Sheet {
    fn rows(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Error>;
    fn end(&mut self, out: &mut dyn Write, written: Written) -> Result<(), Error>;
}

/// Writes an answer to its end.
///
/// # Errors
/// Those of [`Answer::next`], and [`Kind::Output`]. What was written before is then incomplete.
pub async fn write<W: Write>(
    mut answer: Answer,
    format: Format,
    out: &mut W,
) -> Result<Written, Error> {
    let schema = answer.schema();
    let mut sheet: Box<dyn Sheet + Send> = match format {
        Format::Table => Box::new(table::Table::new(schema)),
        Format::Json => Box::new(json::Json::array()),
        Format::Ndjson => Box::new(json::Json::lines()),
        Format::Csv => Box::new(csv::Csv::new(schema)),
    };
    let mut rows = 0;
    while let Some(batch) = answer.next().await? {
        rows += batch.num_rows() as u64;
        sheet.rows(out, &batch)?;
    }
    let written = Written { rows, truncated: answer.truncated() };
    sheet.end(out, written)?;
    out.flush().map_err(failed)?;
    Ok(written)
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::caused(Kind::Output, "the answer cannot be written", error)
}
