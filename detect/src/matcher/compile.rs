//! From rules to a [`Program`]: shared atoms, Boolean programs over them, and for each rule the atoms under which it
//! is registered.

use std::sync::Arc;

use event::FieldId;
use hashbrown::HashMap;
use memchr::memmem::Finder;

use super::index::{AtomId, IndexBuilder, TextIndex};
use super::literal::{self, Required};
use super::networks::Networks;
use super::registration::{Knowledge, NETWORK_PRIOR, PRESENCE_PRIOR, prior, rarest};
use crate::engine::Bound;
use crate::fold::folded;
use crate::ip::Network;
use crate::ir::{
    Comparison, Expr, FieldRef, Item, Pattern, RegexFlags, Rule, Shape, Test, TimeTest,
};
use crate::number::Number;

/// Index into [`Program::fields`].
pub(super) type FieldAt = u32;

/// A group compiled. Immutable, shared by worker threads.
#[derive(Debug)]
pub(crate) struct Program {
    pub(super) fields: Vec<Field>,
    pub(super) atoms: Vec<Atom>,
    pub(super) nodes: Vec<Node>,
    pub(super) children: Vec<u32>,
    /// The root node of each rule.
    pub(super) roots: Vec<u32>,
    /// Rules registered under each atom.
    pub(super) triggers: Lists,
    /// Rules that can hold without any literal.
    pub(super) always: Vec<u32>,
    /// Fields with registrations, to be read for every event.
    pub(super) eager: Vec<FieldAt>,
    /// How often each atom is expected to be seen; lower is rarer.
    pub(super) estimates: Vec<f64>,
}

/// What is known of one field. The keywords are a field too: every scalar of the record.
#[derive(Debug)]
pub(super) struct Field {
    /// `None` is the keywords.
    pub(super) id: Option<FieldId>,
    pub(super) index: TextIndex,
    pub(super) networks: Networks,
    pub(super) edges_eager: bool,
    pub(super) within_eager: bool,
    pub(super) networks_eager: bool,
    /// Holds when the field has a value.
    pub(super) presence: Option<AtomId>,
}

/// How an atom is decided.
#[derive(Debug)]
pub(super) enum Atom {
    /// With all beginnings, ends and equalities of its field.
    Edge(FieldAt),
    /// With all substrings of its field that rules are registered under.
    Within(FieldAt),
    /// A substring that no rule is registered under: sought alone when asked, since few ever are.
    Unsought(FieldAt, Box<Finder<'static>>),
    /// With all networks of its field.
    Network(FieldAt),
    /// The field has a value.
    Presence(FieldAt),
    /// Alone, when asked.
    Single(FieldAt, Box<Test>),
}

/// A step of a rule's Boolean program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Const(bool),
    Atom(AtomId),
    Not(u32),
    /// Children `first..first+count` of [`Program::children`].
    And(u32, u32),
    Or(u32, u32),
}

/// Lists of rules, one per atom, in one allocation.
#[derive(Debug, Default)]
pub(super) struct Lists {
    starts: Vec<u32>,
    rules: Vec<u32>,
}

impl Lists {
    fn new(lists: Vec<Vec<u32>>) -> Self {
        let mut out = Self::default();
        for list in lists {
            out.starts.push(out.rules.len() as u32);
            out.rules.extend(list);
        }
        out.starts.push(out.rules.len() as u32);
        out
    }

    #[inline]
    pub(super) fn get(&self, atom: AtomId) -> &[u32] {
        let (from, to) = (self.starts[atom as usize], self.starts[atom as usize + 1]);
        &self.rules[from as usize..to as usize]
    }
}

/// A rule's condition over atoms.
#[derive(Debug)]
pub(super) enum Tree {
    Const(bool),
    Atom(AtomId),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

/// Equal keys are one atom.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(Shape, Box<str>),
    /// Decided alone; whether it is cased.
    Alone(Shape, Box<str>, bool),
    Pattern(Pattern),
    Regex(Box<str>, RegexFlags),
    Network(Network),
    Compare(Comparison, Number),
    Time(TimeTest),
    Null,
    Exists(bool),
    FieldRef(FieldRef),
    Presence,
}

