//! Numbers: exact as long as they are whole and fit 64 bits, else the nearest binary64.

use super::{At, Node, Piece, Reason, Scan};

/// A whole number of so many digits fits an `i64`.
const SHORT_DIGITS: usize = 18;

impl Scan<'_> {
    /// A number; its sign or first digit is at `start`.
    #[inline]
    pub(super) fn number(&mut self, start: usize) -> At {
        let negative = self.bytes[start] == b'-';
        let first = start + usize::from(negative);
        let (mut at, mut n) = (first, 0_i64);
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(at) {
            n = n.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            at += 1;
        }
        let digits = at - first;
        if digits == 0 || (digits > 1 && self.bytes[first] == b'0') {
            return Err(self.fault(at, Reason::Number));
        }
        if let Some(b'.' | b'e' | b'E') = self.bytes.get(at) {
            return self.fraction(start, at);
        }
        if digits > SHORT_DIGITS {
            return Ok(self.long(start, at));
        }
        self.nodes.push(Node::I64(if negative { -n } else { n }));
        Ok(at)
    }

    /// What follows the digits before a point or exponent, which is at `at`.
    #[inline(never)]
    fn fraction(&mut self, start: usize, mut at: usize) -> At {
        if self.bytes[at] == b'.' {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            let sign = usize::from(matches!(self.bytes.get(at + 1), Some(b'+' | b'-')));
            at = self.digits(at + 1 + sign)?;
        }
        Ok(self.float(start, at))
    }

    fn digits(&mut self, at: usize) -> At {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match rest.iter().take_while(|b| b.is_ascii_digit()).count() {
            0 => Err(self.fault(at, Reason::Digit)),
            digits => Ok(at + digits),
        }
    }

    /// A whole number that may not fit.
    #[inline(never)]
    fn long(&mut self, start: usize, end: usize) -> usize {
        let written = &self.text[start..end];
        if let Ok(n) = written.parse() {
            self.nodes.push(Node::I64(n));
        } else if let Ok(n) = written.parse() {
            self.nodes.push(Node::U64(n));
        } else {
            self.float(start, end);
        }
        end
    }

    /// A number beyond binary64 reads as its text.
    fn float(&mut self, start: usize, end: usize) -> usize {
        let piece = Piece { start: start as u32, len: (end - start) as u32 };
        let number = self.text[start..end].parse::<f64>().ok().filter(|n| n.is_finite());
        self.nodes.push(number.map_or(Node::Text(piece), Node::F64));
        end
    }
}
