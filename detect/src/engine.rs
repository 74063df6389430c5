//! The rules of one log source, compiled once per stream, and what evaluates them per event.

use std::sync::Arc;

use event::{Doc, FieldId, FieldsBuilder, Slots};
use hashbrown::HashMap;

use crate::correlate::Feeds;
use crate::diagnostic::{Diagnostic, Severity, nearest};
use crate::ir::{Expr, Item, Position, Rule, Test};
use crate::matcher::{self, Program, Scratch, Tuned};
use crate::oracle;

/// Which evaluator to use. Both give the same matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Cost per event does not depend on the number of rules.
    #[default]
    Fast,
    /// The definition; for tests and doubt.
    Oracle,
}

/// A field that some rule of a group reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundField {
    /// In the rules' spelling.
    pub name: String,
    /// Paths in the record, best first; at least one.
    pub candidates: Vec<String>,
    /// Its slot.
    pub id: FieldId,
}

/// The fields of a group by name.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    fields: Vec<BoundField>,
    by_name: HashMap<String, u32>,
}

impl Bound {
    fn new(
        rules: &[Arc<Rule>],
        candidates: &dyn Fn(&str) -> Vec<String>,
        builder: &mut FieldsBuilder,
    ) -> Self {
        let mut bound = Self::default();
        for name in rules.iter().flat_map(|rule| rule.field_names()) {
            if bound.by_name.contains_key(name) {
                continue;
            }
            let mut paths = candidates(name);
            if paths.is_empty() {
                paths.push(name.to_owned());
            }
            let id = builder.field(&paths);
            bound.by_name.insert(name.to_owned(), bound.fields.len() as u32);
            bound.fields.push(BoundField { name: name.to_owned(), candidates: paths, id });
        }
        bound
    }

    /// All fields, in order of first use.
    pub fn fields(&self) -> &[BoundField] {
        &self.fields
    }

    /// The field of that name.
    ///
    /// # Panics
    /// When no rule of the group reads it: a caller's bug.
    pub fn field(&self, name: &str) -> &BoundField {
        &self.fields[self.by_name[name] as usize]
    }
}

/// The rules that apply to one log source, compiled. Immutable and shared by worker threads.
#[derive(Debug)]
pub struct Group {
    rules: Vec<Arc<Rule>>,
    bound: Bound,
    /// What the fast engine runs; the oracle needs nothing.
    tuned: Option<Tuned>,
    feeds: Feeds,
    /// By rule: whether it only serves correlations.
    silent: Vec<bool>,
}

impl Group {
    /// Compiles rules. `candidates` gives the record paths of a field name, none for "as it is".
    pub fn new(
        rules: Vec<Arc<Rule>>,
        candidates: &dyn Fn(&str) -> Vec<String>,
        builder: &mut FieldsBuilder,
        engine: Engine,
    ) -> Self {
        let bound = Bound::new(&rules, candidates, builder);
        let tuned = (engine == Engine::Fast).then(|| Tuned::new(&rules, &bound));
        let silent = vec![false; rules.len()];
        Self { rules, bound, tuned, feeds: Feeds::default(), silent }
    }

    /// With what correlations read of the matches, and without alerts of rules that only serve them.
    pub(crate) fn with_feeds(mut self, feeds: Feeds, alerts: &dyn Fn(&str) -> bool) -> Self {
        self.silent = self.rules.iter().map(|rule| !alerts(&rule.info.id)).collect();
        self.feeds = feeds;
        self
    }

    /// What correlations read of the matches.
    pub fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// Whether the rule that a match names alerts on its own.
    pub fn alerts(&self, hit: u32) -> bool {
        !self.silent[hit as usize]
    }

    /// The rule that a match names.
    pub fn rule(&self, hit: u32) -> &Arc<Rule> {
        &self.rules[hit as usize]
    }

    /// All rules; a match is an index into them.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The fields that the rules read.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Scratch for one worker thread.
    pub fn matcher(self: &Arc<Self>) -> Matcher {
        self.matcher_counting(matcher::WINDOW)
    }

    /// With registrations picked anew after so many events, and now and then.
    pub(crate) fn matcher_counting(self: &Arc<Self>, window: u32) -> Matcher {
        let fast = self.tuned.as_ref().map(|tuned| {
            let (program, schedule) = tuned.begin(window);
            (Scratch::new(&program, schedule), program)
        });
        Matcher { group: Arc::clone(self), fast }
    }

    /// What the fast engine runs at present.
    #[cfg(test)]
    pub(crate) fn program(&self) -> Arc<Program> {
        self.tuned.as_ref().expect("the fast engine").program()
    }

    /// Every use of a field of which no candidate path is known. `knows` tells whether records of
    /// this log type can have a path.
    pub fn unresolved(&self, knows: &dyn Fn(&str) -> bool) -> Vec<DeadField> {
        let known = |name: &str| self.bound.field(name).candidates.iter().any(|path| knows(path));
        let mut dead = Vec::new();
        for rule in &self.rules {
            let missing: Vec<&str> =
                rule.field_names().into_iter().filter(|name| !known(name)).collect();
            if missing.is_empty() {
                continue;
            }
            let silent = outcome(rule, &rule.expr, &missing) == Some(false);
            dead.extend(missing.iter().map(|field| DeadField {
                rule: Arc::clone(rule),
                field: (*field).to_owned(),
                written: first_use(rule, field),
                silent,
            }));
        }
        dead
    }
}

