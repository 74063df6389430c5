//! Lines: every line that is not blank is one record, whatever is on it.
//!
//! CRLF ends a line as LF does, and a byte order mark at the start of the stream is no part of the
//! first line. In `auto` a line that is itself an envelope or an array of objects is unwrapped.

use std::ops::Range;

use memchr::memchr;

use super::document::Document;
use super::frames::{Frames, Open};
use super::walker::Unwrap;

const BOM: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug)]
pub(super) struct Lines {
    max: usize,
    /// Look for flow-log header lines.
    headers: bool,
    /// Unwrap lines that are envelopes.
    unwrap: bool,
    header: Option<String>,
    open: Open,
    /// Where the open line begins.
    line_at: u64,
    safe: u64,
    scratch: Option<Box<Document>>,
}

impl Lines {
    pub fn new(max: usize, headers: bool, unwrap: bool) -> Self {
        let open = Open::default();
        Self { max, headers, unwrap, header: None, open, line_at: 0, safe: 0, scratch: None }
    }

    pub fn start(&mut self, at: u64) {
        self.line_at = at;
        self.safe = at;
    }

    pub fn resume(&mut self, at: u64, header: Option<&str>, cut: Option<(u64, u32)>) {
        self.start(at);
        self.header = header.map(str::to_owned);
        if let Some((line_at, parts)) = cut {
            self.line_at = line_at;
            self.open.parts = parts;
        }
    }

    pub fn safe(&self) -> u64 {
        self.safe
    }

    pub fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    pub fn cut(&self) -> Option<(u64, u32)> {
        (self.open.parts > 0).then_some((self.line_at, self.open.parts))
    }

    /// Takes bytes that stand `base` in the stream until they or the room in `out` end.
    pub fn run(&mut self, input: &[u8], base: u64, out: &mut Frames) -> usize {
        let mut used = 0;
        while used < input.len() && !out.is_full() {
            let rest = &input[used..];
            let room = self.max - self.open.bytes.len();
            let at = base + used as u64;
            let window = &rest[..rest.len().min(room + 1)];
            match memchr(b'\n', window) {
                Some(n) => {
                    self.end_line(&rest[..n], at, out);
                    used += n + 1;
                    self.start(base + used as u64);
                }
                None if window.len() > room => {
                    self.open.append(&rest[..room], at);
                    self.open.cut(self.line_at, self.open.parts, self.max, out);
                    used += room;
                    self.safe = base + used as u64;
                }
                None => {
                    self.open.append(rest, at);
                    out.expect(self.open.bytes.len());
                    used = input.len();
                }
            }
        }
        used
    }

    pub fn finish(&mut self, consumed: u64, out: &mut Frames, broken: Option<&str>) {
        match broken {
            Some(reason) => {
                let bytes = std::mem::take(&mut self.open.bytes);
                out.reject(self.line_at, self.open.parts, reason.to_owned(), bytes);
                self.open.clear();
            }
            None => self.end_line(&[], consumed, out),
        }
        self.start(consumed);
    }

    /// The open line ends after these bytes.
    fn end_line(&mut self, tail: &[u8], at: u64, out: &mut Frames) {
        if self.open.bytes.is_empty() && self.open.parts == 0 {
            if let Some(range) = self.line(tail, out) {
                out.record(self.line_at, 0, &tail[range]);
            }
            return;
        }
        self.open.append(tail, at);
        if self.open.parts > 0 {
            if !self.open.bytes.is_empty() {
                self.open.cut(self.line_at, self.open.parts, self.max, out);
            }
        } else {
            let mut line = std::mem::take(&mut self.open.bytes);
            if let Some(range) = self.line(&line, out) {
                out.record_within(self.line_at, 0, &mut line, range);
            }
            self.open.bytes = line;
        }
        self.open.clear();
    }

    /// A whole line that is one record, or `None` when it was nothing or something else.
    fn line(&mut self, whole: &[u8], out: &mut Frames) -> Option<Range<usize>> {
        let at = self.line_at;
        let end = whole.len() - usize::from(whole.ends_with(b"\r"));
        let start = if at == 0 && whole.starts_with(BOM) { BOM.len() } else { 0 };
        let line = &whole[start..end.max(start)];
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        if self.headers {
            if let Some(header) = flow_log_header(line) {
                self.header = Some(header.to_owned());
                return None;
            }
            if let Some(header) = &self.header
                && !line.starts_with(b"{")
            {
                out.record_under(header.as_bytes(), at, 0, line);
                return None;
            }
        }
        if self.unwrap && is_container(line) {
            let max = self.max;
            let document =
                self.scratch.get_or_insert_with(|| Box::new(Document::new(Unwrap::Auto, max)));
            document.whole(line, at, out);
            return None;
        }
        Some(start..end)
    }
}

/// Whether a line holds records rather than being one. An array has to be whole: `[{` alone is
/// garbage, while a truncated envelope still holds what it holds.
fn is_container(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    match line {
        [b'[', rest @ ..] => {
            rest.trim_ascii_start().starts_with(b"{") && document_ends_with_line(line)
        }
        [b'{', ..] => Document::is_envelope(line),
        _ => false,
    }
}

fn document_ends_with_line(line: &[u8]) -> bool {
    super::extent::Extent::default().advance(line) == Some(line.len())
}

/// The line when it is a list of flow-log field names.
pub(super) fn flow_log_header(line: &[u8]) -> Option<&str> {
    const SURE: [&str; 10] = [
        "version",
        "account-id",
        "interface-id",
        "srcaddr",
        "dstaddr",
        "srcport",
        "dstport",
        "protocol",
        "action",
        "log-status",
    ];
    let text = std::str::from_utf8(line).ok()?.trim();
    let mut sure = 0;
    for name in text.split_ascii_whitespace() {
        let spelled =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(spelled) {
            return None;
        }
        sure += usize::from(SURE.contains(&name.replace('_', "-").as_str()));
    }
    (sure >= 2).then_some(text)
}
