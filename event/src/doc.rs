//! A parsed record: the vendor's own tree of fields, read in place.
//!
//! [`Parser`] owns every buffer and is reused record after record. A [`Doc`] borrows from it and
//! gives the buffers back when dropped. Positions in the document are [`NodeId`]s, so that nothing
//! that outlives one record has to carry its lifetime.
//!
//! Duplicate keys: every occurrence is visible, in order. A rule matches if any occurrence matches,
//! so that repeating a key hides nothing; a column takes the first.

use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape};

/// Index of a value in its [`Doc`]. Only meaningful for the document that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(u32);

/// A value in a document. Containers are named by their node and are walked with
/// [`Doc::members`] and [`Doc::items`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    I64(i64),
    /// Only above `i64::MAX`.
    U64(u64),
    F64(f64),
    Str(&'a str),
    Array(NodeId),
    Object(NodeId),
}

impl<'a> Value<'a> {
    /// The text of a string value.
    pub fn as_str(self) -> Option<&'a str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }

    /// The value of a whole number that fits.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Value::I64(n) => Some(n),
            Value::U64(n) => i64::try_from(n).ok(),
            _ => None,
        }
    }
}

/// Why a record is not a document. `at` is a byte offset into the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct ParseError {
    pub at: usize,
    pub reason: String,
}

/// Reusable buffers for parsing one record after another.
#[derive(Default)]
pub struct Parser {
    input: Vec<u8>,
    mended: Vec<u8>,
    buffers: Buffers,
    tape: Option<Tape<'static>>,
}

/// [`Parser::trim`] gives larger buffers than this back.
const KEEP_BYTES_MAX: usize = 4 << 20;

impl Parser {
    /// Parses one JSON text (RFC 8259). `bytes` itself stays untouched.
    ///
    /// Two things that real systems emit and strict readers refuse are read leniently, because
    /// refusing them would let an attacker hide an event: a lone UTF-16 surrogate escape reads as
    /// U+FFFD, and a number beyond binary64 reads as its text.
    pub fn json(&mut self, bytes: &[u8]) -> Result<Doc<'_>, ParseError> {
        let Self { input, mended, buffers, tape: home } = self;
        pad(input, bytes);
        let mut tape = home.take().unwrap_or(Tape(Vec::new())).reset();
        let first = match simd_json::fill_tape_padded(input, bytes.len(), buffers, &mut tape) {
            Ok(()) => return Ok(Doc { tape, home }),
            Err(e) => ParseError { at: e.index(), reason: in_words(e.error()) },
        };
        mended.clear();
        if !mend(bytes, mended) {
            return Err(first);
        }
        let mended_len = mended.len();
        mended.resize(mended_len + INPUT_PADDING, b' ');
        let mut tape = tape.reset();
        match simd_json::fill_tape_padded(mended, mended_len, buffers, &mut tape) {
            Ok(()) => Ok(Doc { tape, home }),
            Err(_) => Err(first),
        }
    }

    /// Gives large buffers back, so that one huge record does not pin its memory. For now and then,
    /// such as the end of a batch.
    pub fn trim(&mut self) {
        let tape = self.tape.as_ref().map_or(0, |t| t.0.capacity() * size_of::<Node<'_>>());
        if self.input.capacity().max(self.mended.capacity()).max(tape) > KEEP_BYTES_MAX {
            *self = Self::default();
        }
    }

    /// Makes a flat document from parallel names and values, for records that are not JSON.
    pub fn row<'a>(&'a mut self, fields: impl Iterator<Item = (&'a str, Value<'a>)>) -> Doc<'a> {
        let mut tape: Tape<'a> = self.tape.take().unwrap_or(Tape(Vec::new())).reset();
        tape.0.push(Node::Object { len: 0, count: 0 });
        for (name, value) in fields {
            tape.0.push(Node::String(name));
            tape.0.push(match value {
                Value::Str(s) => Node::String(s),
                Value::Bool(b) => Node::Static(StaticNode::Bool(b)),
                Value::I64(n) => Node::Static(StaticNode::I64(n)),
                Value::U64(n) => Node::Static(StaticNode::U64(n)),
                Value::F64(n) => Node::Static(StaticNode::F64(n)),
                Value::Null | Value::Array(_) | Value::Object(_) => Node::Static(StaticNode::Null),
            });
        }
        let count = tape.0.len() - 1;
        tape.0[0] = Node::Object { len: count / 2, count };
        Doc { tape, home: &mut self.tape }
    }
}