/// What a rule may be registered under instead of an atom.
#[derive(Clone, Debug)]
pub(super) enum Need {
    /// The atom itself is decided by the scan.
    Itself,
    /// One of these holds whenever the atom holds.
    AnyOf(Vec<AtomId>),
    /// The atom may hold for a record that has nothing of the field.
    Nothing,
}

#[derive(Debug)]
struct Draft {
    atom: Atom,
    need: Need,
    /// Estimated frequency for one rule that uses it; lower is rarer.
    prior: f64,
    /// How many rules use it.
    uses: u32,
}

impl Draft {
    fn estimate(&self) -> f64 {
        self.prior * f64::from(self.uses)
    }
}

/// What is asked of one field.
#[derive(Default)]
struct FieldDraft {
    id: Option<FieldId>,
    texts: IndexBuilder,
    networks: Vec<(Network, AtomId)>,
    presence: Option<AtomId>,
}

#[derive(Default)]
struct Compiler {
    fields: Vec<FieldDraft>,
    field_of: HashMap<Option<FieldId>, FieldAt>,
    ids: HashMap<(FieldAt, Key), AtomId>,
    drafts: Vec<Draft>,
    nodes: Vec<Node>,
    children: Vec<u32>,
}

impl Program {
    /// Compiles the rules of a group; a rule's number is its index. The same rules have the same atoms, whatever is
    /// known of them.
    pub(super) fn new(rules: &[Arc<Rule>], bound: &Bound, known: &Knowledge) -> Self {
        let mut compiler = Compiler::default();
        let trees: Vec<Tree> =
            rules.iter().map(|rule| compiler.tree(rule, &rule.flat(), bound)).collect();
        for tree in &trees {
            compiler.count(tree);
        }
        let need = |atom: AtomId| &compiler.drafts[atom as usize].need;
        let cost = |atom: AtomId| known.cost(atom, compiler.drafts[atom as usize].estimate());
        let mut registered = vec![Vec::new(); compiler.drafts.len()];
        let mut always = Vec::new();
        for (tree, rule) in trees.iter().zip(0..) {
            match rarest(tree, &need, &cost) {
                Some((mut atoms, _)) => {
                    atoms.sort_unstable();
                    atoms.dedup();
                    for atom in atoms {
                        registered[atom as usize].push(rule);
                    }
                }
                None => always.push(rule),
            }
        }
        let roots = trees.into_iter().map(|tree| compiler.emit(tree)).collect();
        compiler.finish(roots, registered, always)
    }
}

impl Compiler {
    fn field(&mut self, id: Option<FieldId>) -> FieldAt {
        if let Some(at) = self.field_of.get(&id) {
            return *at;
        }
        let at = self.fields.len() as FieldAt;
        self.fields.push(FieldDraft { id, ..FieldDraft::default() });
        self.field_of.insert(id, at);
        at
    }

    fn tree(&mut self, rule: &Rule, expr: &Expr, bound: &Bound) -> Tree {
        let mut many =
            |parts: &[Expr]| parts.iter().map(|part| self.tree(rule, part, bound)).collect();
        match expr {
            Expr::True => Tree::Const(true),
            Expr::False => Tree::Const(false),
            Expr::And(parts) => Tree::And(many(parts)),
            Expr::Or(parts) => Tree::Or(many(parts)),
            Expr::Not(inner) => Tree::Not(Box::new(self.tree(rule, inner, bound))),
            Expr::Named(id) => self.tree(rule, &rule.detection(*id).expr, bound),
            Expr::Item(id) => self.item(rule.item(*id), bound),
        }
    }

    fn item(&mut self, item: &Item, bound: &Bound) -> Tree {
        let id = item.field.as_deref().map(|name| bound.field(name).id);
        let field = self.field(id);
        let mut atoms = Vec::with_capacity(item.tests.len());
        for test in &item.tests {
            self.test(field, id.is_none(), test, &mut atoms);
        }
        if atoms.len() == 1 {
            Tree::Atom(atoms[0])
        } else {
            Tree::Or(atoms.into_iter().map(Tree::Atom).collect())
        }
    }

