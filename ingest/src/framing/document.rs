//! JSON documents whose records are the elements of an array, streamed element by element.
//!
//! The machine knows just enough JSON to find where elements begin and end. Until the array is found
//! the document's bytes are kept, so that one which turns out to hold no array is handed over whole.
//! A broken element costs itself: what stands between elements and is not an element is one reject,
//! and the next element goes on.

use std::borrow::Cow;

use serde::Deserialize;

use super::extent::Extent;
use super::frames::{Frames, Open};
use super::walker::{Meaning, State, Unwrap, Walker, auto_member};

/// One log event of a CloudWatch Logs subscription.
#[derive(Deserialize)]
struct LogEvent<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Debug)]
pub(super) struct Document {
    unwrap: Unwrap,
    max: usize,
    walker: Walker,
    saved: Walker,
    open: Open,
    safe: u64,
    ended: bool,
    /// Stop as soon as it is known whether there is an array of records.
    probe: bool,
}

impl Document {
    pub fn new(unwrap: Unwrap, max: usize) -> Self {
        let walker = Walker::new(0);
        let open = Open::default();
        Self { unwrap, max, walker, saved: walker, open, safe: 0, ended: false, probe: false }
    }

    pub fn start(&mut self, at: u64) {
        self.walker = Walker::new(at);
        self.saved = self.walker;
        self.open.clear();
        self.safe = at;
        self.ended = false;
    }

    pub fn resume(&mut self, at: u64, walker: Option<Walker>) {
        self.start(at);
        if let Some(walker) = walker {
            self.walker = walker;
            self.saved = walker;
            self.open.parts = walker.parts;
        }
    }

    pub fn safe(&self) -> u64 {
        self.safe
    }

    pub fn saved(&self) -> Walker {
        self.saved
    }

    /// Whether a document ended since this was last asked.
    pub fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Whether the head of these bytes is that of an envelope.
    pub fn is_envelope(head: &[u8]) -> bool {
        let mut probe = Self::new(Unwrap::Auto, usize::MAX);
        probe.probe = true;
        probe.run(head, 0, &mut Frames::default());
        probe.walker.found
    }

    /// Frames a document that is whole in memory. Its records are of one container.
    pub fn whole(&mut self, bytes: &[u8], at: u64, out: &mut Frames) {
        self.start(at);
        let mut used = 0;
        while used < bytes.len() {
            let full = std::mem::replace(&mut out.bytes_max, usize::MAX);
            let count = std::mem::replace(&mut out.records_max, usize::MAX);
            self.ended = false;
            used += self.run(&bytes[used..], at + used as u64, out);
            out.bytes_max = full;
            out.records_max = count;
        }
        self.finish(at + used as u64, out, None);
    }

    /// Takes bytes that stand `base` in the stream until they, the room in `out` or (in `auto`) the
    /// document end.
    pub fn run(&mut self, input: &[u8], base: u64, out: &mut Frames) -> usize {
        let room = self.max.saturating_sub(self.open.bytes.len());
        let input = &input[..input.len().min(room)];
        let mut i = 0;
        let mut mark = 0;
        while i < input.len() && !out.is_full() && !self.ended {
            i = self.step(input, i, &mut mark, base, out);
            if self.probe && (self.walker.found || self.walker.state == State::Whole) {
                return i;
            }
        }
        if self.walker.collects() {
            self.open.append(&input[mark..i], base + mark as u64);
            if self.open.bytes.len() >= self.max {
                self.cut(base + i as u64, out);
            }
            out.expect(self.open.bytes.len());
        } else if self.walker.state == State::Between {
            self.save(base + i as u64);
        }
        i
    }

    /// Goes on from `input[i]`; returns where it stopped. `mark` is where the bytes of the open
    /// record begin in `input`.
    fn step(
        &mut self,
        input: &[u8],
        i: usize,
        mark: &mut usize,
        base: u64,
        out: &mut Frames,
    ) -> usize {
        let byte = input[i];
        let space = byte.is_ascii_whitespace();
        let at = base + i as u64;
        let state = self.walker.state;
        match state {
            State::Between => return self.before(byte, i, mark, at),
            State::Line if byte == b'\n' => {
                self.emit(&input[*mark..i], at, out, Some("not a JSON document"));
                self.end_document(at + 1);
            }
            State::Element | State::Whole | State::Skip => {
                let Some(n) = self.walker.extent.advance(&input[i..]) else { return input.len() };
                let end = i + n;
                match state {
                    State::Skip => self.walker.state = State::Member,
                    State::Element => {
                        self.walker.state = State::Next;
                        self.emit(&input[*mark..end], base + end as u64, out, None);
                    }
                    _ => self.end_object(&input[*mark..end], base + end as u64, out),
                }
                return end;
            }
            State::Member => return self.member(input, i, mark, base, out),
            State::Name if self.walker.name_byte(byte) => self.walker.state = State::Colon,
            State::Colon if byte == b':' => return self.name_done(i),
            State::Colon if !space => return self.give_up(1, i),
            State::Value if !space => return self.value(byte, i),
            State::MessageType if self.walker.name_byte(byte) => {
                self.walker.control = self.walker.name() == b"CONTROL_MESSAGE";
                self.walker.cloudwatch = true;
                self.walker.state = State::Member;
            }
            State::Peek if byte == b'{' || byte == b']' => return self.found(i),
            State::Peek if !space => return self.give_up(2, i),
            State::SkipScalar if space || matches!(byte, b',' | b'}') => {
                self.walker.state = State::Member;
                return i;
            }
            State::Next => return self.next(byte, i, mark, at),
            State::Scalar | State::Junk if ends_scalar(byte) && i > *mark => {
                return self.end_scalar(&input[*mark..i], i, at, out);
            }
            State::Scalar | State::Junk if ends_scalar(byte) && !self.open.bytes.is_empty() => {
                return self.end_scalar(&[], i, at, out);
            }
            _ => {}
        }
        i + 1
    }

