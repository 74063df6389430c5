//! Flow logs in Parquet, as the text in which AWS writes the same records: a line of names, then a line for each row.
//! So they are framed, parsed and identified as those in text are. Positions count bytes of that text, which
//! depends on the file alone: the same rows must become the same text for ever.
//!
//! What is in a Parquet file stands at its end. So the file is first copied to one without a name in the system's folder
//! for temporary files; of its rows, no more is in memory than a page of each column.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};

use crate::framing::is_flow_log_header;

/// AWS begins a new file at 75 MB.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// So much text is made at once.
const TEXT_BYTES: usize = 64 << 10;

enum Stage {
    /// The file, as it comes.
    Coming(Box<dyn Read + Send>),
    Rows(Box<RowIter<'static>>),
    /// Why there is no more.
    Failed(Trouble),
    Over,
}

/// Why rows cannot be read.
enum Trouble {
    /// The file is wrong, in words.
    File(String),
    System(io::Error),
}

/// A reader of the text. An error that is not the system's says what is wrong with the file.
pub(super) struct Flows {
    stage: Stage,
    text: Vec<u8>,
    used: usize,
    /// Rows that have become text, and how many there should be.
    rows: u64,
    rows_all: u64,
}

impl From<ParquetError> for Trouble {
    fn from(error: ParquetError) -> Self {
        let words = error.to_string();
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(cause) if cause.raw_os_error().is_some() => Self::System(*cause),
                _ => Self::File(words),
            },
            _ => Self::File(words),
        }
    }
}

impl Flows {
    /// Of a file that comes, from its first byte; `None` for one of other logs.
    pub fn new(file: Option<Box<dyn Read + Send>>) -> Self {
        let refused = "it is read for flow logs alone: have others written as text or JSON";
        let failed = || Stage::Failed(Trouble::File(refused.to_owned()));
        let stage = file.map_or_else(failed, Stage::Coming);
        Self { stage, text: Vec::new(), used: 0, rows: 0, rows_all: 0 }
    }

    /// Makes more text; none at the end.
    fn more(&mut self) -> io::Result<()> {
        self.text.clear();
        self.used = 0;
        while self.text.is_empty() {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Coming(file) => {
                    let file = stored(file)?;
                    guarded(|| self.open(file)).unwrap_or_else(Stage::Failed)
                }
                Stage::Rows(mut rows) => match guarded(|| self.write(&mut rows)) {
                    Ok(true) => Stage::Rows(rows),
                    Ok(false) => Stage::Over,
                    // What was made before it goes on its way first.
                    Err(trouble) => Stage::Failed(trouble),
                },
                Stage::Failed(Trouble::System(error)) => return Err(error),
                Stage::Failed(Trouble::File(words)) => {
                    let rows = self.rows;
                    let words = format!("Parquet that cannot be read behind row {rows}: {words}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, words));
                }
                Stage::Over => return Ok(()),
            };
        }
        Ok(())
    }

    /// Writes the names.
    fn open(&mut self, file: File) -> Result<Stage, Trouble> {
        let reader = SerializedFileReader::new(file)?;
        let about = reader.metadata().file_metadata();
        self.rows_all = about.num_rows().unsigned_abs();
        let columns = about.schema().get_fields().iter();
        let names: Vec<_> = columns.map(|column| column.name().replace('_', "-")).collect();
        let names = names.join(" ");
        if !is_flow_log_header(names.as_bytes()) {
            return Err(Trouble::File("its columns are not those of flow logs".to_owned()));
        }
        self.text.extend_from_slice(names.as_bytes());
        self.text.push(b'\n');
        Ok(Stage::Rows(Box::new(RowIter::from_file_into(Box::new(reader)))))
    }

    /// Writes rows while there is room. False: there are no more.
    fn write(&mut self, rows: &mut RowIter<'_>) -> Result<bool, Trouble> {
        while self.text.len() < TEXT_BYTES {
            match rows.next() {
                Some(row) => line(&row?, &mut self.text),
                None if self.rows < self.rows_all => {
                    return Err(Trouble::File("the others are not there".to_owned()));
                }
                None => return Ok(false),
            }
            self.rows += 1;
        }
        Ok(true)
    }
}

impl Read for Flows {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.text.len() {
            self.more()?;
        }
        let n = into.len().min(self.text.len() - self.used);
        into[..n].copy_from_slice(&self.text[self.used..self.used + n]);
        self.used += n;
        Ok(n)
    }
}

/// The whole file, in one without a name.
fn stored(file: Box<dyn Read + Send>) -> io::Result<File> {
    let mut stored = tempfile::tempfile()?;
    if io::copy(&mut file.take(FILE_BYTES_MAX + 1), &mut stored)? > FILE_BYTES_MAX {
        let words = format!("the Parquet file is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    stored.rewind()?;
    Ok(stored)
}

/// The library panics over some damaged files.
fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(Trouble::File("it is damaged".to_owned())))
}

/// A row as a line. Whatever is in it, it stays one line: blanks within a value make it a line of too many
/// values, which becomes a dead letter.
fn line(row: &Row, out: &mut Vec<u8>) {
    for (n, (_, field)) in row.get_column_iter().enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        let start = out.len();
        value(field, out);
        if out.len() == start {
            out.push(b'-');
        }
        for byte in &mut out[start..] {
            if byte.is_ascii_control() {
                *byte = b' ';
            }
        }
    }
    out.push(b'\n');
}

/// A value as AWS writes it in text: numbers in digits, times in seconds since 1970, `-` for none.
fn value(field: &Field, out: &mut Vec<u8>) {
    let written = match field {
        Field::Null => Ok(()),
        Field::Str(text) => out.write_all(text.as_bytes()),
        Field::Bytes(bytes) => out.write_all(bytes.data()),
        Field::TimestampMillis(ms) => write!(out, "{}", ms.div_euclid(1_000)),
        Field::TimestampMicros(us) => write!(out, "{}", us.div_euclid(1_000_000)),
        other => write!(out, "{other}"),
    };
    // Memory takes everything.
    let _ = written;
}

#[cfg(test)]
pub(crate) mod tests;
