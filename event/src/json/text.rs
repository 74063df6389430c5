//! Strings: where they stand, and what their escapes mean.

use super::{At, Node, Piece, Reason, Scan, plain};

impl Scan<'_> {
    /// A string; its opening quote is at `at`.
    #[inline(always)]
    pub(super) fn string<const KEY: bool>(&mut self, at: usize) -> At {
        let start = at + 1;
        let end = plain::end(self.bytes, start);
        if self.bytes.get(end) != Some(&b'"') {
            return self.escaped(start, end, KEY);
        }
        let piece = Piece { start: start as u32, len: (end - start) as u32 };
        self.nodes.push(if KEY { Node::Key(piece) } else { Node::Text(piece) });
        Ok(end + 1)
    }

    /// The rest of a string whose plain text ends before its quote, at `end`.
    #[inline(never)]
    fn escaped(&mut self, start: usize, end: usize, key: bool) -> At {
        let from = self.unescaped.len();
        self.unescaped.extend_from_slice(&self.bytes[start..end]);
        let mut at = end;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at = self.escape(at)?,
                _ => return Err(self.fault(at, Reason::Control)),
            }
            let end = plain::end(self.bytes, at);
            self.unescaped.extend_from_slice(&self.bytes[at..end]);
            at = end;
        }
        let len = (self.unescaped.len() - from) as u32;
        let piece = Piece { start: from as u32, len };
        self.nodes.push(if key { Node::UnescapedKey(piece) } else { Node::Unescaped(piece) });
        Ok(at + 1)
    }

    /// One escape; its backslash is at `at`.
    #[inline]
    fn escape(&mut self, at: usize) -> At {
        let byte = match self.bytes.get(at + 1) {
            Some(same @ (b'"' | b'\\' | b'/')) => *same,
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'u') => return self.code_point(at),
            _ => return Err(self.fault(at, Reason::Escape)),
        };
        self.unescaped.push(byte);
        Ok(at + 2)
    }

    /// `\uXXXX`, or two of them. Half of a pair alone reads as U+FFFD.
    fn code_point(&mut self, mut at: usize) -> At {
        let Some(first) = self.unit(at) else {
            return Err(self.fault(at, Reason::Hexadecimal));
        };
        at += 6;
        let second = || self.unit(at).filter(|unit| (0xDC00..0xE000).contains(unit));
        let code = match (first, (0xD800..0xDC00).contains(&first).then(second).flatten()) {
            (high, Some(low)) => {
                at += 6;
                0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            (alone, None) => alone,
        };
        let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.unescaped.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(at)
    }

    /// The UTF-16 code unit of the escape at `at`.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0, |n, d| Some(n * 16 + (*d as char).to_digit(16)?))
    }
}
