//! One event against a [`Program`].

use std::fmt::Write as _;

use event::{Doc, Slots, Value};
use memchr::memmem::Finder;

use super::compile::{Atom, FieldAt, Node, Program};
use super::index::AtomId;
use crate::engine::{Bound, Step, Told};
use crate::fold::fold_char;
use crate::ir::{FieldRef, Shape, Test};
use crate::value::Seen;

/// The folded text of a value: a range of [`Scratch::arena`]. Objects have none.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    len: u32,
}

const NO_TEXT: u32 = u32::MAX;

/// What has been read of a field for the event of that stamp.
#[derive(Clone, Copy, Debug, Default)]
struct Gathered {
    stamp: u32,
    first: u32,
    count: u32,
    /// Stamps of the events for which the indexes were asked.
    edges: u32,
    /// By whether rules are registered under them.
    within: [u32; 2],
    /// How many substrings were sought alone.
    searches: u32,
}

/// Buffers of one worker, reused from event to event. Stamps make clearing needless.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    arena: String,
    entries: Vec<Entry>,
    fields: Vec<Gathered>,
    marks: Marks,
}

/// Truth of atoms and the rules they call up.
#[derive(Debug, Default)]
struct Marks {
    stamp: u32,
    /// Twice the stamp, plus one if true.
    atoms: Vec<u32>,
    rules: Vec<u32>,
    candidates: Vec<u32>,
}

impl Marks {
    #[inline]
    fn set(&mut self, program: &Program, atom: AtomId) {
        let truth = self.stamp * 2 + 1;
        let slot = &mut self.atoms[atom as usize];
        if *slot == truth {
            return;
        }
        *slot = truth;
        for rule in program.triggers.get(atom) {
            if self.rules[*rule as usize] != self.stamp {
                self.rules[*rule as usize] = self.stamp;
                self.candidates.push(*rule);
            }
        }
    }
}

/// Substrings of one field that are sought alone in one event: keeps the cost of an event linear.
const SEARCHES_MAX: u32 = 24;

/// A huge event must not pin its memory.
const KEEP_BYTES_MAX: usize = 1 << 20;

impl Scratch {
    pub(crate) fn new(program: &Program) -> Self {
        let mut scratch = Self::default();
        scratch.fields.resize(program.fields.len(), Gathered::default());
        scratch.marks.atoms.resize(program.atoms.len(), 0);
        scratch.marks.rules.resize(program.roots.len(), 0);
        scratch
    }

    fn begin(&mut self, program: &Program) {
        const STAMP_MAX: u32 = u32::MAX / 2 - 1;
        if self.marks.stamp >= STAMP_MAX {
            *self = Self::new(program);
        }
        self.marks.stamp += 1;
        if self.arena.capacity() > KEEP_BYTES_MAX && self.arena.len() < KEEP_BYTES_MAX / 4 {
            self.arena = String::new();
        }
        if self.entries.capacity() > KEEP_BYTES_MAX / 8 && self.entries.len() < KEEP_BYTES_MAX / 32
        {
            self.entries = Vec::new();
        }
        self.arena.clear();
        self.entries.clear();
        self.marks.candidates.clear();
        self.marks.candidates.extend_from_slice(&program.always);
    }
}

