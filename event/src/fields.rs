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

use crate::doc::{Doc, NodeId, Value};
use crate::json::Node;

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
    /// `ends[first_end..first_end + end_count]` end here.
    first_end: u32,
    end_count: u32,
    has_children: bool,
    /// First bytes, without their two highest bits, of the names of children that have children: only
    /// a key that begins so can be a path with dots.
    deep: u64,
    /// The children are in `edges[first_edge..=first_edge + mask]`.
    first_edge: u32,
    mask: u32,
    /// Chosen so that the children's names fall into different places.
    seed: u32,
}

/// Collects paths and numbers them.
#[derive(Debug, Default)]
pub struct FieldsBuilder {
    ids: HashMap<Vec<String>, FieldId>,
    /// The paths that end at each node of the trie.
    ends: Vec<Vec<End>>,
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
            self.ends[at as usize].push(End { field, rank: rank as u16 });
        }
        self.ids.insert(key, field);
        field
    }

    fn node(&mut self, path: &str) -> u32 {
        if self.ends.is_empty() {
            self.ends.push(Vec::new());
        }
        let mut at = 0;
        for name in path.split('.') {
            at = match self.edges.get(&(at, Box::from(name))) {
                Some(next) => *next,
                None => {
                    let next = self.ends.len() as u32;
                    self.ends.push(Vec::new());
                    self.edges.insert((at, name.into()), next);
                    next
                }
            };
        }
        at
    }

    /// Freezes the set.
    pub fn build(self) -> Fields {
        let mut fields = Fields { count: self.ids.len(), ..Fields::default() };
        for ends in self.ends {
            let (first_end, end_count) = (fields.ends.len() as u32, ends.len() as u32);
            fields.ends.extend(ends);
            fields.nodes.push(TrieNode { first_end, end_count, ..TrieNode::default() });
        }
        let mut children: Vec<Vec<Edge>> = fields.nodes.iter().map(|_| Vec::new()).collect();
        for ((parent, name), child) in self.edges {
            let start = fields.names.len() as u32;
            fields.names.extend_from_slice(name.as_bytes());
            let (sketch, len) = (sketch(name.as_bytes()), name.len() as u32);
            children[parent as usize].push(Edge { sketch, child, start, len });
        }
        let has_children: Vec<bool> = children.iter().map(|edges| !edges.is_empty()).collect();
        for (at, edges) in children.into_iter().enumerate().filter(|(_, edges)| !edges.is_empty()) {
            let deep = edges.iter().filter(|edge| has_children[edge.child as usize]);
            let deep = deep.fold(0, |bits, edge| bits | deep_bits(fields.name(edge)));
            let (seed, table) = table(&edges);
            let node = &mut fields.nodes[at];
            (node.has_children, node.deep, node.seed) = (true, deep, seed);
            (node.first_edge, node.mask) = (fields.edges.len() as u32, table.len() as u32 - 1);
            fields.edges.extend(table);
        }
        fields
    }
}

/// A way from a node to a child; `child` is [`NONE`] in a free place.
#[derive(Clone, Copy, Debug)]
struct Edge {
    sketch: u32,
    child: u32,
    /// The name is `names[start..start + len]`.
    start: u32,
    len: u32,
}

const FREE: Edge = Edge { sketch: 0, child: NONE, start: 0, len: 0 };

/// What tells most names apart, and all of up to three bytes: first, middle and last byte, and length.
#[inline]
fn sketch(name: &[u8]) -> u32 {
    let ([first, ..], [.., last]) = (name, name) else { return 0 };
    u32::from_le_bytes([*first, name[name.len() / 2], *last, name.len() as u8])
}

#[inline]
fn place(sketch: u32, seed: u32, mask: u32) -> u32 {
    sketch.wrapping_mul(seed) >> 16 & mask
}

/// The bits that a child with children sets in [`TrieNode::deep`].
fn deep_bits(name: &[u8]) -> u64 {
    // A path may begin with a dot: then any key may have a nameless part before a dot.
    name.first().map_or(u64::MAX, |first| 1 << (first & 63))
}