    /// Adds the atoms that a test is the disjunction of.
    fn test(&mut self, field: FieldAt, keyword: bool, test: &Test, atoms: &mut Vec<AtomId>) {
        match test {
            Test::Text(t) if !t.cased && (t.shape == Shape::Equals || !t.text.is_empty()) => {
                atoms.push(self.text(field, t.shape, &t.text));
            }
            // Two numbers are equal exactly if their plain decimals are.
            Test::Number { value, texts } => {
                let plain: Box<str> = value.text().into();
                let written = texts.iter().filter(|text| **text != plain);
                for text in std::iter::once(&plain).chain(written) {
                    atoms.push(self.text(field, Shape::Equals, text));
                }
            }
            Test::Bool(wanted) => {
                let text = if *wanted { "true" } else { "false" };
                atoms.push(self.text(field, Shape::Equals, text));
            }
            Test::Network(network) => atoms.push(self.network(field, *network)),
            // These ask about a field as a whole, and keywords have none.
            Test::Null | Test::Exists(_) | Test::FieldRef(_) if keyword => {}
            _ => atoms.push(self.single(field, keyword, test)),
        }
    }

    fn intern(
        &mut self,
        field: FieldAt,
        key: Key,
        make: impl FnOnce(&mut Self) -> (Atom, Need, f64),
    ) -> AtomId {
        let key = (field, key);
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let (atom, need, prior) = make(self);
        let id = self.drafts.len() as AtomId;
        self.drafts.push(Draft { atom, need, prior, uses: 0 });
        self.ids.insert(key, id);
        id
    }

    fn text(&mut self, field: FieldAt, shape: Shape, text: &str) -> AtomId {
        let before = self.drafts.len();
        let id = self.intern(field, Key::Text(shape, text.into()), |_| {
            let atom = match shape {
                Shape::Contains => Atom::Within(field),
                Shape::Equals | Shape::StartsWith | Shape::EndsWith => Atom::Edge(field),
            };
            (atom, Need::Itself, prior(shape, text))
        });
        if self.drafts.len() > before {
            self.fields[field as usize].texts.add(shape, text, id);
        }
        id
    }

    fn network(&mut self, field: FieldAt, network: Network) -> AtomId {
        let before = self.drafts.len();
        let id = self.intern(field, Key::Network(network), |_| {
            (Atom::Network(field), Need::Itself, NETWORK_PRIOR)
        });
        if self.drafts.len() > before {
            self.fields[field as usize].networks.push((network, id));
        }
        id
    }

    fn single(&mut self, field: FieldAt, keyword: bool, test: &Test) -> AtomId {
        let key = match test {
            Test::Text(t) => Key::Alone(t.shape, t.text.clone(), t.cased),
            Test::Pattern(p) => Key::Pattern(p.clone()),
            Test::Regex(r) => Key::Regex(r.pattern.clone(), r.flags),
            Test::Compare { op, value } => Key::Compare(*op, value.clone()),
            Test::Time(t) => Key::Time(*t),
            Test::Null => Key::Null,
            Test::Exists(wanted) => Key::Exists(*wanted),
            Test::FieldRef(r) => Key::FieldRef(r.clone()),
            Test::Network(_) => unreachable!("a field's are decided together"),
            Test::Number { .. } | Test::Bool(_) => unreachable!("these become texts"),
        };
        self.intern(field, key, |compiler| {
            let need = compiler.need(field, keyword, test);
            (Atom::Single(field, Box::new(test.clone())), need, 0.0)
        })
    }

    /// What stands in every record for which the test holds.
    fn need(&mut self, field: FieldAt, keyword: bool, test: &Test) -> Need {
        let required: Option<Required> = match test {
            Test::Text(t) if !t.text.is_empty() => Some(vec![(t.shape, folded(&t.text))]),
            Test::Pattern(pattern) => literal::of_pattern(pattern),
            Test::Regex(regex) => literal::of_regex(regex),
            // An empty list is there, too; it has no value.
            Test::Null | Test::Exists(_) => return Need::Nothing,
            _ => None,
        };
        match required {
            Some(texts) => Need::AnyOf(
                texts.into_iter().map(|(shape, text)| self.text(field, shape, &text)).collect(),
            ),
            None if keyword => Need::Nothing,
            None => Need::AnyOf(vec![self.presence(field)]),
        }
    }

    fn presence(&mut self, field: FieldAt) -> AtomId {
        let id = self.intern(field, Key::Presence, |_| {
            (Atom::Presence(field), Need::Itself, PRESENCE_PRIOR)
        });
        self.fields[field as usize].presence = Some(id);
        id
    }

