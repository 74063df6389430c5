//! Aligned columns for a terminal. Widths come from the first rows and are bounded; what does not fit
//! ends in `…`. Values are text from logs: nothing in them may move a terminal's cursor.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Sheet, Written, failed};
use crate::error::Error;

/// The widest a column gets, in cells of a terminal.
const WIDTH_MAX: usize = 60;
/// Rows that are looked at before widths are fixed.
const SAMPLE_ROWS: usize = 1_000;

pub(super) struct Table {
    schema: SchemaRef,
    /// Rows not written yet; then widths are not fixed yet.
    sample: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Table {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, sample: Vec::new(), widths: None }
    }

    /// Fixes the widths and writes the head and what was held back.
    fn begin(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        if self.widths.is_some() {
            return Ok(());
        }
        let names: Vec<String> = self.schema.fields().iter().map(|f| cell(f.name())).collect();
        let rows = std::mem::take(&mut self.sample);
        let widest = |i: usize| rows.iter().chain([&names]).map(|row| width(&row[i])).max();
        let widths: Vec<usize> = (0..names.len()).map(|i| widest(i).unwrap_or(0)).collect();
        let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
        self.widths = Some(widths);
        for row in [&names, &rule].into_iter().chain(&rows) {
            self.line(out, row)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut dyn Write, row: &[String]) -> Result<(), Error> {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (i, ((text, to), field)) in row.iter().zip(widths).zip(self.schema.fields()).enumerate()
        {
            let text = cut(text, *to);
            let pad = " ".repeat(to.saturating_sub(width(&text)));
            let between = if i == 0 { "" } else { "  " };
            let number = field.data_type().is_numeric();
            let (before, after) = if number { (pad.as_str(), "") } else { ("", pad.as_str()) };
            // Writing to a String cannot fail.
            let _ = write!(line, "{between}{before}{text}{after}");
        }
        writeln!(out, "{}", line.trim_end()).map_err(failed)
    }
}

impl Sheet for Table {
    fn rows(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Error> {
        let options = FormatOptions::default();
        let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options));
        let columns: Vec<_> = columns.collect::<Result<_, _>>().map_err(failed)?;
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .zip(batch.columns())
                .map(|(formatter, array)| value(formatter, array, row))
                .collect();
            if self.widths.is_some() {
                self.line(out, &cells)?;
            } else {
                self.sample.push(cells);
                if self.sample.len() >= SAMPLE_ROWS {
                    self.begin(out)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, written: Written) -> Result<(), Error> {
        self.begin(out)?;
        let s = if written.rows == 1 { "" } else { "s" };
        let more = if written.truncated { ", there are more" } else { "" };
        writeln!(out, "({} row{s}{more})", written.rows).map_err(failed)
    }
}

fn value(formatter: &ArrayFormatter<'_>, array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return String::new();
    }
    match array.data_type() {
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            cell(&String::from_utf8_lossy(&bytes[..bytes.len().min(4 * WIDTH_MAX)]))
        }
        _ => cell(&formatter.value(row).to_string()),
    }
}

/// Printable, and not longer than a column.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        event::shown::push(&mut out, c);
        if out.len() > 8 * WIDTH_MAX {
            break;
        }
    }
    cut(&out, WIDTH_MAX)
}

fn cut(text: &str, to: usize) -> String {
    if width(text) <= to {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += char_width(c);
        if used >= to {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Cells of a terminal: two for East Asian wide characters and emoji, none for combining marks.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
