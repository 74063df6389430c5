//! Under which atoms a rule is registered: of the sets of which one atom must hold for the rule to hold, the one
//! that is seen least often. At first by an estimate; then by what was counted in some of the events.
//!
//! Counting is for atoms that are decided for every event anyway, in windows of [`WINDOW`] events with ever longer
//! pauses. So a bad estimate is mended, other data are noticed, and nobody who writes events can keep the matcher busy
//! with anything but them. What is registered where never changes what matches.

use std::sync::Arc;

use parking_lot::Mutex;

use super::compile::{Atom, Field, FieldAt, Need, Program, Tree};
use super::index::AtomId;
use crate::engine::Bound;
use crate::ir::{Rule, Shape};

/// Events in which atoms are counted, before registrations are picked anew.
pub(crate) const WINDOW: u32 = 1_024;
/// The pause behind a window: so many events for each that was counted so far, up to a bound.
const PAUSE_GROWS: u64 = 15;
const PAUSE_MAX: u64 = 1 << 22;
/// Other registrations must promise to call up at most this share of the rules that these do.
const WORTHWHILE: f64 = 0.9;
/// An estimate counts as much as so many events.
const ESTIMATE_EVENTS: f64 = 64.0;
/// What was counted counts half when it is of so many events: data change.
const EVENTS_MAX: f64 = 65_536.0;
/// The estimate of what is seen in every event.
const ALWAYS: f64 = 1_000.0;
/// What it costs that an atom was not looked for so far: all of its field is read with it in every event then. So a
/// rule moves there from what nearly every event has, and from nothing else.
const READING: f64 = 300.0;
/// Where more places of a text would have to be looked at, nothing moves.
const SCANNING: f64 = 1e9;

/// Of a field's presence.
pub(super) const PRESENCE_PRIOR: f64 = ALWAYS;

/// How often a literal is expected to stand in a field, before it is known how many rules ask.
pub(super) fn prior(shape: Shape, text: &str) -> f64 {
    match (shape, text.len()) {
        (Shape::Equals, 0) => 100.0,
        (Shape::Equals, 1 | 2) => 10.0,
        (Shape::Equals, _) if matches!(text, "true" | "false") => 50.0,
        (Shape::Equals, _) => 1.0,
        (_, 0..=1) => 300.0,
        (_, 2 | 3) => 60.0,
        (Shape::StartsWith | Shape::EndsWith, 4..=7) => 4.0,
        (Shape::StartsWith | Shape::EndsWith, _) => 2.0,
        (Shape::Contains, 4..=5) => 16.0,
        (Shape::Contains, 6..=9) => 6.0,
        (Shape::Contains, _) => 3.0,
    }
}

/// How often an address of a field is expected in a network: most networks of rules are our own, or take many in.
pub(super) const NETWORK_PRIOR: f64 = 30.0;

/// Atoms of which one must hold for the tree to hold, with what they cost together; `None` if there is no
/// such set. Inside a negation there never is.
pub(super) fn rarest<'n>(
    tree: &Tree,
    need: &impl Fn(AtomId) -> &'n Need,
    cost: &impl Fn(AtomId) -> f64,
) -> Option<(Vec<AtomId>, f64)> {
    match tree {
        Tree::Const(false) => Some((Vec::new(), 0.0)),
        Tree::Const(true) | Tree::Not(_) => None,
        Tree::And(parts) => parts
            .iter()
            .filter_map(|part| rarest(part, need, cost))
            .min_by(|a, b| a.1.total_cmp(&b.1)),
        Tree::Or(parts) => {
            let (mut atoms, mut sum) = (Vec::new(), 0.0);
            for part in parts {
                let (more, its_cost) = rarest(part, need, cost)?;
                atoms.extend(more);
                sum += its_cost;
            }
            Some((atoms, sum))
        }
        Tree::Atom(id) => {
            let atoms = match need(*id) {
                Need::Itself => vec![*id],
                Need::AnyOf(atoms) => atoms.clone(),
                Need::Nothing => return None,
            };
            let sum = atoms.iter().map(|atom| cost(*atom)).sum();
            Some((atoms, sum))
        }
    }
}

/// In how many events atoms were seen, of those in which they were looked for.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    atoms: Vec<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    times: f64,
    events: f64,
    /// What it costs to look for it.
    price: f64,
}

impl Knowledge {
    /// How often an atom is seen, on the scale of estimates.
    fn frequency(&self, atom: AtomId, estimate: f64) -> f64 {
        match self.atoms.get(atom as usize) {
            Some(Known { times, events, .. }) if *events > 0.0 => {
                let expected = estimate.min(ALWAYS) * ESTIMATE_EVENTS;
                (times * ALWAYS + expected) / (events + ESTIMATE_EVENTS)
            }
            _ => estimate,
        }
    }