/// Appends to `hits` the rules that hold, ascending. `told` hears of each step. It is no type parameter:
/// a second copy of this function would keep the compiler from putting the rest of the matcher into it.
pub(crate) fn matches(
    program: &Program,
    bound: &Bound,
    scratch: &mut Scratch,
    (doc, slots): (&Doc<'_>, &Slots),
    hits: &mut Vec<u32>,
    mut told: Told<'_>,
) {
    let mut tell = |step| told.iter_mut().for_each(|told| told(step));
    tell(Step::Begun);
    scratch.begin(program);
    let mut run = Run { program, bound, scratch, doc, slots };
    for field in &program.eager {
        run.read_eagerly(*field);
    }
    let mut candidates = std::mem::take(&mut run.scratch.marks.candidates);
    candidates.sort_unstable();
    tell(Step::Read);
    for rule in &candidates {
        let holds = run.holds(program.roots[*rule as usize]);
        if holds {
            hits.push(*rule);
        }
        tell(Step::Tried { rule: *rule, holds });
    }
    scratch.marks.candidates = candidates;
}

struct Run<'r, 'a> {
    program: &'r Program,
    bound: &'r Bound,
    scratch: &'r mut Scratch,
    doc: &'r Doc<'a>,
    slots: &'r Slots,
}

impl Run<'_, '_> {
    fn read_eagerly(&mut self, at: FieldAt) {
        let field = &self.program.fields[at as usize];
        if let Some(id) = field.id {
            if self.slots.nodes(id).next().is_none() {
                return;
            }
            if let Some(presence) = field.presence {
                self.scratch.marks.set(self.program, presence);
            }
        }
        if field.edges_eager {
            self.edges(at);
        }
        if field.within_eager {
            self.within(at, true);
        }
    }

    fn holds(&mut self, node: u32) -> bool {
        let children = |first: u32, count: u32| first as usize..(first + count) as usize;
        match self.program.nodes[node as usize] {
            Node::Const(value) => value,
            Node::Atom(atom) => self.atom(atom),
            Node::Not(inner) => !self.holds(inner),
            Node::And(first, count) => {
                let program = self.program;
                program.children[children(first, count)].iter().all(|child| self.holds(*child))
            }
            Node::Or(first, count) => {
                let program = self.program;
                program.children[children(first, count)].iter().any(|child| self.holds(*child))
            }
        }
    }

    #[inline]
    fn atom(&mut self, atom: AtomId) -> bool {
        let stamp = self.scratch.marks.stamp;
        let known = self.scratch.marks.atoms[atom as usize];
        if known >> 1 == stamp {
            return known & 1 == 1;
        }
        match &self.program.atoms[atom as usize] {
            Atom::Edge(field) => self.edges(*field),
            Atom::Within(field) => self.within(*field, true),
            Atom::Unsought(field, finder) => match self.search(*field, finder) {
                Some(value) => {
                    self.scratch.marks.atoms[atom as usize] = stamp * 2 + u32::from(value);
                    return value;
                }
                None => self.within(*field, false),
            },
            Atom::Presence(field) => {
                let id = self.program.fields[*field as usize].id;
                return id.is_some_and(|id| self.slots.nodes(id).next().is_some());
            }
            Atom::Single(field, test) => {
                let value = self.single(*field, test);
                self.scratch.marks.atoms[atom as usize] = stamp * 2 + u32::from(value);
                return value;
            }
        }
        self.scratch.marks.atoms[atom as usize] == stamp * 2 + 1
    }

    /// Folds the values of a field, once per event.
    fn gather(&mut self, at: FieldAt) -> Gathered {
        let Scratch { arena, entries, fields, marks } = &mut *self.scratch;
        let gathered = &mut fields[at as usize];
        if gathered.stamp == marks.stamp {
            return *gathered;
        }
        let first = entries.len() as u32;
        match self.program.fields[at as usize].id {
            Some(id) => {
                entries.extend(self.slots.values(self.doc, id).map(|value| fold(value, arena)));
            }
            None => entries.extend(keywords(self.doc).map(|value| fold(value, arena))),
        }
        gathered.stamp = marks.stamp;
        gathered.first = first;
        gathered.count = entries.len() as u32 - first;
        gathered.searches = 0;
        *gathered
    }

    /// Decides all equalities, beginnings and ends of a field, once per event.
    fn edges(&mut self, at: FieldAt) {
        let Scratch { arena, fields, marks, .. } = &mut *self.scratch;
        if std::mem::replace(&mut fields[at as usize].edges, marks.stamp) == marks.stamp {
            return;
        }
        let field = &self.program.fields[at as usize];
        let look = |value| {
            with_text(value, arena, |text| {
                field.index.edges(text, |atom| marks.set(self.program, atom));
            });
        };
        match field.id {
            Some(id) => self.slots.values(self.doc, id).for_each(look),
            None => keywords(self.doc).for_each(look),
        }
    }

    /// Decides the substrings of a field that rules are registered under, or all others, once per event.
    fn within(&mut self, at: FieldAt, sought: bool) {
        let Scratch { arena, fields, marks, .. } = &mut *self.scratch;
        let stamp = &mut fields[at as usize].within[usize::from(sought)];
        if std::mem::replace(stamp, marks.stamp) == marks.stamp {
            return;
        }
        let field = &self.program.fields[at as usize];
        let scan = field.index.scan(sought);
        let look = |value| {
            if too_short(value, scan.shortest()) {
                return;
            }
            with_text(value, arena, |text| scan.each(text, |atom| marks.set(self.program, atom)));
        };
        match field.id {
            Some(id) => self.slots.values(self.doc, id).for_each(look),
            // Most documents have no keyword, and one look at all of it is shorter than one at each value.
            None if scan.is_absent(self.doc.texts()) => {}
            None => keywords(self.doc).for_each(look),
        }
    }

    /// Seeks one substring in a field; `None` when so many were sought that all together are cheaper.
    fn search(&mut self, at: FieldAt, finder: &Finder<'_>) -> Option<bool> {
        let gathered = self.gather(at);
        if gathered.searches == SEARCHES_MAX {
            return None;
        }
        let Scratch { arena, entries, fields, .. } = &mut *self.scratch;
        fields[at as usize].searches += 1;
        let mut texts = gathered.entries(entries).filter_map(|entry| entry.text(arena));
        Some(texts.any(|text| finder.find(text.as_bytes()).is_some()))
    }

    /// Decides one test that no index decides.
    fn single(&mut self, at: FieldAt, test: &Test) -> bool {
        let Some(id) = self.program.fields[at as usize].id else {
            let gathered = self.gather(at);
            let Scratch { arena, entries, .. } = &*self.scratch;
            let texts = gathered.entries(entries).map(|entry| entry.text(arena));
            return keywords(self.doc).zip(texts).any(|(value, text)| holds(test, value, text));
        };
        match test {
            Test::Null => self.slots.nodes(id).next().is_none(),
            Test::Exists(wanted) => self.slots.present(id) == *wanted,
            Test::FieldRef(reference) => self.reference(id, reference),
            _ => {
                let gathered = self.gather(at);
                let Scratch { arena, entries, .. } = &*self.scratch;
                let texts = gathered.entries(entries).map(|entry| entry.text(arena));
                let values = self.slots.values(self.doc, id);
                values.zip(texts).any(|(value, text)| holds(test, value, text))
            }
        }
    }

    /// Compares two fields. Rare, so it takes the oracle's view of the values.
    fn reference(&self, id: event::FieldId, r: &FieldRef) -> bool {
        let other_id = self.bound.field(&r.field).id;
        self.slots.values(self.doc, other_id).any(|other| {
            let other = Seen::new(other);
            self.slots.values(self.doc, id).any(|value| {
                let value = Seen::new(value);
                if let (Shape::Equals, Some(a), Some(b)) = (r.shape, value.number(), other.number())
                {
                    return a == b;
                }
                let texts = value.text(r.cased).zip(other.text(r.cased));
                texts.is_some_and(|(text, literal)| r.shape.holds(text, literal))
            })
        })
    }
}

impl Gathered {
    fn entries(self, entries: &[Entry]) -> impl Iterator<Item = Entry> + '_ {
        entries[self.first as usize..][..self.count as usize].iter().copied()
    }
}

