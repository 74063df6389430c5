//! Log files of containers as Kubernetes keeps them: `TIME stdout|stderr F|P TEXT`, where `P` is a part
//! of a line that goes on in the next entry of its stream and `F` is its end. The record is what the program
//! wrote, whole. The two streams may interleave; records come in the order in which they began.

use std::collections::VecDeque;

use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::frames::{Frames, Open};

/// A line of a program that has begun.
#[derive(Debug)]
struct Begun {
    at: u64,
    /// After its last entry so far.
    upto: u64,
    stream: usize,
    text: Vec<u8>,
    is_whole: bool,
    reject: Option<String>,
}

/// What must be kept beside the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Torn {
    /// Of each stream: the line that goes on was refused already.
    streams: [bool; 2],
    /// Of each stream: entries before this are part of what was handed over.
    done: [u64; 2],
    /// Inside an entry: where it began and the parts cut so far.
    entry: Option<(u64, u32)>,
}

#[derive(Debug)]
pub(super) struct Cri {
    max: usize,
    open: Open,
    entry_at: u64,
    begun: VecDeque<Begun>,
    bytes: usize,
    torn: [bool; 2],
    done: [u64; 2],
    /// As `torn` was at [`Cri::safe`].
    torn_before: [bool; 2],
    safe: u64,
}

impl Cri {
    pub fn new(max: usize) -> Self {
        Self {
            max,
            open: Open::default(),
            entry_at: 0,
            begun: VecDeque::new(),
            bytes: 0,
            torn: [false; 2],
            done: [0; 2],
            torn_before: [false; 2],
            safe: 0,
        }
    }

    pub fn resume(&mut self, at: u64, torn: Option<Torn>) {
        (self.entry_at, self.safe) = (at, at);
        let torn = torn.unwrap_or_default();
        (self.torn, self.torn_before) = (torn.streams, torn.streams);
        self.done = torn.done;
        if let Some((entry_at, parts)) = torn.entry {
            (self.entry_at, self.open.parts) = (entry_at, parts);
        }
    }

    pub fn safe(&self) -> u64 {
        self.safe
    }

    pub fn torn(&self) -> Option<Torn> {
        let entry = (self.open.parts > 0).then_some((self.entry_at, self.open.parts));
        let done = self.done.map(|done| if done > self.safe { done } else { 0 });
        let torn = Torn { streams: self.torn_before, done, entry };
        (torn != Torn::default()).then_some(torn)
    }

    /// Takes bytes that stand `base` in the stream until they or the room in `out` end.
    pub fn run(&mut self, input: &[u8], base: u64, out: &mut Frames) -> usize {
        let mut used = 0;
        while used < input.len() && !out.is_full() {
            let rest = &input[used..];
            let at = base + used as u64;
            let room = self.max - self.open.bytes.len();
            let window = &rest[..rest.len().min(room + 1)];
            match memchr(b'\n', window) {
                Some(n) => {
                    self.open.append(&rest[..n], at);
                    used += n + 1;
                    self.end_entry(base + used as u64, out);
                }
                None if window.len() > room => {
                    self.open.append(&rest[..room], at);
                    used += room;
                    self.give_up("a line was begun and not ended", out);
                    self.open.cut(self.entry_at, self.open.parts, self.max, out);
                    self.settle(base + used as u64);
                }
                None => {
                    self.open.append(rest, at);
                    used = input.len();
                }
            }
        }
        used
    }

    pub fn finish(&mut self, consumed: u64, out: &mut Frames, broken: Option<&str>) {
        if broken.is_none() && (!self.open.bytes.is_empty() || self.open.parts > 0) {
            self.end_entry(consumed, out);
        }
        self.give_up(broken.unwrap_or("a line was begun and not ended"), out);
        if let Some(reason) = broken {
            let bytes = std::mem::take(&mut self.open.bytes);
            out.reject(self.entry_at, self.open.parts, reason.to_owned(), bytes);
        }
        self.open.clear();
        self.entry_at = consumed;
        self.settle(consumed);
    }

