//! The fewest items that would have to come out otherwise for a rule to hold.
//!
//! Items are taken as independent of each other. Where no item stands in the condition twice, the
//! answer follows from the condition's shape; else it is searched for, smallest first, up to a bound.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::ir::{Expr, ItemId, Rule};

use super::Look;

/// What would have to be different.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// At least one.
    pub items: Vec<Flip>,
    /// Whether it is certain that no fewer items would do.
    pub is_smallest: bool,
}

/// An item that would have to come out otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flip {
    #[serde(flatten)]
    pub look: Look,
    /// Whether it would have to hold, or not to.
    pub must_hold: bool,
}

/// The items by number, before anybody looks at them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Smallest {
    pub(super) items: Vec<(ItemId, bool)>,
    is_smallest: bool,
}

impl Smallest {
    pub(super) fn with_views(self, look: impl Fn(ItemId) -> Look) -> Change {
        let flip = |(item, must_hold)| Flip { look: look(item), must_hold };
        let items = self.items.into_iter().map(flip).collect();
        Change { items, is_smallest: self.is_smallest }
    }
}

/// Parts of conditions that the search may look at in all.
const STEPS_MAX: usize = 2_000_000;

/// The fewest verdicts that must change for the rule to hold; `None` when no change helps or none was
/// found.
pub(super) fn smallest(rule: &Rule, verdicts: &[bool]) -> Option<Smallest> {
    let expr = rule.flat();
    let mut used = Vec::new();
    list(&expr, &mut used);
    let mut different = used.clone();
    different.sort_unstable();
    different.dedup();
    let is_read_once = different.len() == used.len();
    let by_shape = flips(&expr, verdicts, true).filter(|set| {
        let mut changed = verdicts.to_vec();
        set.iter().for_each(|item| changed[*item as usize] = !changed[*item as usize]);
        holds(&expr, &changed)
    });
    let (set, is_smallest) = if is_read_once {
        (by_shape?, true)
    } else {
        let bound = by_shape.as_ref().map_or(different.len(), |set| set.len().saturating_sub(1));
        let mut search = Search { expr: &expr, steps: STEPS_MAX / used.len().max(1) };
        match search.below(&different, verdicts, bound) {
            Some(Some(fewer)) => (fewer, true),
            Some(None) => (by_shape?, true),
            None => (by_shape?, false),
        }
    };
    let items = set.into_iter().map(|item| (ItemId(item), !verdicts[item as usize])).collect();
    Some(Smallest { items, is_smallest })
}

fn list(expr: &Expr, used: &mut Vec<u32>) {
    match expr {
        Expr::Item(id) => used.push(id.0),
        Expr::Not(inner) => list(inner, used),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| list(part, used)),
        Expr::True | Expr::False | Expr::Named(_) => {}
    }
}

fn holds(expr: &Expr, verdicts: &[bool]) -> bool {
    match expr {
        Expr::True => true,
        // `flat` left no names.
        Expr::False | Expr::Named(_) => false,
        Expr::Item(id) => verdicts[id.0 as usize],
        Expr::Not(inner) => !holds(inner, verdicts),
        Expr::And(parts) => parts.iter().all(|part| holds(part, verdicts)),
        Expr::Or(parts) => parts.iter().any(|part| holds(part, verdicts)),
    }
}

/// The items to change for the expression to become `wanted`, by its shape alone.
fn flips(expr: &Expr, verdicts: &[bool], wanted: bool) -> Option<BTreeSet<u32>> {
    match expr {
        Expr::True | Expr::False => ((*expr == Expr::True) == wanted).then(BTreeSet::new),
        Expr::Named(_) => None,
        Expr::Item(id) if verdicts[id.0 as usize] == wanted => Some(BTreeSet::new()),
        Expr::Item(id) => Some(BTreeSet::from([id.0])),
        Expr::Not(inner) => flips(inner, verdicts, !wanted),
        Expr::And(parts) | Expr::Or(parts) => {
            let each = parts.iter().map(|part| flips(part, verdicts, wanted));
            let needs_all = matches!(expr, Expr::And(_)) == wanted;
            if needs_all {
                each.collect::<Option<Vec<_>>>().map(|sets| sets.into_iter().flatten().collect())
            } else {
                each.flatten().min_by_key(BTreeSet::len)
            }
        }
    }
}

/// Tries sets of items, small ones first.
struct Search<'e> {
    expr: &'e Expr,
    /// How many more sets may be tried.
    steps: usize,
}

impl Search<'_> {
    /// A smallest set of up to `size_max` items, or that there is none. `None` when it took too long.
    fn below(
        &mut self,
        items: &[u32],
        verdicts: &[bool],
        size_max: usize,
    ) -> Option<Option<BTreeSet<u32>>> {
        for size in 1..=size_max {
            let mut changed = verdicts.to_vec();
            let mut taken = Vec::with_capacity(size);
            if self.try_all(items, size, &mut changed, &mut taken)? {
                return Some(Some(taken.into_iter().collect()));
            }
        }
        Some(None)
    }

    /// Whether changing `size` more of the items makes the expression hold; `taken` are those.
    fn try_all(
        &mut self,
        items: &[u32],
        size: usize,
        changed: &mut [bool],
        taken: &mut Vec<u32>,
    ) -> Option<bool> {
        if size == 0 {
            self.steps = self.steps.checked_sub(1)?;
            return Some(holds(self.expr, changed));
        }
        for (at, item) in items.iter().enumerate() {
            let slot = *item as usize;
            changed[slot] = !changed[slot];
            taken.push(*item);
            if self.try_all(&items[at + 1..], size - 1, changed, taken)? {
                return Some(true);
            }
            taken.pop();
            changed[slot] = !changed[slot];
        }
        Some(false)
    }
}
