//! A parsed record: the vendor's own tree of fields, read in place.
//!
//! [`Parser`] owns every buffer and is reused record after record. A [`Doc`] borrows from it and from the
//! record. Positions in the document are [`NodeId`]s, so that nothing that outlives one record has to
//! carry its lifetime.
//!
//! Duplicate keys: every occurrence is visible, in order. A rule matches if any occurrence matches,
//! so that repeating a key hides nothing; a column takes the first.

use simdutf8::compat as utf8;

use crate::beside::{Beside, Spare};
use crate::json::{self, Frame, Node, Piece};

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
    nodes: Vec<Node>,
    /// The texts that the record holds with escapes.
    unescaped: Vec<u8>,
    open: Vec<Frame>,
    spare: Spare,
}

/// [`Parser::trim`] gives larger buffers than this back.
const KEEP_BYTES_MAX: usize = 4 << 20;

impl Parser {
    /// Reads one JSON text (RFC 8259), at most 1,024 containers deep.
    ///
    /// Two things that real systems emit and strict readers refuse are read leniently, because
    /// refusing them would let an attacker hide an event: a lone UTF-16 surrogate escape reads as
    /// U+FFFD, and a number beyond binary64 reads as its text.
    pub fn json<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Doc<'a>, ParseError> {
        self.json_beside(bytes, None)
    }

    /// As [`Parser::json`], with what is to be put beside.
    pub fn json_beside<'a>(
        &'a mut self,
        bytes: &'a [u8],
        beside: Option<&Beside>,
    ) -> Result<Doc<'a>, ParseError> {
        let not_utf8 = |at| ParseError { at, reason: "not UTF-8".to_owned() };
        let text = utf8::from_utf8(bytes).map_err(|e| not_utf8(e.valid_up_to()))?;
        let Self { nodes, unescaped, open, spare } = self;
        nodes.clear();
        unescaped.clear();
        json::scan(text, nodes, unescaped, open)
            .map_err(|fault| ParseError { at: fault.at, reason: fault.reason.to_owned() })?;
        if let Some(beside) = beside {
            beside.add(text, nodes, unescaped, open, spare);
        }
        // Pieces of valid text and whole characters: it is valid.
        let unescaped = std::str::from_utf8(unescaped).map_err(|_| not_utf8(0))?;
        Ok(Doc { nodes, text, unescaped })
    }

    /// Gives large buffers back, so that one huge record does not pin its memory. For now and then,
    /// such as the end of a batch.
    pub fn trim(&mut self) {
        let nodes = self.nodes.capacity().max(self.spare.nodes.capacity()) * size_of::<Node>();
        if self.unescaped.capacity().max(nodes) > KEEP_BYTES_MAX {
            *self = Self::default();
        }
    }

    /// Makes a document of the names and values that `fill` adds, for records that are not JSON.
    pub fn row<'a>(
        &'a mut self,
        beside: Option<&Beside>,
        fill: impl FnOnce(&mut RowBuilder<'_>),
    ) -> Doc<'a> {
        let Self { nodes, unescaped, open, spare } = self;
        nodes.clear();
        unescaped.clear();
        nodes.push(Node::Null);
        let mut row = RowBuilder { nodes: &mut *nodes, unescaped: &mut *unescaped, len: 0 };
        fill(&mut row);
        let len = row.len;
        nodes[0] = Node::Object { len, count: nodes.len() as u32 - 1 };
        if let Some(beside) = beside {
            beside.add("", nodes, unescaped, open, spare);
        }
        // Whole texts, one after the other: it is valid.
        let unescaped = std::str::from_utf8(unescaped).unwrap_or_default();
        Doc { nodes, text: "", unescaped }
    }
}

/// The members of a document that is made. See [`Parser::row`].
pub struct RowBuilder<'a> {
    nodes: &'a mut Vec<Node>,
    unescaped: &'a mut Vec<u8>,
    len: u32,
}

impl RowBuilder<'_> {
    /// Adds a member. Together they must be shorter than 4 GiB; what is beyond is left out.
    #[inline]
    pub fn add(&mut self, name: &str, value: Value<'_>) {
        let Some(key) = self.keep(name) else { return };
        let value = match value {
            Value::Str(s) => self.keep(s).map_or(Node::Null, Node::Unescaped),
            Value::Bool(b) => Node::Bool(b),
            Value::I64(n) => Node::I64(n),
            Value::U64(n) => i64::try_from(n).map_or(Node::U64(n), Node::I64),
            Value::F64(n) => Node::F64(n),
            Value::Null | Value::Array(_) | Value::Object(_) => Node::Null,
        };
        self.nodes.push(Node::UnescapedKey(key));
        self.nodes.push(value);
        self.len += 1;
    }

    /// Adds a member that is an object, of the members that `fill` adds.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut RowBuilder<'_>)) {
        let Some(key) = self.keep(name) else { return };
        self.nodes.push(Node::UnescapedKey(key));
        let at = self.nodes.len();
        self.nodes.push(Node::Null);
        let mut inner =
            RowBuilder { nodes: &mut *self.nodes, unescaped: &mut *self.unescaped, len: 0 };
        fill(&mut inner);
        let len = inner.len;
        self.nodes[at] = Node::Object { len, count: (self.nodes.len() - at) as u32 - 1 };
        self.len += 1;
    }

    fn keep(&mut self, text: &str) -> Option<Piece> {
        let start = u32::try_from(self.unescaped.len()).ok()?;
        let len = u32::try_from(text.len()).ok()?;
        self.unescaped.extend_from_slice(text.as_bytes());
        Some(Piece { start, len })
    }
}

