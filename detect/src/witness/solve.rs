//! Values for every field, so that the chosen items hold and the others do not.
//!
//! An array holds what any of its members holds, so every field can be solved; one value for all is
//! tried first.

use std::collections::BTreeMap;

use crate::ir::{Item, ItemId, Rule, Shape, Test, TextTest, TimeTest};

use super::plan::Literals;
use super::sample::{self, Sample};

/// What an event is to have for a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// None: the field is absent, or null.
    pub values: Vec<Sample>,
    /// Without values: there, as null.
    pub is_null: bool,
}

/// By field; `None` are the keywords, which go into a field of their own.
pub(super) type Values = BTreeMap<Option<String>, State>;

/// By field: values to try first, also where nothing is asked for.
pub(super) type Hints = BTreeMap<Option<String>, Vec<Sample>>;

/// Alternatives of one item that are tried.
const TESTS_MAX: usize = 24;

pub(super) struct Solver<'s> {
    rule: &'s Rule,
    literals: &'s Literals,
}

/// What is asked of one field.
#[derive(Default)]
struct Asked<'s> {
    wanted: Vec<&'s Item>,
    barred: Vec<&'s Item>,
    /// Better not to hold, as it may be part of what keeps the rule from matching.
    rather_not: Vec<&'s Item>,
}

impl<'s> Solver<'s> {
    pub(super) fn new(rule: &'s Rule, literals: &'s Literals) -> Self {
        Self { rule, literals }
    }

    /// `None` when some field cannot be solved.
    pub(super) fn solve(&self, hints: &Hints) -> Option<Values> {
        let mut values = Values::new();
        for (field, asked) in self.asked() {
            let close = hints.get(&field).map(Vec::as_slice).unwrap_or_default();
            // Different in every field, so that no two are equal by accident.
            let some = field.as_ref().map_or("some text".to_owned(), |name| format!("some {name}"));
            values.insert(field, asked.solve(close, some)?);
        }
        for (field, close) in hints.iter().filter(|(_, close)| !close.is_empty()) {
            // Only compared with: nothing is asked of it.
            let kept = State { values: close.clone(), is_null: false };
            values.entry(field.clone()).or_insert(kept);
        }
        self.references(&mut values);
        Some(values)
    }

    fn asked(&self) -> BTreeMap<Option<String>, Asked<'s>> {
        let mut fields: BTreeMap<Option<String>, Asked<'s>> = BTreeMap::new();
        for (item, number) in self.rule.items.iter().zip(0..) {
            let asked = fields.entry(item.field.clone()).or_default();
            match self.literals.get(&number) {
                Some(true) => asked.wanted.push(item),
                Some(false) => asked.barred.push(item),
                None => asked.rather_not.push(item),
            }
        }
        // Keywords look at the values of every field.
        let Some(keywords) = fields.get(&None) else { return fields };
        let (barred, rather_not) = (keywords.barred.clone(), keywords.rather_not.clone());
        for (_, asked) in fields.iter_mut().filter(|(field, _)| field.is_some()) {
            asked.barred.extend(&barred);
            asked.rather_not.extend(&rather_not);
        }
        fields
    }

    /// Makes fields equal to those that they are compared with.
    fn references(&self, values: &mut Values) {
        for (number, _) in self.literals.iter().filter(|(_, holds)| **holds) {
            let item = self.rule.item(ItemId(*number));
            let referred = item.tests.iter().find_map(|test| match test {
                Test::FieldRef(reference) => Some(Some(reference.field.clone())),
                _ => None,
            });
            let Some(other) = referred else { continue };
            let first = |values: &Values, of: &Option<String>| {
                values.get(of).and_then(|state| state.values.first().cloned())
            };
            if item.tests.len() > 1 && first(values, &item.field).is_some_and(|v| v.holds(item)) {
                continue;
            }
            let shared = first(values, &other).or_else(|| first(values, &item.field));
            let shared = shared.unwrap_or_else(|| Sample::Text("same".to_owned()));
            for field in [&item.field, &other] {
                let state = values.entry(field.clone()).or_default();
                if !state.values.contains(&shared) {
                    state.values.push(shared.clone());
                }
            }
        }
    }
}