/// A rule reads a field that its log type does not have.
#[derive(Clone, Debug)]
pub struct DeadField {
    pub rule: Arc<Rule>,
    pub field: String,
    /// The file and place where the rule, or a filter on it, first names it.
    pub written: (Arc<str>, Position),
    /// Without its missing fields the rule can never match.
    pub silent: bool,
}

impl DeadField {
    /// The report for people. `log_type` is the one that the rule was bound to; `known` are fields
    /// that it has, for a hint.
    pub fn diagnostic<'k>(
        &self,
        log_type: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Diagnostic {
        let Self { field, written: (file, at), silent, .. } = self;
        let effect = if *silent { ": this rule can never match there" } else { "" };
        Diagnostic {
            severity: Severity::Warning,
            file: file.to_string(),
            line: at.line,
            column: at.column,
            span: field.clone(),
            message: format!("`{log_type}` has no field `{field}`{effect}"),
            hint: nearest(field, known).map(|near| format!("did you mean `{near}`?")),
        }
    }
}

fn first_use(rule: &Rule, field: &str) -> (Arc<str>, Position) {
    let place = |(at, item): (usize, &Item)| {
        let refers = |t: &Test| matches!(t, Test::FieldRef(r) if r.field == field);
        let named = item.field.as_deref() == Some(field);
        let place = named
            .then_some(item.key_at)
            .or_else(|| item.tests.iter().any(refers).then_some(item.at))?;
        Some((Arc::clone(rule.file_of(at)), place))
    };
    let found = rule.items.iter().enumerate().find_map(place);
    found.unwrap_or_else(|| (Arc::clone(&rule.file), rule.at))
}

/// The value of an expression that is certain when these fields are always absent.
fn outcome(rule: &Rule, expr: &Expr, missing: &[&str]) -> Option<bool> {
    match expr {
        Expr::True => Some(true),
        Expr::False => Some(false),
        Expr::Named(id) => outcome(rule, &rule.detection(*id).expr, missing),
        Expr::Not(inner) => outcome(rule, inner, missing).map(|value| !value),
        Expr::And(parts) => decide(rule, parts, missing, false),
        Expr::Or(parts) => decide(rule, parts, missing, true),
        Expr::Item(id) => {
            let item = rule.item(*id);
            let absent = item.field.as_deref().is_some_and(|name| missing.contains(&name));
            let holds = |test: &Test| match test {
                Test::Null => absent.then_some(true),
                Test::Exists(wanted) => absent.then_some(!wanted),
                Test::FieldRef(r) if missing.contains(&&*r.field) => Some(false),
                _ => absent.then_some(false),
            };
            let outcomes = item.tests.iter().map(holds);
            outcomes.reduce(|a, b| match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            })?
        }
    }
}

/// Of a conjunction (`decisive` false) or disjunction (`decisive` true).
fn decide(rule: &Rule, parts: &[Expr], missing: &[&str], decisive: bool) -> Option<bool> {
    let mut certain = true;
    for part in parts {
        match outcome(rule, part, missing) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => certain = false,
        }
    }
    certain.then_some(!decisive)
}

/// What a matcher has just done for an event, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begun,
    /// Everything that is looked at for all rules together.
    Read,
    /// One rule, by its number in the group. Only rules that something in the event speaks for are tried.
    Tried {
        rule: u32,
        holds: bool,
    },
}

/// Whoever wants to hear of steps.
pub(crate) type Told<'t> = Option<&'t mut dyn FnMut(Step)>;

/// Evaluates a group on one event after the other. One per worker thread.
#[derive(Debug)]
pub struct Matcher {
    group: Arc<Group>,
    /// Of the fast engine.
    fast: Option<(Scratch, Arc<Program>)>,
}

impl Matcher {
    /// Replaces `hits` by the rules that hold for the document, ascending. `slots` were filled from
    /// the same document with the fields that the group was bound to.
    pub fn matches(&mut self, doc: &Doc<'_>, slots: &Slots, hits: &mut Vec<u32>) {
        self.run(doc, slots, hits, None);
    }

    /// As [`Matcher::matches`], telling `told` of each step, for whoever holds a clock.
    pub fn matches_in_steps(
        &mut self,
        doc: &Doc<'_>,
        slots: &Slots,
        hits: &mut Vec<u32>,
        told: &mut dyn FnMut(Step),
    ) {
        self.run(doc, slots, hits, Some(told));
    }

    fn run(&mut self, doc: &Doc<'_>, slots: &Slots, hits: &mut Vec<u32>, mut told: Told<'_>) {
        hits.clear();
        let Group { rules, bound, tuned, .. } = &*self.group;
        match (&mut self.fast, tuned) {
            (Some((scratch, program)), Some(tuned)) => {
                matcher::matches(program, bound, scratch, (doc, slots), hits, told);
                if let Some(next) = scratch.end(tuned, rules, bound, program) {
                    *program = next;
                }
            }
            _ => {
                let mut tell = |step| told.iter_mut().for_each(|told| told(step));
                tell(Step::Begun);
                tell(Step::Read);
                for (rule, index) in rules.iter().zip(0..) {
                    let holds = oracle::holds(rule, bound, doc);
                    if holds {
                        hits.push(index);
                    }
                    tell(Step::Tried { rule: index, holds });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