    fn before(&mut self, byte: u8, i: usize, mark: &mut usize, at: u64) -> usize {
        let bom = at < 3 && matches!(byte, 0xef | 0xbb | 0xbf);
        if byte.is_ascii_whitespace() || bom {
            return i + 1;
        }
        self.walker = Walker::new(at);
        self.walker.cloudwatch = self.unwrap == Unwrap::CloudwatchLogs;
        *mark = i;
        match byte {
            b'{' => self.walker.state = State::Member,
            b'[' => {
                self.walker.state = State::Next;
                (self.walker.top_array, self.walker.found) = (true, true);
                self.walker.in_array = true;
            }
            _ => {
                self.walker.state = State::Line;
                return i;
            }
        }
        i + 1
    }

    /// Before a member's name, or after the object's last member.
    fn member(
        &mut self,
        input: &[u8],
        i: usize,
        mark: &mut usize,
        base: u64,
        out: &mut Frames,
    ) -> usize {
        match input[i] {
            b'"' => self.walker.start_name(State::Name),
            b'}' if self.walker.found => self.end_document(base + i as u64 + 1),
            b'}' => {
                let kept = if self.walker.collects() { &input[*mark..=i] } else { &[] };
                self.end_object(kept, base + i as u64 + 1, out);
            }
            b',' => {}
            byte if byte.is_ascii_whitespace() => {}
            _ if self.walker.found => {
                *mark = i;
                self.walker.state = State::Junk;
            }
            _ => return self.give_up(1, i),
        }
        i + 1
    }

    /// After the colon of a member.
    fn name_done(&mut self, i: usize) -> usize {
        self.walker.state = State::Value;
        let other = matches!(auto_member(self.walker.name()), Meaning::Other);
        if self.unwrap == Unwrap::Auto && other && !self.walker.found {
            return self.give_up(1, i + 1);
        }
        i + 1
    }

    fn value(&mut self, byte: u8, i: usize) -> usize {
        let name = self.walker.name();
        let wanted = match &self.unwrap {
            Unwrap::Auto => matches!(auto_member(name), Meaning::Records),
            Unwrap::Array => false,
            Unwrap::Member(member) => name == member.as_bytes(),
            Unwrap::CloudwatchLogs => name == b"logEvents",
        };
        let logs = matches!(self.unwrap, Unwrap::Auto | Unwrap::CloudwatchLogs);
        match byte {
            b'[' if wanted && self.unwrap == Unwrap::Auto => self.walker.state = State::Peek,
            b'[' if wanted => return self.found(i + 1),
            b'"' if logs && name == b"messageType" => self.walker.start_name(State::MessageType),
            b'{' | b'[' | b'"' => {
                self.walker.extent = Extent::default();
                self.walker.state = State::Skip;
                return i;
            }
            _ if wanted && self.unwrap == Unwrap::Auto && !self.walker.found => {
                return self.give_up(1, i);
            }
            _ => {
                self.walker.state = State::SkipScalar;
                return i;
            }
        }
        i + 1
    }

    /// The array of records begins: what was kept of the head is envelope.
    fn found(&mut self, next: usize) -> usize {
        self.open.clear();
        self.walker.parts = 0;
        self.walker.found = true;
        self.walker.in_array = true;
        self.walker.state = State::Next;
        next
    }

    /// No envelope: the object itself, open that many levels, is the record.
    fn give_up(&mut self, depth: u32, next: usize) -> usize {
        self.walker.extent = Extent::inside(depth);
        self.walker.state = State::Whole;
        next
    }