impl Entry {
    fn text(self, arena: &str) -> Option<&str> {
        (self.start != NO_TEXT).then(|| &arena[self.start as usize..][..self.len as usize])
    }
}

/// The values that keywords look at.
fn keywords<'d, 'a>(doc: &'d Doc<'a>) -> impl Iterator<Item = Value<'a>> + use<'d, 'a> {
    doc.leaves().filter(|value| !matches!(value, Value::Null | Value::Bool(_)))
}

/// Whether a value's folded text is certainly shorter than that.
#[inline]
fn too_short(value: Value<'_>, bytes: usize) -> bool {
    match value {
        // Folding makes two bytes of a letter three at most.
        Value::Str(text) => text.len() < bytes && (text.len() * 2 < bytes || text.is_ascii()),
        Value::I64(n) if bytes <= 18 => n >= 0 && n < 10_i64.pow(bytes.saturating_sub(1) as u32),
        _ => false,
    }
}

/// Shows a value's text as [`super::index`] wants it: ASCII as it is, all else folded. Objects have
/// none.
#[inline]
fn with_text(value: Value<'_>, arena: &mut String, mut look: impl FnMut(&[u8])) {
    if let Value::Str(text) = value
        && text.is_ascii()
    {
        return look(text.as_bytes());
    }
    let before = arena.len();
    if let Some(text) = fold(value, arena).text(arena) {
        look(text.as_bytes());
    }
    arena.truncate(before);
}