    /// Counts in how many places each literal atom is used.
    fn count(&mut self, tree: &Tree) {
        match tree {
            Tree::Const(_) => {}
            Tree::Not(inner) => self.count(inner),
            Tree::And(parts) | Tree::Or(parts) => parts.iter().for_each(|part| self.count(part)),
            Tree::Atom(id) => {
                self.drafts[*id as usize].uses += 1;
                if let Need::AnyOf(atoms) = self.drafts[*id as usize].need.clone() {
                    atoms.iter().for_each(|atom| self.drafts[*atom as usize].uses += 1);
                }
            }
        }
    }

    /// How dear it is to decide a tree: cheap parts are asked first.
    fn cost(&self, tree: &Tree) -> u32 {
        match tree {
            Tree::Const(_) => 0,
            Tree::Not(inner) => self.cost(inner),
            Tree::And(parts) | Tree::Or(parts) => {
                parts.iter().map(|part| self.cost(part)).max().unwrap_or(0)
            }
            Tree::Atom(id) => match &self.drafts[*id as usize].atom {
                Atom::Presence(_) => 0,
                Atom::Edge(_) => 1,
                Atom::Within(_) | Atom::Unsought(..) => 2,
                Atom::Network(_) => 4,
                Atom::Single(_, test) => match **test {
                    Test::Null | Test::Exists(_) => 0,
                    Test::Text(_) | Test::Compare { .. } => 3,
                    Test::Pattern(_) => 4,
                    Test::FieldRef(_) | Test::Time(_) => 5,
                    _ => 6,
                },
            },
        }
    }

    fn emit(&mut self, tree: Tree) -> u32 {
        let node = match tree {
            Tree::Const(value) => Node::Const(value),
            Tree::Atom(id) => Node::Atom(id),
            Tree::Not(inner) => Node::Not(self.emit(*inner)),
            Tree::And(parts) => {
                let (first, count) = self.emit_all(parts);
                Node::And(first, count)
            }
            Tree::Or(parts) => {
                let (first, count) = self.emit_all(parts);
                Node::Or(first, count)
            }
        };
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn emit_all(&mut self, mut parts: Vec<Tree>) -> (u32, u32) {
        parts.sort_by_cached_key(|part| self.cost(part));
        let nodes: Vec<u32> = parts.into_iter().map(|part| self.emit(part)).collect();
        let first = self.children.len() as u32;
        self.children.extend(&nodes);
        (first, nodes.len() as u32)
    }

    fn finish(self, roots: Vec<u32>, registered: Vec<Vec<u32>>, always: Vec<u32>) -> Program {
        let calls = |atom: AtomId| !registered[atom as usize].is_empty();
        let estimates = self.drafts.iter().map(Draft::estimate).collect();
        let mut atoms: Vec<Atom> = self.drafts.into_iter().map(|draft| draft.atom).collect();
        for (field, draft) in (0..).zip(&self.fields) {
            for (text, atom) in draft.texts.within().filter(|(_, atom)| !calls(*atom)) {
                let finder = Box::new(Finder::new(text).into_owned());
                atoms[atom as usize] = Atom::Unsought(field, finder);
            }
        }
        let field = |draft: FieldDraft| Field {
            id: draft.id,
            index: draft.texts.build(calls),
            networks: Networks::new(draft.networks),
            edges_eager: false,
            within_eager: false,
            networks_eager: false,
            presence: draft.presence.filter(|atom| calls(*atom)),
        };
        let mut fields: Vec<Field> = self.fields.into_iter().map(field).collect();
        for (atom, _) in atoms.iter().zip(&registered).filter(|(_, rules)| !rules.is_empty()) {
            match atom {
                Atom::Edge(field) => fields[*field as usize].edges_eager = true,
                Atom::Within(field) => fields[*field as usize].within_eager = true,
                Atom::Network(field) => fields[*field as usize].networks_eager = true,
                Atom::Unsought(..) | Atom::Presence(_) | Atom::Single(..) => {}
            }
        }
        let wanted =
            |f: &Field| f.edges_eager || f.within_eager || f.networks_eager || f.presence.is_some();
        let eager = (0..).zip(&fields).filter(|(_, f)| wanted(f)).map(|(at, _)| at).collect();
        Program {
            fields,
            atoms,
            nodes: self.nodes,
            children: self.children,
            roots,
            triggers: Lists::new(registered),
            always,
            eager,
            estimates,
        }
    }
}