    /// In the array, before an element.
    fn next(&mut self, byte: u8, i: usize, mark: &mut usize, at: u64) -> usize {
        *mark = i;
        match byte {
            b'{' | b'[' | b'"' => {
                self.walker.extent = Extent::default();
                self.walker.state = State::Element;
                return i;
            }
            b']' => {
                self.walker.in_array = false;
                if self.walker.top_array {
                    self.end_document(at + 1);
                } else {
                    self.walker.state = State::Member;
                }
            }
            b',' => {}
            b if b.is_ascii_whitespace() => {}
            b if b.is_ascii_alphanumeric() || b == b'-' => self.walker.state = State::Scalar,
            _ => self.walker.state = State::Junk,
        }
        i + 1
    }

    fn end_scalar(&mut self, tail: &[u8], i: usize, at: u64, out: &mut Frames) -> usize {
        let junk = self.walker.state == State::Junk;
        self.walker.state = if self.walker.in_array { State::Next } else { State::Member };
        self.emit(tail, at, out, junk.then_some("unexpected bytes between records"));
        i
    }

    /// An object without an array of records has ended.
    fn end_object(&mut self, tail: &[u8], end: u64, out: &mut Frames) {
        let missing = match &self.unwrap {
            Unwrap::Auto | Unwrap::Array => None,
            _ if self.walker.control => {
                self.open.clear();
                return self.end_document(end);
            }
            Unwrap::Member(name) => Some(format!("no member {name:?} that is an array")),
            Unwrap::CloudwatchLogs => Some("no member \"logEvents\" that is an array".to_owned()),
        };
        self.emit(tail, end, out, missing.as_deref());
        self.end_document(end);
    }

    fn end_document(&mut self, end: u64) {
        self.walker.state = State::Between;
        self.walker.parts = 0;
        self.ended = self.unwrap == Unwrap::Auto;
        self.save(end);
    }

    fn save(&mut self, at: u64) {
        self.saved = self.walker;
        self.safe = at;
    }

    /// The open record ends with `tail` at `end`.
    fn emit(&mut self, tail: &[u8], end: u64, out: &mut Frames, refused: Option<&str>) {
        let (at, index) = (self.walker.at, self.walker.index);
        if self.open.parts > 0 {
            self.open.append(tail, end - tail.len() as u64);
            if !self.open.bytes.is_empty() {
                self.open.cut(at, index, self.max, out);
                self.walker.index += 1;
            }
        } else if self.open.bytes.is_empty() {
            self.give(tail, out, refused);
        } else {
            self.open.append(tail, end - tail.len() as u64);
            let mut bytes = std::mem::take(&mut self.open.bytes);
            self.give_buffer(&mut bytes, out, refused);
            self.open.bytes = bytes;
        }
        self.open.clear();
        self.walker.parts = 0;
        self.save(end);
    }

    /// As [`Document::give`], without a copy where there is none to be made.
    fn give_buffer(&mut self, bytes: &mut Vec<u8>, out: &mut Frames, refused: Option<&str>) {
        let is_log_event = self.walker.cloudwatch && self.walker.in_array;
        if self.walker.control || is_log_event {
            return self.give(bytes, out, refused);
        }
        let (at, index) = (self.walker.at, self.walker.index);
        self.walker.index += 1;
        match refused {
            Some(reason) => out.reject(at, index, reason.to_owned(), std::mem::take(bytes)),
            None => out.record_within(at, index, bytes, 0..bytes.len()),
        }
    }

    fn give(&mut self, bytes: &[u8], out: &mut Frames, refused: Option<&str>) {
        let (at, index) = (self.walker.at, self.walker.index);
        if self.walker.control {
            return;
        }
        self.walker.index += 1;
        if let Some(reason) = refused {
            return out.reject(at, index, reason.to_owned(), bytes.to_vec());
        }
        if !(self.walker.cloudwatch && self.walker.in_array) {
            return out.record(at, index, bytes);
        }
        match serde_json::from_slice::<LogEvent<'_>>(bytes) {
            Ok(event) => out.record(at, index, event.message.as_bytes()),
            Err(error) => {
                let reason = format!("log event without a message: {error}");
                out.reject(at, index, reason, bytes.to_vec());
            }
        }
    }

    fn cut(&mut self, end: u64, out: &mut Frames) {
        let (at, index) = (self.walker.at, self.walker.index);
        self.open.cut(at, index, self.max, out);
        self.walker.index += 1;
        self.walker.parts = self.open.parts;
        self.save(end);
    }

    pub fn finish(&mut self, consumed: u64, out: &mut Frames, broken: Option<&str>) {
        let open = self.walker.collects();
        let reason = match self.walker.state {
            State::Between => None,
            State::Line => Some("not a JSON document"),
            _ if open => Some("ends inside a record"),
            _ => Some("ends before its closing bracket"),
        };
        if broken.is_some() || reason.is_some() {
            self.walker.control = false;
            self.emit(&[], consumed, out, broken.or(reason));
        }
        self.start(consumed);
    }
}

fn ends_scalar(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}')
}