/// A table of edges, at most a quarter full, probed in order, and the seed that makes it best.
fn table(edges: &[Edge]) -> (u32, Vec<Edge>) {
    const SEEDS: u32 = 64;
    let mask = (edges.len() * 4).next_power_of_two() as u32 - 1;
    let build = |seed: u32| {
        let (mut table, mut probes) = (vec![FREE; mask as usize + 1], 0);
        for edge in edges {
            let mut at = place(edge.sketch, seed, mask);
            while table[at as usize].child != NONE {
                at = (at + 1) & mask;
                probes += 1;
            }
            table[at as usize] = *edge;
        }
        (probes, seed, table)
    };
    let seeds = (1..=SEEDS).map(|n| n.wrapping_mul(0x9E37_79B9) | 1);
    let best = seeds.map(build).min_by_key(|(probes, ..)| *probes);
    best.map_or((1, vec![FREE]), |(_, seed, table)| (seed, table))
}

/// The trie of all paths that are read from one stream. Immutable and shared by worker threads.
#[derive(Debug, Default)]
pub struct Fields {
    nodes: Vec<TrieNode>,
    ends: Vec<End>,
    /// One table per node, a power of two in size.
    edges: Vec<Edge>,
    names: Vec<u8>,
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
    fn name(&self, edge: &Edge) -> &[u8] {
        &self.names[edge.start as usize..][..edge.len as usize]
    }

    #[inline(always)]
    fn child(&self, parent: &TrieNode, name: &[u8]) -> Option<u32> {
        if !parent.has_children {
            return None;
        }
        let sketch = sketch(name);
        let mut at = place(sketch, parent.seed, parent.mask);
        loop {
            let edge = &self.edges[(parent.first_edge + at) as usize];
            if edge.child == NONE {
                return None;
            }
            if edge.sketch == sketch && same(self.name(edge), name) {
                return Some(edge.child);
            }
            at = (at + 1) & parent.mask;
        }
    }
}

/// Equality of names, without a call for the usual ones.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let words = |a: &[u8], b: &[u8]| {
        let (first, last) = (a.first_chunk::<8>(), a.last_chunk::<8>());
        first == b.first_chunk() && last == b.last_chunk()
    };
    a.len() == b.len() && if let 8..=16 = a.len() { words(a, b) } else { a == b }
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
        match doc.node(node) {
            Node::Object { .. } => {
                let here = &fields.nodes[trie as usize];
                let mut members = doc.members(node);
                while let Some((key, value)) = members.next_bytes() {
                    if let Some(child) = fields.child(here, key) {
                        self.arrive(fields, doc, child, value, depth);
                    } else if here.deep != 0 && may_be_path(here, key) {
                        self.dotted(fields, doc, trie, key, value, depth);
                    }
                }
            }
            Node::Array { .. } if depth < ARRAY_DEPTH_MAX => {
                for item in doc.items(node) {
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
        key: &[u8],
        value: NodeId,
        depth: u32,
    ) {
        let mut names = key.split(|byte| *byte == b'.');
        let end = names.try_fold(trie, |at, name| fields.child(&fields.nodes[at as usize], name));
        if let Some(child) = end {
            self.arrive(fields, doc, child, value, depth);
        }
    }

    #[inline]
    fn arrive(&mut self, fields: &Fields, doc: &Doc<'_>, trie: u32, value: NodeId, depth: u32) {
        let here = &fields.nodes[trie as usize];
        for end in &fields.ends[here.first_end as usize..][..here.end_count as usize] {
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
        match doc.node(node) {
            Node::Null => return,
            Node::Array { .. } => {
                if depth < ARRAY_DEPTH_MAX {
                    for item in doc.items(node) {
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

/// Whether a key that is no child's name may be a path of several.
#[inline]
fn may_be_path(node: &TrieNode, key: &[u8]) -> bool {
    key.first().is_some_and(|first| node.deep >> (first & 63) & 1 == 1) && key.contains(&b'.')
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
