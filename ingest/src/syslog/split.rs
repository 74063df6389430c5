//! A connection's bytes to messages: counted, or one a line (RFC 6587). Which of the two a sender uses is
//! told from its first bytes. How the bytes arrive never changes what comes out.

use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;

use super::entry::Entry;

/// How the messages of a connection are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Each connection by its first bytes: a number, a blank and `<` are a count.
    #[default]
    Auto,
    /// Each message after its length in bytes and a blank.
    Counted,
    /// One message a line.
    Lines,
}

/// A count is at most so many digits.
const DIGITS_MAX: usize = 9;

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not decided yet.
    Start,
    Count,
    /// Inside a message of which so many bytes are to come.
    Counted(usize),
    Line,
    /// No message can be found any more.
    Lost,
}

/// Cuts the bytes of one connection.
#[derive(Debug)]
pub(super) struct Splitter {
    place: Place,
    /// What has no end yet.
    open: Vec<u8>,
    /// How often the open message was cut because it is too long.
    parts: u32,
    max: usize,
}

impl Splitter {
    /// Messages longer than `max` bytes are refused in parts of that size.
    pub fn new(framing: Framing, max: usize) -> Self {
        let place = match framing {
            Framing::Auto => Place::Start,
            Framing::Counted => Place::Count,
            Framing::Lines => Place::Line,
        };
        Self { place, open: Vec::new(), parts: 0, max: max.max(1) }
    }

    /// Nothing more can be read from this connection.
    pub fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Takes all of `input`.
    pub fn push(&mut self, mut input: &[u8], out: &mut Entry) {
        while !input.is_empty() {
            let used = match self.place {
                Place::Start => self.start(input),
                Place::Count => self.count(input, out),
                Place::Counted(left) => self.counted(input, left, out),
                Place::Line => self.line(input, out),
                Place::Lost => return,
            };
            input = &input[used..];
        }
    }

    /// The connection has ended. A line needs no end; a message of which bytes are missing is refused.
    pub fn finish(&mut self, out: &mut Entry) {
        match self.place {
            Place::Start | Place::Line => self.end_line(out),
            Place::Count if self.open.is_empty() => {}
            Place::Count => self.lose("the connection ended within a count", &[], out),
            Place::Counted(left) => {
                let reason = format!("the connection ended {left} bytes before the message did");
                out.refuse(&reason, &self.open);
                self.open.clear();
            }
            Place::Lost => {}
        }
        self.place = Place::Lost;
    }

    /// Looks at the first bytes until they tell how this sender frames; they are looked at again then.
    fn start(&mut self, input: &[u8]) -> usize {
        for (used, byte) in input.iter().enumerate() {
            let is_blank = self.open.is_empty() && byte.is_ascii_whitespace();
            let is_count = byte.is_ascii_digit() && self.open.len() < DIGITS_MAX;
            let ends_count = *byte == b' ' && !self.open.is_empty();
            if ends_count && self.open.last() != Some(&b' ') || is_count {
                self.open.push(*byte);
            } else if !is_blank {
                let is_counted = *byte == b'<' && self.open.last() == Some(&b' ');
                self.place = Place::Line;
                if is_counted {
                    let digits = self.open[..self.open.len() - 1].to_vec();
                    self.open.clear();
                    self.place = number(&digits).map_or(Place::Line, Place::Counted);
                }
                return used;
            }
        }
        input.len()
    }

    fn count(&mut self, input: &[u8], out: &mut Entry) -> usize {
        for (used, byte) in input.iter().enumerate() {
            match byte {
                b' ' if !self.open.is_empty() => {
                    let digits = std::mem::take(&mut self.open);
                    self.place = number(&digits).map_or(Place::Count, Place::Counted);
                    return used + 1;
                }
                // Some senders end a counted message like a line.
                b'\n' | b'\r' | 0 if self.open.is_empty() => {}
                b'0'..=b'9' if self.open.len() < DIGITS_MAX => self.open.push(*byte),
                _ => {
                    self.lose("no count where one must stand", &input[used..], out);
                    return input.len();
                }
            }
        }
        input.len()
    }

    fn lose(&mut self, reason: &str, rest: &[u8], out: &mut Entry) {
        self.open.extend_from_slice(rest);
        for part in self.open.chunks(self.max) {
            out.refuse(reason, part);
        }
        self.open = Vec::new();
        self.place = Place::Lost;
    }