/// Appends a value's folded text to the arena.
fn fold(value: Value<'_>, arena: &mut String) -> Entry {
    let start = arena.len();
    match value {
        Value::Str(text) if text.is_ascii() => {
            arena.push_str(text);
            arena[start..].make_ascii_lowercase();
        }
        Value::Str(text) => arena.extend(text.chars().map(fold_char)),
        Value::I64(n) => fold_whole(n < 0, n.unsigned_abs(), arena),
        Value::U64(n) => fold_whole(false, n, arena),
        Value::Bool(b) => arena.push_str(if b { "true" } else { "false" }),
        Value::F64(n) => fold_float(n, arena),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Entry { start: NO_TEXT, len: 0 };
        }
    }
    let end = arena.len();
    // Records are far smaller than 4 GiB; one that is not has no text beyond it.
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) if end < NO_TEXT => Entry { start, len: end - start },
        _ => Entry { start: NO_TEXT, len: 0 },
    }
}

/// A whole number, digit by digit: formatting takes longer than everything else about it.
fn fold_whole(negative: bool, mut n: u64, arena: &mut String) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    if negative {
        arena.push('-');
    }
    arena.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

fn put(arena: &mut String, value: impl std::fmt::Display) {
    let written = write!(arena, "{value}");
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

/// As [`crate::value::text_of`] writes it, without its detour for numbers of ordinary size.
fn fold_float(n: f64, arena: &mut String) {
    let ordinary = 1e-15..1e30;
    if n == 0.0 {
        arena.push('0');
    } else if ordinary.contains(&n.abs()) {
        put(arena, n);
    } else if let Some(text) = crate::value::text_of(Value::F64(n)) {
        arena.extend(text.chars().map(fold_char));
    }
}

/// Whether a test holds for one value; `text` is its folded text.
fn holds(test: &Test, value: Value<'_>, text: Option<&str>) -> bool {
    let as_it_is = || value.as_str().or(text);
    match test {
        Test::Text(t) => {
            let text = if t.cased { as_it_is() } else { text };
            text.is_some_and(|text| t.shape.holds(text, &t.text))
        }
        Test::Pattern(p) => {
            let text = if p.cased() { as_it_is() } else { text };
            text.is_some_and(|text| p.matches(text))
        }
        Test::Regex(r) => as_it_is().is_some_and(|text| r.matches(text)),
        Test::Network(n) => value.as_str().is_some_and(|text| n.contains_text(text)),
        Test::Compare { op, value: limit } => match (value, limit.as_i64()) {
            (Value::I64(n), Some(limit)) => op.holds(&n, &limit),
            _ => test.holds(&Seen::new(value)),
        },
        _ => test.holds(&Seen::new(value)),
    }
}