    /// The open entry is whole; the next one begins at `next`.
    fn end_entry(&mut self, next: u64, out: &mut Frames) {
        if self.open.parts > 0 {
            if !self.open.bytes.is_empty() {
                self.open.cut(self.entry_at, self.open.parts, self.max, out);
            }
        } else {
            let entry = std::mem::take(&mut self.open.bytes);
            self.entry(entry.strip_suffix(b"\r").unwrap_or(&entry), next);
            self.open.bytes = entry;
        }
        self.open.clear();
        self.entry_at = next;
        self.emit(out);
        if self.bytes > self.max {
            self.give_up(&format!("a line longer than {} bytes", self.max), out);
        }
        self.settle(next);
    }

    /// An entry that ends at `upto`.
    fn entry(&mut self, entry: &[u8], upto: u64) {
        if entry.is_empty() {
            return;
        }
        let at = self.entry_at;
        let Some((stream, is_end, text)) = parts(entry) else {
            let reject = Some("no entry of a container's log".to_owned());
            let text = entry.to_vec();
            return self.begin(Begun { at, upto, stream: 2, text, is_whole: true, reject });
        };
        if at < self.done[stream] {
            return;
        }
        if self.torn[stream] {
            self.torn[stream] = !is_end;
            let reject = Some("the rest of a line that was too long".to_owned());
            let text = text.to_vec();
            return self.begin(Begun { at, upto, stream: 2, text, is_whole: true, reject });
        }
        let begun = self.begun.iter_mut().find(|begun| begun.stream == stream && !begun.is_whole);
        match begun {
            Some(begun) => {
                begun.text.extend_from_slice(text);
                (begun.is_whole, begun.upto) = (is_end, upto);
                self.bytes += text.len();
            }
            None => {
                let text = text.to_vec();
                self.begin(Begun { at, upto, stream, text, is_whole: is_end, reject: None });
            }
        }
    }

    fn begin(&mut self, begun: Begun) {
        self.bytes += begun.text.len();
        self.begun.push_back(begun);
    }

    /// Hands over what is whole and has nothing unfinished before it.
    fn emit(&mut self, out: &mut Frames) {
        while self.begun.front().is_some_and(|begun| begun.is_whole) {
            let Some(begun) = self.begun.pop_front() else { break };
            self.bytes -= begun.text.len();
            if let Some(done) = self.done.get_mut(begun.stream) {
                *done = begun.upto;
            }
            match begun.reject {
                Some(reason) => out.reject(begun.at, 0, reason, begun.text),
                None if begun.text.iter().all(u8::is_ascii_whitespace) => {}
                None => out.record(begun.at, 0, &begun.text),
            }
        }
    }

    /// What is unfinished stays so: it is refused, and what waits behind it is handed over.
    fn give_up(&mut self, reason: &str, out: &mut Frames) {
        for begun in self.begun.iter_mut().filter(|begun| !begun.is_whole) {
            self.torn[begun.stream] = true;
            (begun.is_whole, begun.reject) = (true, Some(reason.to_owned()));
        }
        self.emit(out);
    }

    /// All before this is handed over, but for what has begun.
    fn settle(&mut self, at: u64) {
        match self.begun.front() {
            Some(begun) if begun.at == self.safe => {}
            Some(begun) => (self.safe, self.torn_before) = (begun.at, self.torn),
            None => (self.safe, self.torn_before) = (at, self.torn),
        }
    }
}

/// Stream, whether the line ends here, and the text of an entry.
fn parts(entry: &[u8]) -> Option<(usize, bool, &[u8])> {
    let mut words = entry.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags) = (words.next()?, words.next()?, words.next()?);
    let is_time = time.len() >= 20 && time[0].is_ascii_digit() && time[10] == b'T';
    let stream = match stream {
        b"stdout" => 0,
        b"stderr" => 1,
        _ => return None,
    };
    // Further tags may follow the first behind colons.
    let is_end = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    is_time.then(|| (stream, is_end, words.next().unwrap_or_default()))
}
