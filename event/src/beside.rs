//! What a record also says, put beside what it says: JSON that is written as text, lists of names and
//! values as objects, and members that are made of others.
//!
//! Everything is added under a key that repeats or is new, and nothing is taken away: duplicate keys are
//! all visible (see [`crate::doc`]), so a rule finds the text as it was written and what is inside it.
//! The bytes of the record do not change. Must not fail: what cannot be read is left as it is.

use hashbrown::HashMap;

use crate::doc::{Doc, NodeId, Value};
use crate::json::{self, Frame, Node, Piece};

/// What to add to each record of a log type. Paths are names joined by dots; arrays are looked through.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    decode: Place,
    pivot: Place,
    derived: Vec<Derived>,
}

/// A place that some path leads through.
#[derive(Clone, Debug, Default)]
struct Place {
    children: Vec<(Box<str>, Place)>,
    what: Option<What>,
}

#[derive(Clone, Debug)]
enum What {
    /// Under this name.
    Json(Box<str>),
    Pivot(Pivot),
}

/// How a list of names and values is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pivot {
    /// The member of each element that holds the name.
    pub name: String,
    /// The members that may hold the value, best first; none: the whole element is the value.
    pub value: Vec<String>,
}

/// A member of the record that is made of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Its key, at the top of the record; it may hold dots.
    pub name: String,
    /// Where its values are. All of all paths are taken; objects become their JSON text.
    pub from: Vec<String>,
    /// What a value becomes. Without an entry it becomes `otherwise`, or nothing.
    pub values: Option<HashMap<String, String>>,
    pub otherwise: Option<String>,
}

/// Buffers of a parser for this work, kept from record to record.
#[derive(Default)]
pub(crate) struct Spare {
    pub(crate) nodes: Vec<Node>,
    inner: Vec<Node>,
    inner_text: String,
    inner_unescaped: Vec<u8>,
    made: Vec<u8>,
    ends: Vec<usize>,
}

impl Beside {
    /// Reads text at this path as JSON, where it is an object, an array or a text in quotes, and puts it
    /// there under `name`.
    pub fn decode(&mut self, path: &str, name: &str) {
        self.decode.at(path).what = Some(What::Json(name.into()));
    }

    /// Reads the list at this path as an object.
    pub fn pivot(&mut self, path: &str, pivot: Pivot) {
        self.pivot.at(path).what = Some(What::Pivot(pivot));
    }

    /// Adds a member.
    pub fn derive(&mut self, derived: Derived) {
        self.derived.push(derived);
    }

    /// Whether there is nothing to add.
    pub fn is_empty(&self) -> bool {
        let nothing = |place: &Place| place.children.is_empty();
        nothing(&self.decode) && nothing(&self.pivot) && self.derived.is_empty()
    }

    /// Adds to a document whose root is an object.
    pub(crate) fn add(
        &self,
        text: &str,
        nodes: &mut Vec<Node>,
        unescaped: &mut Vec<u8>,
        open: &mut Vec<Frame>,
        spare: &mut Spare,
    ) {
        if !matches!(nodes.first(), Some(Node::Object { .. })) {
            return;
        }
        for trie in [&self.decode, &self.pivot] {
            // Most records have nothing of it: a look at their top is enough.
            let mut at = 1;
            let mut begins = |len: u32| {
                (0..len).any(|_| {
                    let key = key_text(nodes[at], text, unescaped);
                    at += 1 + extent(nodes, at + 1);
                    key.is_some_and(|key| trie.child(key).is_some())
                })
            };
            if !matches!(nodes[0], Node::Object { len, .. } if begins(len)) {
                continue;
            }
            spare.nodes.clear();
            let mut copy = Copy { text, old: nodes, unescaped, open, spare, added: false };
            copy.value(0, trie);
            if copy.added {
                std::mem::swap(nodes, &mut spare.nodes);
            }
        }
        for derived in &self.derived {
            let Spare { made, ends, .. } = spare;
            made.clear();
            ends.clear();
            // Whole characters were appended only: it is valid.
            let Ok(valid) = std::str::from_utf8(unescaped) else { return };
            let doc = Doc { nodes, text, unescaped: valid };
            for path in &derived.from {
                derived.gather(&doc, Doc::ROOT, Some(path), made, ends);
            }
            derived.add(nodes, unescaped, made, ends);
        }
    }
}

impl Place {
    fn at(&mut self, path: &str) -> &mut Place {
        let mut place = self;
        for name in path.split('.') {
            let found = place.children.iter().position(|(n, _)| **n == *name);
            let index = found.unwrap_or_else(|| {
                place.children.push((name.into(), Place::default()));
                place.children.len() - 1
            });
            place = &mut place.children[index].1;
        }
        place
    }

    fn child(&self, name: &[u8]) -> Option<&Place> {
        self.children.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, place)| place)
    }
}

