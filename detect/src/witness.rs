//! Events made from a rule: one that it matches, and one that it nearly matches. They show what a rule is
//! after, and test every rule against both engines.
//!
//! [`plan`] chooses which items shall hold and which not, [`solve`] finds values for every field from
//! [`sample`]s of the tests, [`build`] writes the event. Nothing is believed: an event is given out
//! only when the oracle says of it what it is meant to show. So a rule may have no witness that is
//! found, but never a wrong one.

mod build;
mod near;
mod pattern;
mod plan;
mod sample;
mod solve;

use event::Parser;
use serde::Serialize;

use crate::engine::Bound;
use crate::explain;
use crate::ir::{ItemId, Rule, Test};
use crate::oracle;

use plan::Literals;
use solve::{Hints, Solver};

/// Two events that show a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Witness {
    /// JSON of an event that the rule matches.
    pub fires: String,
    /// None when whatever was tried matches too, as with a rule that always holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearly: Option<Near>,
}

/// An event that the rule does not match for want of one item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Near {
    /// Its JSON.
    pub event: String,
    /// The item that comes out wrongly, as the rule writes it.
    pub asks: String,
    /// Whether that item would have to hold for the rule to match, or not to.
    pub must_hold: bool,
}

/// Ways to satisfy a condition that are tried.
const PLANS_MAX: usize = 300;

/// Makes the events. `bound` has the rule's fields; `place` says at which path to put a field.
/// `None` when no event that the rule matches was found.
pub fn witness(rule: &Rule, bound: &Bound, place: &dyn Fn(&str) -> String) -> Option<Witness> {
    let expr = rule.flat();
    let maker = Maker { rule, bound, place };
    let (mut found, mut left) = (None, PLANS_MAX);
    plan::each(rule, &expr, true, &mut |literals| {
        found = maker.fires(literals);
        left -= 1;
        found.is_some() || left == 0
    });
    let (literals, values, fires) = found?;
    let nearly = maker.nearly(&literals, &values);
    Some(Witness { fires, nearly })
}

struct Maker<'m> {
    rule: &'m Rule,
    bound: &'m Bound,
    place: &'m dyn Fn(&str) -> String,
}

impl Maker<'_> {
    fn fires(&self, literals: &Literals) -> Option<(Literals, solve::Values, String)> {
        let values = Solver::new(self.rule, literals).solve(&Hints::default())?;
        let event = build::event(self.rule, &values, self.place);
        self.holds(&event)?.then(|| (literals.clone(), values, event))
    }

    /// Turns one item after the other around, and takes the event that is closest to a match. Where that
    /// makes another alternative hold, looks for what makes none of them hold.
    fn nearly(&self, literals: &Literals, values: &solve::Values) -> Option<Near> {
        let mut best: Option<(usize, Near)> = None;
        let mut offer = |literals: &Literals, hints: &Hints| {
            if let Some((needed, near)) = self.misses(literals, hints)
                && best.as_ref().is_none_or(|(fewest, _)| needed < *fewest)
            {
                best = Some((needed, near));
            }
            best.as_ref().is_some_and(|(fewest, _)| *fewest == 1)
        };
        // What the rule looks for is more telling than what it leaves out.
        let (wanted, barred): (Vec<_>, Vec<_>) = literals.iter().partition(|(_, holds)| **holds);
        let turns = wanted.into_iter().chain(barred).any(|(item, holds)| {
            let mut turned = literals.clone();
            turned.insert(*item, !holds);
            let hints =
                if *holds { self.close_to(ItemId(*item), values) } else { Hints::default() };
            offer(&turned, &hints)
        });
        if !turns {
            let mut left = PLANS_MAX;
            plan::each(self.rule, &self.rule.flat(), false, &mut |literals| {
                left -= 1;
                offer(literals, &Hints::default()) || left == 0
            });
        }
        best.map(|(_, near)| near)
    }

    /// Values for the field of the item that are nearly those that it has; what it is compared with stays.
    fn close_to(&self, item: ItemId, values: &solve::Values) -> Hints {
        let item = self.rule.item(item);
        let referred = item.tests.iter().filter_map(|test| match test {
            Test::FieldRef(reference) => Some(Some(reference.field.clone())),
            _ => None,
        });
        let stays = |field: Option<String>| {
            let values = values.get(&field)?.values.clone();
            Some((field, values))
        };
        let mut hints: Hints = referred.filter_map(stays).collect();
        hints.insert(item.field.clone(), near::close_to(values.get(&item.field)));
        hints
    }

    /// Whether the oracle says that the rule matches. `None` if the event is not JSON: a bug of ours.
    fn holds(&self, event: &str) -> Option<bool> {
        let mut parser = Parser::default();
        let doc = parser.json(event.as_bytes()).ok()?;
        Some(oracle::holds(self.rule, self.bound, &doc))
    }

    /// An event in which the items come out so, and how many of them are wanting for a match. `None` if
    /// there is none, or the rule matches it.
    fn misses(&self, literals: &Literals, hints: &Hints) -> Option<(usize, Near)> {
        let values = Solver::new(self.rule, literals).solve(hints)?;
        let event = build::event(self.rule, &values, self.place);
        let mut parser = Parser::default();
        let doc = parser.json(event.as_bytes()).ok()?;
        let change = explain::explain(self.rule, self.bound, &doc).change?;
        let count = change.items.len();
        let explain::Flip { look, must_hold } = change.items.into_iter().next()?;
        Some((count, Near { event, asks: look.asks, must_hold }))
    }
}

#[cfg(test)]
mod tests;
