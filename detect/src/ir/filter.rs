//! Filters: what somebody knows about their own place, ANDed into the rules it is about. A filter has
//! no meaning of its own at evaluation: applying it changes the rule, so that everything derived from
//! the rule sees it.

use std::sync::Arc;

use super::{Condition, Detection, DetectionId, Expr, Item, ItemId, Position, Rule, RuleLogSource};

/// A filter as read from its document.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Its UUID, or its file path where it has none.
    pub id: String,
    pub title: String,
    /// A rule is changed only when it asks for everything that is set here.
    pub log_source: RuleLogSource,
    pub rules: FilteredRules,
    pub items: Vec<Item>,
    pub detections: Vec<Detection>,
    pub condition: Condition,
    pub file: Arc<str>,
    pub at: Position,
}

/// Which rules a filter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilteredRules {
    /// All of its log source.
    Any,
    /// By id or name, and where that is written.
    Named(Vec<(String, Position)>),
}

/// What a rule remembers of a filter that was applied to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedFilter {
    pub id: String,
    pub title: String,
    /// The filter's condition over the rule's own items and detections; the rule holds only where it
    /// holds.
    pub expr: Expr,
    /// The condition as written.
    pub condition: String,
    /// The first of its items; they go on to the next filter's first or to the end.
    pub first_item: u32,
    pub file: Arc<str>,
    pub at: Position,
}

impl Filter {
    /// Whether the rule asks for everything that the filter's log source gives.
    pub fn fits(&self, rule: &Rule) -> bool {
        let fits = |mine: &Option<String>, its: &Option<String>| mine.is_none() || mine == its;
        let (mine, its) = (&self.log_source, &rule.log_source);
        fits(&mine.category, &its.category)
            && fits(&mine.product, &its.product)
            && fits(&mine.service, &its.service)
    }

    /// The rule with the filter's condition ANDed in.
    pub fn apply(&self, rule: &mut Rule) {
        let (items, detections) = (rule.items.len() as u32, rule.detections.len() as u32);
        rule.items.extend(self.items.iter().cloned());
        rule.detections.extend(self.detections.iter().map(|detection| Detection {
            name: format!("{}: {}", self.title, detection.name),
            expr: shifted(&detection.expr, items, detections),
            at: detection.at,
        }));
        let expr = shifted(&self.condition.expr, items, detections);
        rule.expr = Expr::all(vec![std::mem::replace(&mut rule.expr, Expr::True), expr.clone()]);
        rule.filters.push(AppliedFilter {
            id: self.id.clone(),
            title: self.title.clone(),
            expr,
            condition: self.condition.text.clone(),
            first_item: items,
            file: Arc::clone(&self.file),
            at: self.at,
        });
    }
}

/// The expression with its numbers moved behind those of another rule.
fn shifted(expr: &Expr, items: u32, detections: u32) -> Expr {
    let all = |parts: &[Expr]| parts.iter().map(|p| shifted(p, items, detections)).collect();
    match expr {
        Expr::True | Expr::False => expr.clone(),
        Expr::Item(id) => Expr::Item(ItemId(id.0 + items)),
        Expr::Named(id) => Expr::Named(DetectionId(id.0 + detections)),
        Expr::Not(inner) => Expr::Not(Box::new(shifted(inner, items, detections))),
        Expr::And(parts) => Expr::And(all(parts)),
        Expr::Or(parts) => Expr::Or(all(parts)),
    }
}
