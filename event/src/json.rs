//! From JSON text to [`Node`]s, in one pass over the bytes.
//!
//! The pass checks the whole text against RFC 8259 and keeps where each value stands; text without
//! escapes is never copied. [`crate::doc`] is what others see of it. Must not know fields or rules, and
//! must not be stricter or laxer than [`crate::doc::Parser::json`] says.
//!
//! The place in the text travels through the functions as an argument and a result, so that it stays in a
//! register; a function that fails notes in [`Scan::failed`] where.

mod number;
mod plain;
mod text;

/// Bytes `start..start + len` of the record, or of the text that was unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// A value or a key. What a container holds follows it, `count` nodes in all; in an object a key and its
/// value in turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    I64(i64),
    /// Only above `i64::MAX`.
    U64(u64),
    F64(f64),
    Text(Piece),
    Unescaped(Piece),
    Key(Piece),
    UnescapedKey(Piece),
    Array {
        len: u32,
        count: u32,
    },
    Object {
        len: u32,
        count: u32,
    },
}

/// Why and where a text is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) reason: &'static str,
}

/// Why a text is not JSON. One byte, so that a result is two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Value,
    Key,
    Colon,
    MemberEnd,
    ElementEnd,
    End,
    Depth,
    Number,
    Digit,
    Escape,
    Hexadecimal,
    Control,
    Nodes,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Reason::Value => "expected a value",
            Reason::Key => "expected a key",
            Reason::Colon => "expected `:`",
            Reason::MemberEnd => "expected `,` or `}`",
            Reason::ElementEnd => "expected `,` or `]`",
            Reason::End => "expected nothing more",
            Reason::Depth => "nested too deeply",
            Reason::Number => "expected a number",
            Reason::Digit => "expected a digit",
            Reason::Escape => "an unknown escape",
            Reason::Hexadecimal => "`\\u` without four hexadecimal digits",
            Reason::Control => "a control character in a string",
            Reason::Nodes => "more than two million values and keys",
        }
    }
}

/// Deeper containers are refused: whoever walks a document may do so by recursion.
const DEPTH_MAX: usize = 1024;

/// Keys and values of one record, 16 bytes each. No log has so many; text that is made of commas would
/// take eight times its own size in memory.
const NODES_MAX: usize = 2_000_000;

/// An open container. `len` counts the members or elements that are complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    at: u32,
    len: u32,
    object: bool,
}

/// Appends the nodes of one JSON text to `nodes`, and the texts that had escapes to `unescaped`, which are
/// both empty.
pub(crate) fn scan(
    text: &str,
    nodes: &mut Vec<Node>,
    unescaped: &mut Vec<u8>,
    open: &mut Vec<Frame>,
) -> Result<(), Fault> {
    if u32::try_from(text.len()).is_err() {
        return Err(Fault { at: 0, reason: "the record is longer than 4 GiB" });
    }
    open.clear();
    let mut scan = Scan { text, bytes: text.as_bytes(), nodes, unescaped, failed: 0 };
    scan.document(open).map_err(|reason| {
        let (at, early) = (scan.failed, scan.failed >= text.len());
        Fault { at, reason: if early { "the text ends too early" } else { reason.text() } }
    })
}

struct Scan<'s> {
    text: &'s str,
    bytes: &'s [u8],
    nodes: &'s mut Vec<Node>,
    unescaped: &'s mut Vec<u8>,
    failed: usize,
}

/// The next byte to read.
type At = Result<usize, Reason>;

impl Scan<'_> {
    fn document(&mut self, open: &mut Vec<Frame>) -> Result<(), Reason> {
        let mut inside: Option<Frame> = None;
        let mut at = 0;
        loop {
            let byte;
            (byte, at) = self.skip(at);
            match byte {
                b'"' => at = self.string::<false>(at)?,
                b'{' | b'[' => {
                    open.extend(inside);
                    if open.len() == DEPTH_MAX {
                        return Err(self.fault(at, Reason::Depth));
                    }
                    let object = byte == b'{';
                    let frame = Frame { at: self.nodes.len() as u32, len: 0, object };
                    self.nodes.push(Node::Null); // becomes the container when it closes
                    let next;
                    (next, at) = self.skip(at + 1);
                    if next != closing(object) {
                        inside = Some(frame);
                        if object {
                            at = self.key(next, at)?;
                        }
                        continue;
                    }
                    at += 1;
                    inside = self.close(frame, open);
                }
                b'-' | b'0'..=b'9' => at = self.number(at)?,
                b't' => at = self.literal(at, "true", Node::Bool(true))?,
                b'f' => at = self.literal(at, "false", Node::Bool(false))?,
                b'n' => at = self.literal(at, "null", Node::Null)?,
                _ => return Err(self.fault(at, Reason::Value)),
            }
            // A value is complete, and with it perhaps what it stands in.
            loop {
                let next;
                (next, at) = self.skip(at);
                let Some(frame) = &mut inside else { return self.end(at) };
                frame.len += 1;
                if next == b',' {
                    if self.nodes.len() >= NODES_MAX {
                        return Err(self.fault(at, Reason::Nodes));
                    }
                    at += 1;
                    if frame.object {
                        let first;
                        (first, at) = self.skip(at);
                        at = self.key(first, at)?;
                    }
                    break;
                }
                let frame = *frame;
                if next != closing(frame.object) {
                    let wanted = if frame.object { Reason::MemberEnd } else { Reason::ElementEnd };
                    return Err(self.fault(at, wanted));
                }
                at += 1;
                inside = self.close(frame, open);
            }
        }
    }

    /// Completes the innermost container and returns the one around it.
    #[inline]
    fn close(&mut self, frame: Frame, open: &mut Vec<Frame>) -> Option<Frame> {
        let count = self.nodes.len() as u32 - frame.at - 1;
        self.nodes[frame.at as usize] = match frame.object {
            true => Node::Object { len: frame.len, count },
            false => Node::Array { len: frame.len, count },
        };
        open.pop()
    }

    /// A member's key, which begins with that byte, and its colon.
    #[inline(always)]
    fn key(&mut self, first: u8, at: usize) -> At {
        if first != b'"' {
            return Err(self.fault(at, Reason::Key));
        }
        let at = self.string::<true>(at)?;
        let (next, at) = self.skip(at);
        if next != b':' {
            return Err(self.fault(at, Reason::Colon));
        }
        Ok(at + 1)
    }

    /// The next byte that is not white space, and where it is; 0, which stands nowhere in JSON, at the end.
    #[inline(always)]
    fn skip(&self, mut at: usize) -> (u8, usize) {
        loop {
            match self.bytes.get(at) {
                Some(byte @ (b'!'..)) => return (*byte, at),
                Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
                Some(_) | None => return (0, at),
            }
        }
    }

    fn literal(&mut self, at: usize, name: &str, node: Node) -> At {
        if !self.bytes[at..].starts_with(name.as_bytes()) {
            return Err(self.fault(at, Reason::Value));
        }
        self.nodes.push(node);
        Ok(at + name.len())
    }

    fn end(&mut self, at: usize) -> Result<(), Reason> {
        match at == self.bytes.len() {
            true => Ok(()),
            false => Err(self.fault(at, Reason::End)),
        }
    }

    #[cold]
    fn fault(&mut self, at: usize, reason: Reason) -> Reason {
        self.failed = at;
        reason
    }
}

#[inline]
fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

#[cfg(test)]
mod tests;