    /// What a rule costs that is registered under an atom, on the scale of estimates.
    pub(super) fn cost(&self, atom: AtomId, estimate: f64) -> f64 {
        let price = self.atoms.get(atom as usize).map_or(0.0, |known| known.price);
        self.frequency(atom, estimate) + price
    }

    /// Adds what was counted while that program ran.
    fn learn(&mut self, program: &Program, counts: &[u32], events: u32) {
        self.atoms.resize(counts.len(), Known::default());
        for ((atom, count), known) in (0..).zip(counts).zip(&mut self.atoms) {
            let sight = program.sight(atom);
            known.price = match sight {
                Sight::Looked => 0.0,
                Sight::Cheap => READING,
                Sight::Dear => SCANNING,
            };
            if sight == Sight::Looked {
                known.times += f64::from(*count);
                known.events += f64::from(events);
                if known.events > EVENTS_MAX {
                    known.times /= 2.0;
                    known.events /= 2.0;
                }
            }
        }
    }

    /// How many rules a thousand events call up in a program.
    fn calls(&self, program: &Program) -> f64 {
        let of = |(atom, estimate): (AtomId, &f64)| {
            program.triggers.get(atom).len() as f64 * self.frequency(atom, *estimate)
        };
        (0..).zip(&program.estimates).map(of).sum()
    }
}

/// Whether an atom is decided for every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Looked,
    /// It is not, and would be if its field were looked at.
    Cheap,
    /// It is not, and would be if texts were scanned, or scanned in more places.
    Dear,
}

impl Program {
    /// Whether an atom is decided for every event, and what it would take.
    fn sight(&self, atom: AtomId) -> Sight {
        let field = |at: &FieldAt| &self.fields[*at as usize];
        let (is_read, otherwise) = match &self.atoms[atom as usize] {
            Atom::Edge(at) => (field(at).edges_eager, Sight::Cheap),
            Atom::Within(at) => (field(at).within_eager, Sight::Dear),
            Atom::Network(at) => (field(at).networks_eager, Sight::Cheap),
            Atom::Presence(at) => (field(at).presence.is_some(), Sight::Cheap),
            Atom::Unsought(at, finder) => {
                let Field { index, within_eager, .. } = field(at);
                let fits = *within_eager && index.scan(true).takes(finder.needle().len());
                (false, if fits { Sight::Cheap } else { Sight::Dear })
            }
            Atom::Single(..) => (false, Sight::Dear),
        };
        if is_read { Sight::Looked } else { otherwise }
    }
}

/// The program of a group, and what was learned for the next. Shared by worker threads.
#[derive(Debug)]
pub(crate) struct Tuned {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    program: Arc<Program>,
    knowledge: Knowledge,
    /// How many events go by uncounted before the next window.
    pause: u64,
}

impl Tuned {
    pub(crate) fn new(rules: &[Arc<Rule>], bound: &Bound) -> Self {
        let knowledge = Knowledge::default();
        let program = Arc::new(Program::new(rules, bound, &knowledge));
        Self { state: Mutex::new(State { program, knowledge, pause: 0 }) }
    }

    /// What runs at present.
    #[cfg(test)]
    pub(crate) fn program(&self) -> Arc<Program> {
        Arc::clone(&self.state.lock().program)
    }

    /// What runs at present, and when one more worker is to count in windows of that many events.
    pub(crate) fn begin(&self, window: u32) -> (Arc<Program>, Schedule) {
        let State { program, pause, .. } = &*self.state.lock();
        (Arc::clone(program), Schedule::new(window, *pause))
    }

    /// Takes what was counted while `program` ran, and gives the program to go on with. The window is at its end.
    pub(super) fn learn(
        &self,
        rules: &[Arc<Rule>],
        bound: &Bound,
        program: &Program,
        counts: &[u32],
        schedule: &mut Schedule,
    ) -> Arc<Program> {
        let State { program: current, knowledge, pause } = &mut *self.state.lock();
        knowledge.learn(program, counts, schedule.window);
        let other = Program::new(rules, bound, knowledge);
        if knowledge.calls(&other) < WORTHWHILE * knowledge.calls(current) {
            *current = Arc::new(other);
        }
        let counted = *pause / PAUSE_GROWS + u64::from(schedule.window);
        *pause = (counted * PAUSE_GROWS).min(PAUSE_MAX);
        *schedule = Schedule::new(schedule.window, *pause);
        Arc::clone(current)
    }
}

/// When atoms are counted, for one worker: in a window of events behind a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    window: u32,
    /// To the end of the window.
    left: u64,
}

impl Schedule {
    fn new(window: u32, pause: u64) -> Self {
        Self { window, left: pause + u64::from(window) }
    }

    /// Whether atoms are to be counted in the next event.
    #[inline]
    pub(super) fn counts(&self) -> bool {
        self.left <= u64::from(self.window)
    }

    /// One more event; whether it ends the window.
    #[inline]
    pub(super) fn ends(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }
}
