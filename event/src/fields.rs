//! One walk over a document finds every field that anybody reads.
//!
//! Rules, common columns and vendor columns register the paths they need with a [`FieldsBuilder`]
//! and get a [`FieldId`] each. [`Fields`] is the trie of all those paths; [`Slots::fill`] walks the
//! document once, skips every subtree nobody asked for, and leaves the values of each field in its
//! slot. Matcher, mapper and column builders then read slots and never search again.
//!
//! # Paths
//! A path is names joined by dots, in the vendor's spelling and case. Arrays are transparent: the
//! value of `target.id` is the `id` of every element of `target`. A member whose own name contains
//! dots is found as well, whole or in part: `a.b.c` finds `{"a":{"b":{"c":1}}}`, `{"a.b.c":1}` and
//! `{"a":{"b.c":1}}`.
//!
//! A field may name several candidate paths; the first candidate with a value other than null wins.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::doc::{Doc, NodeId, Value};

/// A field of one [`Fields`] set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u32);

/// A candidate path ends at this trie node.
#[derive(Clone, Copy, Debug)]
struct End {
    field: FieldId,
    /// Position in the field's candidate list; 0 wins.
    rank: u16,
}

#[derive(Debug, Default)]
struct TrieNode {
    ends: SmallVec<[End; 2]>,
    has_children: bool,
    /// First bytes of the children's names, one bit each: most keys lead nowhere and end here.
    firsts: [u64; 4],
    /// The children are in `edges[first_edge..=first_edge + edge_mask]`, by the hash of their name.
    first_edge: u32,
    edge_mask: u32,
}

impl TrieNode {
    /// Whether a child's name, or the part of the key before a dot, may begin like this.
    #[inline]
    fn begins(&self, key: &[u8]) -> bool {
        match key.first() {
            Some(first) => self.firsts[usize::from(first >> 6)] >> (first & 63) & 1 == 1,
            None => true,
        }
    }

    fn add(&mut self, name: &str) {
        self.has_children = true;
        match name.as_bytes().first() {
            Some(first) => self.firsts[usize::from(first >> 6)] |= 1 << (first & 63),
            // A path may begin with a dot: then any key may have a nameless part before a dot.
            None => self.firsts = [u64::MAX; 4],
        }
    }
}

/// Collects paths and numbers them.
#[derive(Debug, Default)]
pub struct FieldsBuilder {
    ids: HashMap<Vec<String>, FieldId>,
    nodes: Vec<TrieNode>,
    edges: HashMap<(u32, Box<str>), u32>,
}

impl FieldsBuilder {
    /// The field with these candidate paths, best first. The same list gives the same field.
    ///
    /// # Panics
    /// When there is no candidate at all: a caller's bug.
    pub fn field<S: AsRef<str>>(&mut self, candidates: &[S]) -> FieldId {
        assert!(!candidates.is_empty(), "a field needs at least one path");
        let key: Vec<String> = candidates.iter().map(|c| c.as_ref().to_owned()).collect();
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let field = FieldId(self.ids.len() as u32);
        for (rank, path) in key.iter().enumerate() {
            let at = self.node(path);
            self.nodes[at as usize].ends.push(End { field, rank: rank as u16 });
        }
        self.ids.insert(key, field);
        field
    }

    fn node(&mut self, path: &str) -> u32 {
        if self.nodes.is_empty() {
            self.nodes.push(TrieNode::default());
        }
        let mut at = 0;
        for name in path.split('.') {
            self.nodes[at as usize].add(name);
            at = match self.edges.get(&(at, Box::from(name))) {
                Some(next) => *next,
                None => {
                    let next = self.nodes.len() as u32;
                    self.nodes.push(TrieNode::default());
                    self.edges.insert((at, name.into()), next);
                    next
                }
            };
        }
        at
    }

