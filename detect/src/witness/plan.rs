//! Ways to make a condition true, or false: which items shall hold, and which shall not.

use std::collections::BTreeMap;

use crate::ir::{Expr, ItemId, Rule, Test};

/// By item: whether it shall hold. Items that are not there do not matter.
pub(super) type Literals = BTreeMap<u32, bool>;

/// Shows one way after the other to make the expression `wanted`, until `visit` says that it has enough.
pub(super) fn each(
    rule: &Rule,
    expr: &Expr,
    wanted: bool,
    visit: &mut dyn FnMut(&Literals) -> bool,
) {
    let mut steps = STEPS_MAX;
    let mut planner = Planner { rule, visit, steps: &mut steps, depth: 0 };
    planner.go(vec![(expr, wanted)], Vec::new(), Literals::new());
}

/// Choices within each other; more would need a large stack.
const DEPTH_MAX: usize = 400;
/// Parts of conditions that are looked at.
const STEPS_MAX: usize = 1_000_000;

type Goal<'e> = (&'e Expr, bool);

struct Planner<'p> {
    rule: &'p Rule,
    visit: &'p mut dyn FnMut(&Literals) -> bool,
    steps: &'p mut usize,
    depth: usize,
}

impl Planner<'_> {
    /// Reaches all goals; of `choices` one part each has to be reached. True when there is enough.
    fn go<'e>(
        &mut self,
        mut goals: Vec<Goal<'e>>,
        mut choices: Vec<Goal<'e>>,
        mut literals: Literals,
    ) -> bool {
        while let Some((expr, wanted)) = goals.pop() {
            *self.steps = self.steps.saturating_sub(1);
            match expr {
                Expr::True | Expr::False if (*expr == Expr::True) == wanted => {}
                // The condition is flat: names do not occur.
                Expr::True | Expr::False | Expr::Named(_) => return false,
                Expr::Item(id) => {
                    if *literals.entry(id.0).or_insert(wanted) != wanted {
                        return false;
                    }
                }
                Expr::Not(inner) => goals.push((inner, !wanted)),
                Expr::And(parts) if wanted => goals.extend(parts.iter().map(|p| (p, true))),
                Expr::Or(parts) if !wanted => goals.extend(parts.iter().map(|p| (p, false))),
                Expr::And(_) | Expr::Or(_) => choices.push((expr, wanted)),
            }
        }
        // What shall hold comes first: it says which fields there are.
        let next = choices.iter().position(|(_, wanted)| *wanted);
        let next = next.or_else(|| (!choices.is_empty()).then_some(0));
        let Some(next) = next else { return (self.visit)(&literals) };
        let (expr, wanted) = choices.remove(next);
        let mut parts: Vec<&Expr> = match expr {
            Expr::And(parts) | Expr::Or(parts) => parts.iter().collect(),
            _ => Vec::new(),
        };
        if !wanted {
            parts.sort_by_cached_key(|part| self.trouble(part, &literals));
        }
        for part in parts {
            if *self.steps == 0 || self.depth == DEPTH_MAX {
                return true;
            }
            self.depth += 1;
            let is_enough = self.go(vec![(part, wanted)], choices.clone(), literals.clone());
            self.depth -= 1;
            if is_enough {
                return true;
            }
        }
        false
    }

    /// How hard it is to keep a part from holding: what is absent holds least.
    fn trouble(&self, part: &Expr, literals: &Literals) -> u32 {
        let Expr::Item(id) = part else { return 2 };
        let item = self.rule.item(*id);
        let holds_absent = |test: &Test| matches!(test, Test::Null | Test::Exists(false));
        let is_used = |(other, holds): (&u32, &bool)| {
            *holds && self.rule.item(ItemId(*other)).field == item.field
        };
        match item.tests.iter().any(holds_absent) {
            true => 3,
            false => u32::from(literals.iter().any(is_used)),
        }
    }
}