impl Asked<'_> {
    fn solve(&self, close: &[Sample], some: String) -> Option<State> {
        let is_empty_wanted = self.wanted.iter().any(|item| holds_only_empty(item));
        let (values, is_null) = if is_empty_wanted {
            let is_there = |item: &&Item| item.tests.contains(&Test::Exists(true));
            (Vec::new(), self.wanted.iter().any(is_there))
        } else {
            (self.values(close, some)?, self.wanted.iter().any(|item| wants_presence(item)))
        };
        let state = State { values, is_null };
        let holds = |item: &Item| state.holds(item);
        let is_solved = self.wanted.iter().all(|item| refers(item) || holds(item))
            && !self.barred.iter().any(|item| item.field.is_some() && holds(item));
        is_solved.then_some(state)
    }

    fn is_allowed(&self, sample: &Sample) -> bool {
        !self.barred.iter().any(|item| sample.holds(item))
    }

    fn regrets(&self, sample: &Sample) -> usize {
        self.rather_not.iter().filter(|item| sample.holds(item)).count()
    }

    /// As few values as possible that hold every wanted item together; `some` where any value will do.
    fn values(&self, close: &[Sample], some: String) -> Option<Vec<Sample>> {
        // Items that values decide; the others are met by there being none, or by another field.
        let open: Vec<&Item> = self
            .wanted
            .iter()
            .copied()
            .filter(|item| !refers(item) && !holds_absent(item) && !wants_presence(item))
            .collect();
        let needs_value = self.barred.iter().any(|item| holds_absent(item));
        if open.is_empty() && !needs_value && close.is_empty() {
            return Some(Vec::new());
        }
        let mut pool: Vec<Sample> = close.to_vec();
        if open.is_empty() {
            pool.push(Sample::Text(some));
            pool.extend(["x", "quiet", "1"].map(|text| Sample::Text(text.to_owned())));
        }
        pool.extend(together(&open));
        for item in &open {
            let tests = item.tests.iter().take(TESTS_MAX);
            pool.extend(tests.flat_map(|test| sample::of(test, &item.written)));
        }
        pool.retain(|sample| self.is_allowed(sample));
        let whole = pool.iter().filter(|sample| open.iter().all(|item| sample.holds(item)));
        if let Some(one) = whole.min_by_key(|sample| self.regrets(sample)) {
            return Some(vec![one.clone()]);
        }
        if open.is_empty() {
            // Nothing is close: none at all, unless absence would hold what must not.
            return (!needs_value).then(Vec::new);
        }
        self.cover(open, &pool)
    }

    /// One value after the other, each holding the most items that are left.
    fn cover(&self, mut open: Vec<&Item>, pool: &[Sample]) -> Option<Vec<Sample>> {
        let mut values: Vec<Sample> = Vec::new();
        while !open.is_empty() {
            let rank = |sample: &&Sample| {
                let held = open.iter().filter(|item| sample.holds(item)).count();
                (held, usize::MAX - self.regrets(sample))
            };
            let best = pool.iter().max_by_key(rank).filter(|sample| rank(sample).0 > 0)?;
            open.retain(|item| !best.holds(item));
            values.push(best.clone());
        }
        Some(values)
    }
}

impl State {
    fn holds(&self, item: &Item) -> bool {
        item.tests.iter().any(|test| match test {
            Test::Null => self.values.is_empty(),
            Test::Exists(wanted) => *wanted == (self.is_null || !self.values.is_empty()),
            _ => false,
        }) || self.values.iter().any(|value| value.holds(item))
    }
}

fn refers(item: &Item) -> bool {
    item.tests.iter().any(|test| matches!(test, Test::FieldRef(_)))
}

/// Whether it holds for a field that is not there.
fn holds_absent(item: &Item) -> bool {
    item.tests.iter().any(|test| matches!(test, Test::Null | Test::Exists(false)))
}

fn holds_only_empty(item: &Item) -> bool {
    item.tests.iter().all(|test| matches!(test, Test::Null | Test::Exists(false)))
}

fn wants_presence(item: &Item) -> bool {
    item.tests.contains(&Test::Exists(true))
}

/// Texts that may hold all of the items at once: beginnings first, ends last, the rest between.
fn together(items: &[&Item]) -> Vec<Sample> {
    if items.len() < 2 {
        return Vec::new();
    }
    let times: Vec<TimeTest> = items
        .iter()
        .filter_map(|item| match item.tests.first() {
            Some(Test::Time(time)) => Some(*time),
            _ => None,
        })
        .collect();
    let mut all: Vec<Sample> = Vec::new();
    if !times.is_empty() {
        all.extend(sample::time(&times).map(Sample::Text));
    }
    let longest = items.iter().map(|item| item.tests.len()).max().unwrap_or(0);
    for nth in 0..longest.min(TESTS_MAX) {
        for between in [" ", ""] {
            all.push(Sample::Text(joined(items, nth, between)));
        }
    }
    all
}

/// Of each item the `nth` alternative, or as many further as it has.
fn joined(items: &[&Item], nth: usize, between: &str) -> String {
    let (mut start, mut middle, mut end) = (String::new(), Vec::new(), String::new());
    for item in items {
        let test = &item.tests[nth % item.tests.len()];
        let plain = sample::of(test, &item.written).into_iter().next();
        let Some(Sample::Text(text)) = plain else { continue };
        match test {
            Test::Text(TextTest { shape: Shape::StartsWith, .. }) if text.len() > start.len() => {
                start = text;
            }
            Test::Text(TextTest { shape: Shape::EndsWith, .. }) if text.len() > end.len() => {
                end = text;
            }
            Test::Text(TextTest { shape: Shape::StartsWith | Shape::EndsWith, .. }) => {}
            _ => middle.push(text),
        }
    }
    let parts = [start].into_iter().chain(middle).chain([end]);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}