    /// Freezes the set.
    pub fn build(self) -> Fields {
        let Self { ids, mut nodes, edges: by_name } = self;
        let mut children: Vec<Vec<Edge>> = nodes.iter().map(|_| Vec::new()).collect();
        let mut names = String::new();
        for ((parent, name), child) in by_name {
            let start = names.len() as u32;
            names.push_str(&name);
            let hash = name_hash(name.as_bytes());
            children[parent as usize].push(Edge { hash, child, start, len: name.len() as u32 });
        }
        let mut edges = Vec::new();
        for (node, children) in nodes.iter_mut().zip(children) {
            if children.is_empty() {
                continue;
            }
            let first = edges.len();
            let size = (children.len() * 2).next_power_of_two();
            (node.first_edge, node.edge_mask) = (first as u32, size as u32 - 1);
            edges.resize(first + size, Edge { hash: 0, child: NONE, start: 0, len: 0 });
            for edge in children {
                let mut at = edge.hash & node.edge_mask;
                while edges[first + at as usize].child != NONE {
                    at = (at + 1) & node.edge_mask;
                }
                edges[first + at as usize] = edge;
            }
        }
        Fields { nodes, edges, names, count: ids.len() }
    }
}

/// A way from a node to a child; `child` is [`NONE`] in a free place.
#[derive(Clone, Copy, Debug)]
struct Edge {
    hash: u32,
    child: u32,
    /// The name is `names[start..start + len]`.
    start: u32,
    len: u32,
}

/// The trie of all paths that are read from one stream. Immutable and shared by worker threads.
#[derive(Debug)]
pub struct Fields {
    nodes: Vec<TrieNode>,
    /// One table per node, a power of two in size, at most half full, probed in order.
    edges: Vec<Edge>,
    names: String,
    count: usize,
}

impl Fields {
    /// How many fields there are; their ids are `0..len`.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no field was ever asked for.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    fn child(&self, parent: u32, name: &str) -> Option<u32> {
        let node = &self.nodes[parent as usize];
        if !node.has_children {
            return None;
        }
        let hash = name_hash(name.as_bytes());
        let mut at = hash & node.edge_mask;
        loop {
            let edge = &self.edges[(node.first_edge + at) as usize];
            if edge.child == NONE {
                return None;
            }
            let (start, len) = (edge.start as usize, edge.len as usize);
            if edge.hash == hash && self.names.as_bytes()[start..start + len] == *name.as_bytes() {
                return Some(edge.child);
            }
            at = (at + 1) & node.edge_mask;
        }
    }
}

/// Of length, first and last bytes, which tell the names of fields apart; others are probed past.
#[inline]
fn name_hash(name: &[u8]) -> u32 {
    let edges = |width: usize| (&name[..width], &name[name.len() - width..]);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, b| word << 8 | u64::from(*b));
    let (first, last) = match name.len() {
        0 => return 0,
        1..4 => (u64::from(name[0]) << 8 | u64::from(name[name.len() / 2]), word(edges(1).1)),
        4..8 => (word(edges(4).0), word(edges(4).1)),
        _ => (word(edges(8).0), word(edges(8).1)),
    };
    let mixed = (first ^ (name.len() as u64).rotate_right(8)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ last.wrapping_mul(0xA24B_AED4_963E_E407);
    (mixed >> 32) as u32 ^ (mixed >> 15) as u32
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The document this slot was last written for.
    stamp: u32,
    rank: u16,
    /// The field is there, if only as null or as an empty array.
    present: bool,
    first: u32,
    last: u32,
}

/// The values found for every field of one document. Reused from record to record.
#[derive(Debug, Default)]
pub struct Slots {
    stamp: u32,
    slots: Vec<Slot>,
    entries: Vec<(NodeId, u32)>,
}

/// Deeper arrays of arrays than this are not looked into.
const ARRAY_DEPTH_MAX: u32 = 32;

