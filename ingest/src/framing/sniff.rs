//! Lines or documents? Decided from the first bytes, conservatively.
//!
//! Only a strict reading of JSON that spans lines the way writers print it, or a first line too long
//! to look at whose head is that of an envelope or of an array of objects, is taken for a document.
//! Everything else is lines, so that one line of garbage at the front cannot hide the lines after it.
//! Bytes are read one by one: the decision falls at the same byte however they arrive.

use super::document::Document;

/// How much is looked at before deciding.
pub(super) const BYTES_MAX: usize = 1 << 20;

const DEPTH_MAX: u32 = 127;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Lines,
    Document,
    Table,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Root,
    NameOrEnd,
    Name,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Sniffer {
    expect: Expect,
    /// One bit a level, set for objects; the lowest is the innermost.
    objects: u128,
    depth: u32,
    string: bool,
    /// The string is a member's name.
    name: bool,
    escaped: bool,
    scalar: bool,
    /// Newlines inside the document.
    newlines: u32,
    /// The last byte that was not blank was followed by a newline.
    fresh_line: bool,
    top_array: bool,
    /// The first element of the top array is an object, or the top object has a member.
    filled: bool,
}

impl Sniffer {
    /// Looks at `bytes[from..]`; the decision and how many bytes it took. `at_start`: a byte order
    /// mark may come first.
    pub fn push(&mut self, bytes: &[u8], from: usize, at_start: bool) -> Option<(Decision, usize)> {
        for (i, &byte) in bytes.iter().enumerate().skip(from) {
            if at_start && i < 3 && matches!(byte, 0xef | 0xbb | 0xbf) {
                continue;
            }
            if let Some(decision) = self.byte(byte) {
                return Some((decision, i + 1));
            }
        }
        None
    }

    /// No more bytes: the stream ended, or enough were seen.
    pub fn end(&self, bytes: &[u8], stream_ended: bool) -> Decision {
        let one_line = self.newlines == 0;
        if matches!(self.expect, Expect::Done | Expect::Root) || (one_line && stream_ended) {
            return Decision::Lines;
        }
        if (self.top_array && self.filled) || Document::is_envelope(bytes) {
            return Decision::Document;
        }
        Decision::Lines
    }

    fn byte(&mut self, byte: u8) -> Option<Decision> {
        if self.string {
            return self.string_byte(byte);
        }
        if byte == b'\n' {
            self.scalar = false;
            self.fresh_line = true;
            match self.expect {
                Expect::Root => {}
                Expect::Done => return Some(Decision::Lines),
                _ => self.newlines += 1,
            }
            return None;
        }
        if byte.is_ascii_whitespace() {
            self.scalar = false;
            return None;
        }
        let decision = self.token(byte);
        self.fresh_line = false;
        decision
    }

    fn string_byte(&mut self, byte: u8) -> Option<Decision> {
        match byte {
            b'\n' | b'\r' => return Some(Decision::Lines),
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.string = false;
                self.expect = if self.name { Expect::Colon } else { Expect::CommaOrEnd };
            }
            _ => {}
        }
        None
    }

    fn token(&mut self, byte: u8) -> Option<Decision> {
        let in_object = self.objects & 1 == 1;
        if self.scalar && !matches!(byte, b',' | b'}' | b']') {
            let word = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            return if word { None } else { Some(Decision::Lines) };
        }
        self.scalar = false;
        match (self.expect, byte) {
            (Expect::Root, b'{' | b'[') => self.open(byte),
            // Writers put the value of a member on the line of its name.
            (Expect::Value, b'{' | b'[') if in_object && self.fresh_line => Some(Decision::Lines),
            (Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => self.open(byte),
            (Expect::NameOrEnd | Expect::Name, b'"') => {
                self.filled |= self.depth == 1;
                (self.string, self.name) = (true, true);
                None
            }
            (Expect::Value | Expect::ValueOrEnd, b'"') => {
                (self.string, self.name) = (true, false);
                None
            }
            (Expect::Value | Expect::ValueOrEnd, b) if b.is_ascii_alphanumeric() || b == b'-' => {
                self.scalar = true;
                self.expect = Expect::CommaOrEnd;
                None
            }
            (Expect::Colon, b':') => {
                self.expect = Expect::Value;
                None
            }
            (Expect::CommaOrEnd, b',') => {
                self.expect = if in_object { Expect::Name } else { Expect::Value };
                None
            }
            (Expect::CommaOrEnd | Expect::NameOrEnd, b'}') if in_object => self.close(),
            (Expect::CommaOrEnd | Expect::ValueOrEnd, b']') if !in_object => self.close(),
            _ => Some(Decision::Lines),
        }
    }

    fn open(&mut self, byte: u8) -> Option<Decision> {
        if self.depth >= DEPTH_MAX {
            return Some(Decision::Lines);
        }
        let object = byte == b'{';
        match self.depth {
            0 => self.top_array = !object,
            1 if self.top_array => self.filled |= object,
            _ => {}
        }
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
        self.expect = if object { Expect::NameOrEnd } else { Expect::ValueOrEnd };
        None
    }

    fn close(&mut self) -> Option<Decision> {
        self.objects >>= 1;
        self.depth -= 1;
        if self.depth > 0 {
            self.expect = Expect::CommaOrEnd;
            return None;
        }
        self.expect = Expect::Done;
        let spans_lines = self.newlines > 0;
        spans_lines.then_some(if self.filled { Decision::Document } else { Decision::Lines })
    }
}
