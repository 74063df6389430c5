//! One event against a [`Program`].

use std::sync::Arc;

use event::{Doc, Slots, Value};
use memchr::memmem::Finder;

use super::compile::{Atom, FieldAt, Node, Program};
use super::index::AtomId;
use super::registration::{Schedule, Tuned};
use super::text::{Entry, fold, keywords, too_short, with_text};
use crate::engine::{Bound, Step, Told};
use crate::ip;
use crate::ir::{FieldRef, Rule, Shape, Test};
use crate::value::Seen;

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
    networks: u32,
    /// How many substrings were sought alone.
    searches: u32,
}

/// Buffers of one worker, reused from event to event. Stamps make clearing needless.
#[derive(Debug)]
pub(crate) struct Scratch {
    arena: String,
    entries: Vec<Entry>,
    fields: Vec<Gathered>,
    marks: Marks,
    schedule: Schedule,
}

/// Truth of atoms and the rules they call up.
#[derive(Debug, Default)]
struct Marks {
    stamp: u32,
    /// Twice the stamp, plus one if true.
    atoms: Vec<u32>,
    rules: Vec<u32>,
    candidates: Vec<u32>,
    /// In how many events of a window each atom was seen.
    counts: Vec<u32>,
    is_counting: bool,
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
        if self.is_counting {
            self.counts[atom as usize] += 1;
        }
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
    pub(crate) fn new(program: &Program, schedule: Schedule) -> Self {
        let marks = Marks {
            atoms: vec![0; program.atoms.len()],
            rules: vec![0; program.roots.len()],
            counts: vec![0; program.atoms.len()],
            ..Marks::default()
        };
        Self {
            arena: String::new(),
            entries: Vec::new(),
            fields: vec![Gathered::default(); program.fields.len()],
            marks,
            schedule,
        }
    }

    /// One more event was looked at. At the end of a window: the program to go on with.
    #[inline]
    pub(crate) fn end(
        &mut self,
        tuned: &Tuned,
        rules: &[Arc<Rule>],
        bound: &Bound,
        program: &Program,
    ) -> Option<Arc<Program>> {
        if !self.schedule.ends() {
            return None;
        }
        let Self { marks, schedule, .. } = self;
        let next = tuned.learn(rules, bound, program, &marks.counts, schedule);
        marks.counts.fill(0);
        Some(next)
    }

    fn begin(&mut self, program: &Program) {
        const STAMP_MAX: u32 = u32::MAX / 2 - 1;
        if self.marks.stamp >= STAMP_MAX {
            *self = Self::new(program, self.schedule);
        }
        self.marks.stamp += 1;
        self.marks.is_counting = self.schedule.counts();
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
        if field.networks_eager {
            self.networks(at);
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
            Atom::Network(field) => self.networks(*field),
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
        let Scratch { arena, entries, fields, marks, .. } = &mut *self.scratch;
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

    /// Decides all networks of a field, once per event.
    fn networks(&mut self, at: FieldAt) {
        let Scratch { fields, marks, .. } = &mut *self.scratch;
        if std::mem::replace(&mut fields[at as usize].networks, marks.stamp) == marks.stamp {
            return;
        }
        let field = &self.program.fields[at as usize];
        let look = |value: Value<'_>| {
            if let Some(address) = value.as_str().and_then(ip::address) {
                field.networks.each(address, |atom| marks.set(self.program, atom));
            }
        };
        match field.id {
            Some(id) => self.slots.values(self.doc, id).for_each(look),
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
        Test::Compare { op, value: limit } => match (value, limit.as_i64()) {
            (Value::I64(n), Some(limit)) => op.holds(&n, &limit),
            _ => test.holds(&Seen::new(value)),
        },
        _ => test.holds(&Seen::new(value)),
    }
}