/// The parser's own names are words run together: `ExpectedObjectKey` → `expected object key`.
fn in_words(error: &simd_json::ErrorType) -> String {
    let name = format!("{error:?}");
    let mut words = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() && !words.ends_with('(') {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

/// Fills `input` with the record and the padding that the parser reads past its end.
fn pad(input: &mut Vec<u8>, bytes: &[u8]) {
    input.clear();
    input.reserve(bytes.len() + INPUT_PADDING);
    input.extend_from_slice(bytes);
    input.resize(bytes.len() + INPUT_PADDING, b' ');
}

/// A parsed record. See the module documentation.
pub struct Doc<'a> {
    tape: Tape<'a>,
    home: &'a mut Option<Tape<'static>>,
}

impl Drop for Doc<'_> {
    fn drop(&mut self) {
        let tape = std::mem::replace(&mut self.tape, Tape(Vec::new()));
        *self.home = Some(tape.reset());
    }
}

impl<'a> Doc<'a> {
    /// The whole record.
    pub const ROOT: NodeId = NodeId(0);

    /// The value at a node.
    #[inline]
    pub fn value(&self, node: NodeId) -> Value<'a> {
        match self.tape.0[node.0 as usize] {
            Node::String(s) => Value::Str(s),
            Node::Object { .. } => Value::Object(node),
            Node::Array { .. } => Value::Array(node),
            Node::Static(s) => scalar(s),
        }
    }

    /// The members of an object in order; nothing for any other value.
    #[inline]
    pub fn members(&self, object: NodeId) -> Members<'_, 'a> {
        let (at, left) = match self.tape.0[object.0 as usize] {
            Node::Object { len, .. } => (object.0 + 1, len),
            _ => (0, 0),
        };
        Members { doc: self, at, left }
    }

    /// The elements of an array in order; nothing for any other value.
    #[inline]
    pub fn items(&self, array: NodeId) -> Items<'_, 'a> {
        let (at, left) = match self.tape.0[array.0 as usize] {
            Node::Array { len, .. } => (array.0 + 1, len),
            _ => (0, 0),
        };
        Items { doc: self, at, left }
    }

    /// The first member with exactly this key.
    pub fn member(&self, object: NodeId, key: &str) -> Option<NodeId> {
        self.members(object).find(|(k, _)| *k == key).map(|(_, node)| node)
    }

    /// Follows exact keys downwards from the root. For cold paths: hot ones read [`crate::Slots`].
    pub fn get(&self, path: &[&str]) -> Option<NodeId> {
        path.iter().try_fold(Self::ROOT, |node, key| self.member(node, key))
    }

    /// Every scalar of the record at any depth, in document order, without the keys.
    pub fn leaves(&self) -> Leaves<'_, 'a> {
        Leaves { doc: self, at: 0, frames: smallvec::SmallVec::new() }
    }

    /// Appends the JSON text of a value, compact, keys in document order.
    pub fn write_json(&self, node: NodeId, out: &mut Vec<u8>) {
        match self.value(node) {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Value::I64(n) => write_display(out, n),
            Value::U64(n) => write_display(out, n),
            Value::F64(n) => write_json_value(out, &n),
            Value::Str(s) => write_json_value(out, &s),
            Value::Array(array) => {
                out.push(b'[');
                for (i, item) in self.items(array).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    self.write_json(item, out);
                }
                out.push(b']');
            }
            Value::Object(object) => {
                out.push(b'{');
                for (i, (key, value)) in self.members(object).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_json_value(out, &key);
                    out.push(b':');
                    self.write_json(value, out);
                }
                out.push(b'}');
            }
        }
    }

    /// Number of nodes that the value at `at` spans, itself included.
    #[inline]
    fn extent(&self, at: u32) -> u32 {
        match self.tape.0[at as usize] {
            Node::Object { count, .. } | Node::Array { count, .. } => count as u32 + 1,
            Node::String(_) | Node::Static(_) => 1,
        }
    }
}

/// Iterator over the members of an object. See [`Doc::members`].
pub struct Members<'d, 'a> {
    doc: &'d Doc<'a>,
    at: u32,
    left: usize,
}