impl Slots {
    /// Empties all slots and fills them from `doc`.
    pub fn fill(&mut self, fields: &Fields, doc: &Doc<'_>) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.slots.len() != fields.count || self.stamp == 0 {
            self.stamp = 1;
            self.slots.clear();
            let blank = Slot { stamp: 0, rank: 0, present: false, first: NONE, last: NONE };
            self.slots.resize(fields.count, blank);
        }
        self.entries.clear();
        if !fields.nodes.is_empty() {
            self.walk(fields, doc, 0, Doc::ROOT, 0);
        }
    }

    /// Whether the record has the field at all: null and empty arrays count.
    #[inline]
    pub fn present(&self, field: FieldId) -> bool {
        let slot = &self.slots[field.0 as usize];
        slot.stamp == self.stamp && slot.present
    }

    /// The field's values in document order, arrays flattened, nulls left out.
    #[inline]
    pub fn nodes(&self, field: FieldId) -> Nodes<'_> {
        let slot = &self.slots[field.0 as usize];
        let at = if slot.stamp == self.stamp { slot.first } else { NONE };
        Nodes { slots: self, at }
    }

    /// The field's values, resolved in the document they were filled from.
    #[inline]
    pub fn values<'s, 'a>(
        &'s self,
        doc: &'s Doc<'a>,
        field: FieldId,
    ) -> impl Iterator<Item = Value<'a>> + use<'s, 'a> {
        self.nodes(field).map(|node| doc.value(node))
    }

    /// The first value of the field.
    #[inline]
    pub fn first<'a>(&self, doc: &Doc<'a>, field: FieldId) -> Option<Value<'a>> {
        self.nodes(field).next().map(|node| doc.value(node))
    }

    /// The first value of the field if that is a string.
    #[inline]
    pub fn text<'a>(&self, doc: &Doc<'a>, field: FieldId) -> Option<&'a str> {
        self.first(doc, field)?.as_str()
    }

    fn walk(&mut self, fields: &Fields, doc: &Doc<'_>, trie: u32, node: NodeId, depth: u32) {
        match doc.value(node) {
            Value::Object(object) => {
                let here = &fields.nodes[trie as usize];
                for (key, value) in doc.members(object) {
                    if !here.begins(key.as_bytes()) {
                        continue;
                    }
                    if let Some(child) = fields.child(trie, key) {
                        self.arrive(fields, doc, child, value, depth);
                    } else if has_dot(key) {
                        self.dotted(fields, doc, trie, key, value, depth);
                    }
                }
            }
            Value::Array(array) if depth < ARRAY_DEPTH_MAX => {
                for item in doc.items(array) {
                    self.walk(fields, doc, trie, item, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// A member named `a.b` stands where `a` → `b` would.
    fn dotted(
        &mut self,
        fields: &Fields,
        doc: &Doc<'_>,
        trie: u32,
        key: &str,
        value: NodeId,
        depth: u32,
    ) {
        let end = key.split('.').try_fold(trie, |at, name| fields.child(at, name));
        if let Some(child) = end {
            self.arrive(fields, doc, child, value, depth);
        }
    }

    fn arrive(&mut self, fields: &Fields, doc: &Doc<'_>, trie: u32, value: NodeId, depth: u32) {
        let here = &fields.nodes[trie as usize];
        for end in &here.ends {
            self.take(doc, *end, value, 0);
        }
        if here.has_children {
            self.walk(fields, doc, trie, value, depth);
        }
    }

    fn take(&mut self, doc: &Doc<'_>, end: End, node: NodeId, depth: u32) {
        let slot = &mut self.slots[end.field.0 as usize];
        if slot.stamp != self.stamp {
            *slot =
                Slot { stamp: self.stamp, rank: end.rank, present: true, first: NONE, last: NONE };
        }
        match doc.value(node) {
            Value::Null => return,
            Value::Array(array) => {
                if depth < ARRAY_DEPTH_MAX {
                    for item in doc.items(array) {
                        self.take(doc, end, item, depth + 1);
                    }
                }
                return;
            }
            _ => {}
        }
        if slot.first != NONE && end.rank > slot.rank {
            return;
        }
        let entry = self.entries.len() as u32;
        self.entries.push((node, NONE));
        if slot.first == NONE || end.rank < slot.rank {
            slot.first = entry;
            slot.rank = end.rank;
        } else {
            self.entries[slot.last as usize].1 = entry;
        }
        slot.last = entry;
    }
}

#[inline]
fn has_dot(key: &str) -> bool {
    key.as_bytes().contains(&b'.')
}

/// Iterator over the nodes in a slot. See [`Slots::nodes`].
pub struct Nodes<'s> {
    slots: &'s Slots,
    at: u32,
}

impl Iterator for Nodes<'_> {
    type Item = NodeId;

    #[inline]
    fn next(&mut self) -> Option<NodeId> {
        if self.at == NONE {
            return None;
        }
        let (node, next) = self.slots.entries[self.at as usize];
        self.at = next;
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc::Parser;

    fn check(json: &str, candidates: &[&str], expected: &[Value<'_>], present: bool) {
        let mut builder = FieldsBuilder::default();
        let field = builder.field(candidates);
        let fields = builder.build();
        let mut parser = Parser::default();
        let doc = parser.json(json.as_bytes()).unwrap();
        let mut slots = Slots::default();
        slots.fill(&fields, &doc);
        let have: Vec<_> = slots.values(&doc, field).collect();
        assert_eq!(have, expected, "{json} {candidates:?}");
        assert_eq!(slots.present(field), present, "{json} {candidates:?}");
    }

    #[test]
    fn finds_nested_flat_and_half_flat_names() {
        let one = [Value::I64(1)];
        check(r#"{"a":{"b":{"c":1}}}"#, &["a.b.c"], &one, true);
        check(r#"{"a.b.c":1}"#, &["a.b.c"], &one, true);
        check(r#"{"a":{"b.c":1}}"#, &["a.b.c"], &one, true);
        check(r#"{"a.b":{"c":1}}"#, &["a.b.c"], &one, true);
        check(r#"{"A":{"b":1}}"#, &["a.b"], &[], false);
        check(r#"{".a":1}"#, &[".a"], &one, true);
        check(r#"{"":{"a":1}}"#, &[".a"], &one, true);
        check(r#"{"":1}"#, &["a"], &[], false);
    }

    #[test]
    fn arrays_are_transparent() {
        let both = [Value::Str("x"), Value::Str("y")];
        check(r#"{"t":[{"id":"x"},{"id":"y"},{"n":1}]}"#, &["t.id"], &both, true);
        check(r#"{"t":[["x"],"y",null]}"#, &["t"], &both, true);
        check(r#"{"t":[]}"#, &["t"], &[], true);
        check(r#"{"t":null}"#, &["t"], &[], true);
        check(r#"{"t":[]}"#, &["t.id"], &[], false);
    }

    #[test]
    fn the_first_candidate_with_a_value_wins() {
        let two = [Value::I64(2)];
        check(r#"{"a":1,"b":2}"#, &["b", "a"], &two, true);
        check(r#"{"b":2,"a":1}"#, &["b", "a"], &two, true);
        check(r#"{"b":null,"a":2}"#, &["b", "a"], &two, true);
        check(r#"{"a":2,"b":[]}"#, &["b", "a"], &two, true);
        check(r#"{"a":[7,8],"b":2}"#, &["b", "a"], &two, true);
    }

    #[test]
    fn slots_forget_the_record_before() {
        let mut builder = FieldsBuilder::default();
        let (a, b) = (builder.field(&["a"]), builder.field(&["b.c"]));
        assert_eq!(builder.field(&["a"]), a);
        let fields = builder.build();
        let (mut parser, mut slots) = (Parser::default(), Slots::default());
        for (json, has_a, has_b) in
            [(r#"{"a":1}"#, true, false), (r#"{"b":{"c":1}}"#, false, true), ("{}", false, false)]
        {
            let doc = parser.json(json.as_bytes()).unwrap();
            slots.fill(&fields, &doc);
            assert_eq!((slots.present(a), slots.present(b)), (has_a, has_b), "{json}");
        }
    }
}