/// One pass over a document that copies it and adds.
struct Copy<'a> {
    text: &'a str,
    old: &'a [Node],
    unescaped: &'a mut Vec<u8>,
    open: &'a mut Vec<Frame>,
    spare: &'a mut Spare,
    added: bool,
}

impl Copy<'_> {
    /// Copies the value at `at` with what is added inside it; where the next one begins.
    fn value(&mut self, at: usize, place: &Place) -> usize {
        let head = self.spare.nodes.len();
        self.spare.nodes.push(self.old[at]);
        match self.old[at] {
            Node::Object { len, .. } => {
                let (next, added) = self.members(at + 1, len, place);
                let count = (self.spare.nodes.len() - head - 1) as u32;
                self.spare.nodes[head] = Node::Object { len: len + added, count };
                next
            }
            Node::Array { len, .. } => {
                let (mut next, mut added) = (at + 1, 0);
                for _ in 0..len {
                    let item = next;
                    next = self.value(item, place);
                    added += u32::from(self.json(None, item, place));
                }
                let count = (self.spare.nodes.len() - head - 1) as u32;
                self.spare.nodes[head] = Node::Array { len: len + added, count };
                next
            }
            _ => at + 1,
        }
    }

    fn members(&mut self, first: usize, len: u32, place: &Place) -> (usize, u32) {
        let (mut next, mut added) = (first, 0);
        for _ in 0..len {
            let (key, at) = (self.old[next], next + 1);
            let child = key_text(key, self.text, self.unescaped).and_then(|k| place.child(k));
            let Some(child) = child else {
                let end = at + extent(self.old, at);
                self.spare.nodes.extend_from_slice(&self.old[next..end]);
                next = end;
                continue;
            };
            self.spare.nodes.push(key);
            next = self.value(at, child);
            added += u32::from(self.json(Some(key), at, child));
            added += u32::from(self.pivot(key, at, child));
        }
        (next, added)
    }

    /// Adds what the text at `at` says as JSON; whether it does.
    fn json(&mut self, key: Option<Node>, at: usize, place: &Place) -> bool {
        let Some(What::Json(name)) = &place.what else { return false };
        let Spare { inner, inner_text, inner_unescaped, nodes, .. } = &mut *self.spare;
        let (piece, is_plain) = match self.old[at] {
            Node::Text(piece) => (piece, true),
            Node::Unescaped(piece) => (piece, false),
            _ => return false,
        };
        let bytes = if is_plain { self.text.as_bytes() } else { &self.unescaped[..] };
        let Ok(text) = std::str::from_utf8(cut(bytes, piece)) else { return false };
        if !text.trim_start().starts_with(['{', '[', '"']) {
            return false;
        }
        inner_text.clear();
        inner_text.push_str(text);
        inner.clear();
        inner_unescaped.clear();
        let base = self.unescaped.len();
        if json::scan(inner_text, inner, inner_unescaped, self.open).is_err()
            || u32::try_from(base + inner_unescaped.len() + name.len()).is_err()
        {
            return false;
        }
        self.unescaped.extend_from_slice(inner_unescaped);
        let here = |p: Piece| Piece { start: p.start + piece.start, len: p.len };
        let there = |p: Piece| Piece { start: p.start + base as u32, len: p.len };
        let moved = inner.iter().map(|node| match *node {
            Node::Text(p) if is_plain => Node::Text(here(p)),
            Node::Text(p) => Node::Unescaped(here(p)),
            Node::Key(p) if is_plain => Node::Key(here(p)),
            Node::Key(p) => Node::UnescapedKey(here(p)),
            Node::Unescaped(p) => Node::Unescaped(there(p)),
            Node::UnescapedKey(p) => Node::UnescapedKey(there(p)),
            other => other,
        });
        if let Some(key) = key {
            nodes.push(named(key, name, self.text, self.unescaped));
        }
        nodes.extend(moved);
        self.added = true;
        true
    }

    /// Adds the list at `at` as an object; whether it is one.
    fn pivot(&mut self, key: Node, at: usize, place: &Place) -> bool {
        let Some(What::Pivot(pivot)) = &place.what else { return false };
        let Node::Array { len, .. } = self.old[at] else { return false };
        let head = self.spare.nodes.len() + 1;
        self.spare.nodes.push(key);
        self.spare.nodes.push(Node::Null);
        let (mut item, mut pairs) = (at + 1, 0);
        for _ in 0..len {
            pairs += u32::from(self.pair(item, pivot));
            item += extent(self.old, item);
        }
        if pairs == 0 {
            self.spare.nodes.truncate(head - 1);
            return false;
        }
        let count = (self.spare.nodes.len() - head - 1) as u32;
        self.spare.nodes[head] = Node::Object { len: pairs, count };
        self.added = true;
        true
    }

    /// Adds one element of a list as a member; whether it has a name and a value.
    fn pair(&mut self, item: usize, pivot: &Pivot) -> bool {
        let find = |name: &str| member(self.old, item, name, self.text, self.unescaped);
        let key = match find(&pivot.name).map(|at| self.old[at]) {
            Some(Node::Text(piece)) => Node::Key(piece),
            Some(Node::Unescaped(piece)) => Node::UnescapedKey(piece),
            _ => return false,
        };
        let value = match pivot.value.as_slice() {
            [] => Some(item),
            names => names.iter().find_map(|name| find(name)),
        };
        let Some(value) = value else { return false };
        let whole = &self.old[value..value + extent(self.old, value)];
        self.spare.nodes.push(key);
        self.spare.nodes.extend_from_slice(whole);
        true
    }
}