impl<'a> Iterator for Members<'_, 'a> {
    type Item = (&'a str, NodeId);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let Node::String(key) = self.doc.tape.0[self.at as usize] else {
            unreachable!("an object's nodes alternate between key and value")
        };
        let value = NodeId(self.at + 1);
        self.at = value.0 + self.doc.extent(value.0);
        Some((key, value))
    }
}

/// Iterator over the elements of an array. See [`Doc::items`].
pub struct Items<'d, 'a> {
    doc: &'d Doc<'a>,
    at: u32,
    left: usize,
}

impl Iterator for Items<'_, '_> {
    type Item = NodeId;

    #[inline]
    fn next(&mut self) -> Option<NodeId> {
        self.left = self.left.checked_sub(1)?;
        let item = NodeId(self.at);
        self.at += self.doc.extent(self.at);
        Some(item)
    }
}

/// Iterator over every scalar of a document. See [`Doc::leaves`].
pub struct Leaves<'d, 'a> {
    doc: &'d Doc<'a>,
    at: u32,
    /// The open objects: how many nodes remain as keys or values directly inside. Arrays are 0.
    frames: smallvec::SmallVec<[Frame; 16]>,
}

/// An open container: `left` keys or elements still to come.
struct Frame {
    object: bool,
    left: usize,
}

impl<'a> Iterator for Leaves<'_, 'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        loop {
            while self.frames.last().is_some_and(|f| f.left == 0) {
                self.frames.pop();
            }
            match self.frames.last_mut() {
                None if self.at > 0 => return None,
                None => {}
                Some(frame) => {
                    frame.left -= 1;
                    self.at += u32::from(frame.object); // step over the key
                }
            }
            let node = *self.doc.tape.0.get(self.at as usize)?;
            self.at += 1;
            match node {
                Node::String(s) => return Some(Value::Str(s)),
                Node::Static(s) => return Some(scalar(s)),
                Node::Object { len, .. } => self.frames.push(Frame { object: true, left: len }),
                Node::Array { len, .. } => self.frames.push(Frame { object: false, left: len }),
            }
        }
    }
}

#[inline]
fn scalar(node: StaticNode) -> Value<'static> {
    match node {
        StaticNode::Null => Value::Null,
        StaticNode::Bool(b) => Value::Bool(b),
        StaticNode::I64(n) => Value::I64(n),
        StaticNode::U64(n) => i64::try_from(n).map_or(Value::U64(n), Value::I64),
        StaticNode::F64(n) => Value::F64(n),
    }
}

fn write_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write as _;
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

fn write_json_value(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "writing a scalar to memory cannot fail");
}

/// Rewrites lone surrogate escapes to U+FFFD and numbers beyond binary64 to strings. Returns whether
/// anything was rewritten; whether the result is JSON is the parser's to say.
fn mend(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let mut mended = false;
    let mut in_string = false;
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let taken = match (in_string, bytes[i]) {
            (true, b'\\') => {
                let (taken, replace) = escape_len(rest);
                mended |= replace;
                out.extend_from_slice(if replace { b"\\ufffd" } else { &rest[..taken] });
                taken
            }
            (_, b'"') => {
                in_string = !in_string;
                out.push(b'"');
                1
            }
            (false, b'-' | b'0'..=b'9') => {
                let len = rest
                    .iter()
                    .position(|b| !matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .unwrap_or(rest.len());
                let text = std::str::from_utf8(&rest[..len]).unwrap_or("");
                let beyond = text.parse::<f64>().is_ok_and(f64::is_infinite);
                mended |= beyond;
                let quote: &[u8] = if beyond { b"\"" } else { b"" };
                out.extend_from_slice(quote);
                out.extend_from_slice(&rest[..len]);
                out.extend_from_slice(quote);
                len
            }
            (_, byte) => {
                out.push(byte);
                1
            }
        };
        i += taken;
    }
    mended
}

/// Length of the escape that `rest` starts with, and whether it is a lone surrogate.
fn escape_len(rest: &[u8]) -> (usize, bool) {
    match unit(rest) {
        Some(0xD800..=0xDBFF) => match rest.get(6..).and_then(unit) {
            Some(0xDC00..=0xDFFF) => (12, false),
            _ => (6, true),
        },
        Some(0xDC00..=0xDFFF) => (6, true),
        Some(_) => (6, false),
        None => (rest.len().min(2), false),
    }
}

/// The UTF-16 code unit of a `\uXXXX` escape at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |n, d| Some(n * 16 + (*d as char).to_digit(16)?))
}

#[cfg(test)]
mod tests;