/// A parsed record. See the module documentation.
pub struct Doc<'a> {
    pub(crate) nodes: &'a [Node],
    /// The record.
    pub(crate) text: &'a str,
    pub(crate) unescaped: &'a str,
}

impl<'a> Doc<'a> {
    /// The whole record.
    pub const ROOT: NodeId = NodeId(0);

    /// The record as text, where it is JSON; empty where it is not.
    pub fn source(&self) -> &'a str {
        self.text
    }

    /// Texts of which every text of the document is a part: what is in neither is nowhere in it.
    pub fn texts(&self) -> [&'a str; 2] {
        [self.text, self.unescaped]
    }

    /// The text at a node, if it holds text. Two registers, where [`Doc::value`] takes a detour through
    /// memory.
    #[inline]
    pub fn text(&self, node: NodeId) -> Option<&'a str> {
        match self.nodes[node.0 as usize] {
            Node::Text(piece) | Node::Key(piece) => Some(cut(self.text, piece)),
            Node::Unescaped(piece) | Node::UnescapedKey(piece) => Some(cut(self.unescaped, piece)),
            _ => None,
        }
    }

    /// The value at a node.
    #[inline(always)]
    pub fn value(&self, node: NodeId) -> Value<'a> {
        match self.nodes[node.0 as usize] {
            Node::Text(piece) | Node::Key(piece) => Value::Str(cut(self.text, piece)),
            Node::Unescaped(piece) | Node::UnescapedKey(piece) => {
                Value::Str(cut(self.unescaped, piece))
            }
            Node::Null => Value::Null,
            Node::Bool(b) => Value::Bool(b),
            Node::I64(n) => Value::I64(n),
            Node::U64(n) => Value::U64(n),
            Node::F64(n) => Value::F64(n),
            Node::Array { .. } => Value::Array(node),
            Node::Object { .. } => Value::Object(node),
        }
    }

    /// The members of an object in order; nothing for any other value.
    #[inline]
    pub fn members(&self, object: NodeId) -> Members<'_, 'a> {
        let (at, left) = match self.nodes[object.0 as usize] {
            Node::Object { len, .. } => (object.0 + 1, len),
            _ => (0, 0),
        };
        Members { doc: self, at, left }
    }

    /// The elements of an array in order; nothing for any other value.
    #[inline]
    pub fn items(&self, array: NodeId) -> Items<'_, 'a> {
        let (at, left) = match self.nodes[array.0 as usize] {
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
        Leaves { doc: self, at: 0 }
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

    /// The node itself, for walks that do not look at text.
    #[inline]
    pub(crate) fn node(&self, node: NodeId) -> Node {
        self.nodes[node.0 as usize]
    }

    /// Number of nodes that the value at `at` spans, itself included.
    #[inline]
    fn extent(&self, at: u32) -> u32 {
        match self.nodes[at as usize] {
            Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
            _ => 1,
        }
    }
}

#[inline]
fn cut(text: &str, piece: Piece) -> &str {
    &text[piece.start as usize..][..piece.len as usize]
}

/// Iterator over the members of an object. See [`Doc::members`].
pub struct Members<'d, 'a> {
    doc: &'d Doc<'a>,
    at: u32,
    left: u32,
}

impl<'a> Members<'_, 'a> {
    /// Steps to the next member; its key is in this text.
    #[inline]
    fn step(&mut self) -> Option<(&'a str, Piece, NodeId)> {
        self.left = self.left.checked_sub(1)?;
        let (text, piece) = match self.doc.nodes[self.at as usize] {
            Node::Key(piece) => (self.doc.text, piece),
            Node::UnescapedKey(piece) => (self.doc.unescaped, piece),
            _ => unreachable!("an object's nodes alternate between key and value"),
        };
        let value = NodeId(self.at + 1);
        self.at = value.0 + self.doc.extent(value.0);
        Some((text, piece, value))
    }

    /// As `next`, without the proof that the key is text.
    #[inline]
    pub(crate) fn next_bytes(&mut self) -> Option<(&'a [u8], NodeId)> {
        let (text, piece, value) = self.step()?;
        Some((&text.as_bytes()[piece.start as usize..][..piece.len as usize], value))
    }
}

impl<'a> Iterator for Members<'_, 'a> {
    type Item = (&'a str, NodeId);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (text, piece, value) = self.step()?;
        Some((cut(text, piece), value))
    }
}

/// Iterator over the elements of an array. See [`Doc::items`].
pub struct Items<'d, 'a> {
    doc: &'d Doc<'a>,
    at: u32,
    left: u32,
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
}

impl<'a> Iterator for Leaves<'_, 'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        use Node::{Array, Key, Object, UnescapedKey};
        loop {
            let node = self.doc.nodes.get(self.at as usize)?;
            self.at += 1;
            if !matches!(node, Key(_) | UnescapedKey(_) | Array { .. } | Object { .. }) {
                return Some(self.doc.value(NodeId(self.at - 1)));
            }
        }
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

#[cfg(test)]
mod tests;
