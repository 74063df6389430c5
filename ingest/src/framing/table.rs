//! CSV: the first row of a stream names the columns, every other one is a record that refers to it.
//!
//! A row ends at a line break that is not between quotes (RFC 4180). A quote opens at the start of a value
//! only and closes before a comma or the row's end: vendors do not escape everything that clients sent.
//! Whether a row has as many values as there are names is for its reader.

use memchr::{memchr, memchr2};
use serde::{Deserialize, Serialize};

use super::frames::{Frames, Open};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Where in a row the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    #[default]
    Start,
    Plain,
    Quoted,
    /// After a quote between quotes: it closes, is the first of two, or is text.
    Closing,
}

/// Inside of a row that was longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cut {
    row_at: u64,
    parts: u32,
    place: Place,
}

#[derive(Debug)]
pub(super) struct Table {
    max: usize,
    header: Option<String>,
    place: Place,
    open: Open,
    row_at: u64,
    safe: u64,
}

impl Table {
    pub fn new(max: usize) -> Self {
        let open = Open::default();
        Self { max, header: None, place: Place::Start, open, row_at: 0, safe: 0 }
    }

    pub fn start(&mut self, at: u64) {
        self.row_at = at;
        self.safe = at;
        self.place = Place::Start;
    }

    pub fn resume(&mut self, at: u64, header: Option<&str>, cut: Option<Cut>) {
        self.start(at);
        self.header = header.map(str::to_owned);
        if let Some(Cut { row_at, parts, place }) = cut {
            (self.row_at, self.open.parts, self.place) = (row_at, parts, place);
        }
    }

    pub fn safe(&self) -> u64 {
        self.safe
    }

    pub fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    pub fn cut(&self) -> Option<Cut> {
        let (row_at, parts, place) = (self.row_at, self.open.parts, self.place);
        (parts > 0).then_some(Cut { row_at, parts, place })
    }

    /// Takes bytes that stand `base` in the stream until they or the room in `out` end.
    pub fn run(&mut self, input: &[u8], base: u64, out: &mut Frames) -> usize {
        let mut used = 0;
        while used < input.len() && !out.is_full() {
            let rest = &input[used..];
            let at = base + used as u64;
            let room = self.max - self.open.bytes.len();
            let window = &rest[..rest.len().min(room)];
            match self.row_end(window) {
                Some(end) => {
                    self.end_row(&window[..end], at, out);
                    used += end + 1;
                    self.start(base + used as u64);
                }
                None => {
                    self.open.append(window, at);
                    used += window.len();
                    if window.len() == room {
                        self.open.cut(self.row_at, self.open.parts, self.max, out);
                        self.safe = base + used as u64;
                    } else {
                        out.expect(self.open.bytes.len());
                    }
                }
            }
        }
        used
    }

    /// Where the line break stands that ends the row, going on from `self.place`.
    fn row_end(&mut self, input: &[u8]) -> Option<usize> {
        let mut i = 0;
        while i < input.len() {
            match self.place {
                Place::Start => {
                    self.place = match input[i] {
                        b'\n' => return Some(i),
                        b'"' => Place::Quoted,
                        b',' => Place::Start,
                        _ => Place::Plain,
                    };
                }
                Place::Plain => {
                    i += memchr2(b',', b'\n', &input[i..])?;
                    if input[i] == b'\n' {
                        return Some(i);
                    }
                    self.place = Place::Start;
                }
                Place::Quoted => {
                    i += memchr(b'"', &input[i..])?;
                    self.place = Place::Closing;
                }
                Place::Closing => {
                    self.place = match input[i] {
                        b'\n' => return Some(i),
                        b',' => Place::Start,
                        b'\r' => Place::Closing,
                        _ => Place::Quoted,
                    };
                }
            }
            i += 1;
        }
        None
    }

    pub fn finish(&mut self, consumed: u64, out: &mut Frames, broken: Option<&str>) {
        let is_open = !self.open.bytes.is_empty() || self.open.parts > 0;
        let unclosed =
            (self.place == Place::Quoted && is_open).then_some("a quote is never closed");
        match broken.or(unclosed) {
            Some(reason) => {
                let bytes = std::mem::take(&mut self.open.bytes);
                out.reject(self.row_at, self.open.parts, reason.to_owned(), bytes);
                self.open.clear();
            }
            None => self.end_row(&[], consumed, out),
        }
        self.start(consumed);
    }

    /// The open row ends after these bytes.
    fn end_row(&mut self, tail: &[u8], at: u64, out: &mut Frames) {
        if self.open.bytes.is_empty() && self.open.parts == 0 {
            return self.row(tail, out);
        }
        self.open.append(tail, at);
        if self.open.parts > 0 {
            if !self.open.bytes.is_empty() {
                self.open.cut(self.row_at, self.open.parts, self.max, out);
            }
        } else {
            let row = std::mem::take(&mut self.open.bytes);
            self.row(&row, out);
            self.open.bytes = row;
        }
        self.open.clear();
    }

    /// A whole row: the names, once more the names, or a record.
    fn row(&mut self, row: &[u8], out: &mut Frames) {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        let row = if self.row_at == 0 { row.strip_prefix(BOM).unwrap_or(row) } else { row };
        if row.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match &self.header {
            None => self.header = Some(String::from_utf8_lossy(row).into_owned()),
            // Tables that were put one behind the other.
            Some(header) if header.as_bytes() == row => {}
            Some(header) => out.record_under(header.as_bytes(), self.row_at, 0, row),
        }
    }
}