    fn counted(&mut self, input: &[u8], left: usize, out: &mut Entry) -> usize {
        let used = input.len().min(left).min(self.max - self.open.len());
        let (bytes, left) = (&input[..used], left - used);
        self.place = if left == 0 { Place::Count } else { Place::Counted(left) };
        if left == 0 && self.open.is_empty() && self.parts == 0 {
            out.message(bytes);
            return used;
        }
        self.open.extend_from_slice(bytes);
        match (left, self.parts) {
            (0, 0) => out.message(&self.open),
            (0, _) => self.cut(out),
            _ if self.open.len() < self.max => return used,
            _ => {
                self.cut(out);
                return used;
            }
        }
        self.close();
        used
    }

    fn line(&mut self, input: &[u8], out: &mut Entry) -> usize {
        let room = self.max + 1 - self.open.len();
        let window = &input[..input.len().min(room)];
        let Some(end) = memchr(b'\n', window) else {
            let taken = window.len().min(self.max - self.open.len());
            self.open.extend_from_slice(&window[..taken]);
            if taken < window.len() {
                self.cut(out);
            }
            return taken;
        };
        if self.open.is_empty() && self.parts == 0 {
            line(&input[..end], out);
        } else {
            self.open.extend_from_slice(&input[..end]);
            self.end_line(out);
        }
        end + 1
    }

    fn end_line(&mut self, out: &mut Entry) {
        if self.parts == 0 {
            line(&self.open, out);
        } else if !self.open.is_empty() {
            self.cut(out);
        }
        self.close();
    }

    fn cut(&mut self, out: &mut Entry) {
        self.parts += 1;
        let (part, max) = (self.parts, self.max);
        out.refuse(&format!("part {part}, message longer than {max} bytes"), &self.open);
        self.open.clear();
    }

    fn close(&mut self) {
        self.open = Vec::new();
        self.parts = 0;
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number > 0)
}

fn line(bytes: &[u8], out: &mut Entry) {
    let is_end = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
    let end = bytes.iter().rposition(|b| !is_end(b)).map_or(0, |last| last + 1);
    if !bytes[..end].iter().all(u8::is_ascii_whitespace) {
        out.message(&bytes[..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages, and refusals after a `!`.
    fn split(framing: Framing, max: usize, chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::new(framing, max);
        let mut out = Entry::new("p");
        for chunk in chunks {
            splitter.push(chunk, &mut out);
        }
        splitter.finish(&mut out);
        out.shown()
    }

    fn check(framing: Framing, input: &str, expected: &[&str]) {
        let input = input.as_bytes();
        assert_eq!(split(framing, 10, &[input]), expected);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(split(framing, 10, &bytes), expected, "byte by byte");
        for at in 0..input.len() {
            let halves = [&input[..at], &input[at..]];
            assert_eq!(split(framing, 10, &halves), expected, "cut at {at}");
        }
    }

    #[test]
    fn senders_are_told_apart() {
        let auto = Framing::Auto;
        check(auto, "4 <1>a6 <1>b\nc", &["<1>a", "<1>b\nc"]);
        check(auto, "<1>a\n<1>b\r\n\n<1>c\0\n", &["<1>a", "<1>b", "<1>c"]);
        check(auto, "2026-03 x\n12 y\n", &["2026-03 x", "12 y"]);
        check(auto, "\n\n4 <1>a\n4 <1>b\n", &["<1>a", "<1>b"]);
        check(auto, "12", &["12"]);
        check(auto, "", &[]);
        check(Framing::Counted, "1 x2 yz", &["x", "yz"]);
        check(Framing::Lines, "4 <1>a\nx", &["4 <1>a", "x"]);
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_in_parts() {
        let long = |n: u32| format!("!part {n}, message longer than 10 bytes: ");
        let (one, two, three) = (long(1), long(2), long(3));
        check(
            Framing::Lines,
            "0123456789\n0123456789abcdefghijk\nx\n",
            &[
                "0123456789",
                &format!("{one}0123456789"),
                &format!("{two}abcdefghij"),
                &format!("{three}k"),
                "x",
            ],
        );
        check(
            Framing::Counted,
            "10 012345678912 0123456789ab1 x",
            &["0123456789", &format!("{one}0123456789"), &format!("{two}ab"), "x"],
        );
    }

    #[test]
    fn what_cannot_be_framed_is_kept() {
        let missing = "!the connection ended 3 bytes before the message did: ab";
        check(Framing::Counted, "5 ab", &[missing]);
        check(Framing::Counted, "1 x12", &["x", "!the connection ended within a count: 12"]);
        check(Framing::Counted, "0 1 x", &["x"]);
        let lost = split(Framing::Counted, 10, &[b"1 x12q345 7890123"]);
        let reason = "!no count where one must stand: ";
        assert_eq!(lost, ["x", &format!("{reason}12q345 789"), &format!("{reason}0123")]);
    }
}