impl Derived {
    /// Appends what the values below `path` become to `made`, and where each ends to `ends`.
    fn gather(
        &self,
        doc: &Doc<'_>,
        node: NodeId,
        path: Option<&str>,
        made: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) {
        let start = made.len();
        match (doc.value(node), path) {
            (Value::Array(array), _) => {
                doc.items(array).for_each(|item| self.gather(doc, item, path, made, ends));
                return;
            }
            (Value::Object(object), Some(path)) => {
                let (name, rest) = path.split_once('.').map_or((path, None), |(n, r)| (n, Some(r)));
                for (_, value) in doc.members(object).filter(|(key, _)| *key == name) {
                    self.gather(doc, value, rest, made, ends);
                }
                return;
            }
            (Value::Null, _) | (_, Some(_)) => return,
            (Value::Str(text), None) => made.extend_from_slice(text.as_bytes()),
            (_, None) => doc.write_json(node, made),
        }
        if let Some(table) = &self.values {
            let text = String::from_utf8_lossy(&made[start..]);
            let becomes = table.get(&*text).or(self.otherwise.as_ref());
            let becomes = becomes.cloned().unwrap_or_default();
            made.truncate(start);
            made.extend_from_slice(becomes.as_bytes());
        }
        if made.len() > start {
            ends.push(made.len());
        }
    }

    /// Adds the member at the end of the root.
    fn add(&self, nodes: &mut Vec<Node>, unescaped: &mut Vec<u8>, made: &[u8], ends: &[usize]) {
        let Node::Object { len, .. } = nodes[0] else { return };
        let end = unescaped.len() + self.name.len() + made.len();
        if ends.is_empty() || u32::try_from(end).is_err() {
            return;
        }
        let mut keep = |bytes: &[u8]| {
            let piece = Piece { start: unescaped.len() as u32, len: bytes.len() as u32 };
            unescaped.extend_from_slice(bytes);
            piece
        };
        nodes.push(Node::UnescapedKey(keep(self.name.as_bytes())));
        let items = ends.len() as u32;
        nodes.push(Node::Array { len: items, count: items });
        let mut start = 0;
        for end in ends {
            nodes.push(Node::Unescaped(keep(&made[start..*end])));
            start = *end;
        }
        nodes[0] = Node::Object { len: len + 1, count: nodes.len() as u32 - 1 };
    }
}

/// The key, or one that is made where it has another name.
fn named(key: Node, name: &str, text: &str, unescaped: &mut Vec<u8>) -> Node {
    if key_text(key, text, unescaped) == Some(name.as_bytes()) {
        return key;
    }
    let start = unescaped.len() as u32;
    unescaped.extend_from_slice(name.as_bytes());
    Node::UnescapedKey(Piece { start, len: name.len() as u32 })
}

fn cut(bytes: &[u8], piece: Piece) -> &[u8] {
    &bytes[piece.start as usize..][..piece.len as usize]
}

/// Number of nodes of the value at `at`, itself included.
fn extent(nodes: &[Node], at: usize) -> usize {
    match nodes[at] {
        Node::Object { count, .. } | Node::Array { count, .. } => count as usize + 1,
        _ => 1,
    }
}

fn key_text<'t>(key: Node, text: &'t str, unescaped: &'t [u8]) -> Option<&'t [u8]> {
    match key {
        Node::Key(piece) => Some(cut(text.as_bytes(), piece)),
        Node::UnescapedKey(piece) => Some(cut(unescaped, piece)),
        _ => None,
    }
}

/// Where the value of a member stands.
fn member(
    nodes: &[Node],
    object: usize,
    name: &str,
    text: &str,
    unescaped: &[u8],
) -> Option<usize> {
    let Node::Object { len, .. } = nodes[object] else { return None };
    let mut at = object + 1;
    for _ in 0..len {
        if key_text(nodes[at], text, unescaped) == Some(name.as_bytes()) {
            return Some(at + 1);
        }
        at += 1 + extent(nodes, at + 1);
    }
    None
}

#[cfg(test)]
mod tests;
