//! The rule IR: what a Sigma rule means, with nothing left to interpret.
//!
//! Stream matcher, oracle, SQL, `explain`, field lists and witnesses are all derived from this one
//! form. The parser has resolved every modifier: a value with `windash`, `base64offset` or `expand`
//! has become several plain alternatives, `all` a conjunction, `neq` a negation.
//!
//! # Meaning
//! An [`Item`] holds when **any** of its tests holds for **any** value of its field (arrays are
//! transparent). [`Test::Null`], [`Test::Exists`] and [`Test::FieldRef`] look at the field as a whole;
//! every other test looks at one value at a time (see [`Test::holds`]) and never holds for an absent
//! field. An item without field (a keyword) looks at every scalar of the record but null and booleans.
//! `Expr` is plain two-valued logic, so negation of an item on an absent field is true.

mod correlation;
mod filter;
mod pattern;
mod quantity;
mod regex;
mod test;

use std::sync::Arc;

use event::alert::RuleInfo;
use serde::{Deserialize, Serialize};

pub use correlation::{
    Alias, Correlation, Kind, MEMBERS_MAX, Member, Names, Operator, Presence, Term, Threshold,
};
pub use filter::{AppliedFilter, Filter, FilteredRules};
pub use pattern::{Part, Pattern};
pub use quantity::Quantity;
pub use regex::{REGEX_BYTES_MAX, REGEX_LENGTH_MAX, Regex, RegexFault, RegexFlags};
pub use test::{Comparison, FieldRef, Shape, Test, TextTest, TimePart, TimeTest};

/// Where something is written: line and column from 1, the column in characters.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// Index into [`Rule::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub u32);

/// Index into [`Rule::detections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DetectionId(pub u32);

/// The log source a rule asks for. `None` does not care. Values are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RuleLogSource {
    pub category: Option<String>,
    pub product: Option<String>,
    pub service: Option<String>,
    /// What must be configured for the events to exist; for people.
    pub definition: Option<String>,
}

/// One rule, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Rule {
    pub info: RuleInfo,
    pub log_source: RuleLogSource,
    pub meta: RuleMeta,
    /// Every test on a field or keyword, in the order written.
    pub items: Vec<Item>,
    /// The named parts of `detection`, in the order written, `condition` left out.
    pub detections: Vec<Detection>,
    /// The conditions as written; several are alternatives.
    pub conditions: Vec<Condition>,
    /// The rule holds when this holds: all conditions joined by or, and the filters that were applied.
    /// Refers to detections by [`Expr::Named`]; see [`Rule::flat`] for the form without names.
    pub expr: Expr,
    /// The filters that were ANDed into `expr`, their items and detections being the rule's last ones.
    pub filters: Vec<AppliedFilter>,
    /// The file as it was given to the loader.
    pub file: Arc<str>,
    /// Where its document begins.
    pub at: Position,
}

/// What a rule says about itself beyond what travels with its alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleMeta {
    /// The name that correlations may refer to.
    pub name: Option<String>,
    /// `stable`, `test`, `experimental`, `deprecated` or `unsupported`.
    pub status: Option<String>,
    pub author: Option<String>,
    pub license: Option<String>,
    /// `YYYY-MM-DD`, as written.
    pub date: Option<String>,
    pub modified: Option<String>,
    pub taxonomy: Option<String>,
    pub scope: Vec<String>,
    /// Fields worth showing with an alert.
    pub fields: Vec<String>,
    pub related: Vec<Related>,
    /// Every attribute that the specification does not define, as it stands.
    pub custom: serde_json::Map<String, serde_json::Value>,
}

/// A rule that this one has to do with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    pub id: String,
    /// `derived`, `obsolete`, `merged`, `renamed`, `similar` or `correlation`.
    pub kind: String,
}

/// A named part of `detection`.
#[derive(Clone, Debug)]
pub struct Detection {
    pub name: String,
    pub expr: Expr,
    pub at: Position,
}

/// One condition as written, and what it means.
#[derive(Clone, Debug)]
pub struct Condition {
    pub text: String,
    pub expr: Expr,
    pub at: Position,
}

/// A Boolean program over items. `And([])` does not occur: see [`Expr::True`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    True,
    False,
    Item(ItemId),
    /// The detection of that number; occurs in conditions only, never inside a detection.
    Named(DetectionId),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// One line of a selection: a field and what is asked of it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The field in the rule's spelling; `None` is a keyword.
    pub field: Option<String>,
    /// Alternatives, at least one.
    pub tests: Vec<Test>,
    /// The key with its modifiers as written, `CommandLine|contains|all`.
    pub key: String,
    /// The values as written that this item stands for, for `explain`.
    pub written: Vec<String>,
    /// Where the key is written; of a bare keyword, where that is.
    pub key_at: Position,
    /// Where its (first) value is written.
    pub at: Position,
}

impl Expr {
    /// The conjunction, without needless nesting.
    pub fn all(parts: Vec<Expr>) -> Expr {
        join(parts, Expr::True, Expr::False, Expr::And)
    }

    /// The disjunction, without needless nesting.
    pub fn any(parts: Vec<Expr>) -> Expr {
        join(parts, Expr::False, Expr::True, Expr::Or)
    }

    /// The negation, without needless nesting.
    pub fn negate(self) -> Expr {
        match self {
            Expr::True => Expr::False,
            Expr::False => Expr::True,
            Expr::Not(inner) => *inner,
            other => Expr::Not(Box::new(other)),
        }
    }
}

/// `unit` changes nothing, `zero` decides alone.
fn join(parts: Vec<Expr>, unit: Expr, zero: Expr, make: fn(Vec<Expr>) -> Expr) -> Expr {
    let mut flat = Vec::with_capacity(parts.len());
    let conjunction = unit == Expr::True;
    for part in parts {
        match part {
            part if part == zero => return zero,
            part if part == unit => {}
            Expr::And(inner) if conjunction => flat.extend(inner),
            Expr::Or(inner) if !conjunction => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => unit,
        1 => flat.remove(0),
        _ => make(flat),
    }
}

impl Rule {
    /// The item of that number.
    pub fn item(&self, id: ItemId) -> &Item {
        &self.items[id.0 as usize]
    }

    /// The detection of that number.
    pub fn detection(&self, id: DetectionId) -> &Detection {
        &self.detections[id.0 as usize]
    }

    /// The file in which an item is written: the rule's own or that of a filter.
    pub fn file_of(&self, item: usize) -> &Arc<str> {
        let from = self.filters.iter().rev().find(|f| f.first_item as usize <= item);
        from.map_or(&self.file, |filter| &filter.file)
    }

    /// [`Rule::expr`] with every detection's meaning in place of its name.
    pub fn flat(&self) -> Expr {
        self.inline(&self.expr)
    }

    fn inline(&self, expr: &Expr) -> Expr {
        match expr {
            Expr::Named(id) => self.detection(*id).expr.clone(),
            Expr::Not(inner) => self.inline(inner).negate(),
            Expr::And(parts) => Expr::all(parts.iter().map(|p| self.inline(p)).collect()),
            Expr::Or(parts) => Expr::any(parts.iter().map(|p| self.inline(p)).collect()),
            Expr::True | Expr::False | Expr::Item(_) => expr.clone(),
        }
    }

    /// Every field the rule reads, referenced ones included, in order of first use, each once.
    pub fn field_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for item in &self.items {
            let referenced = item.tests.iter().filter_map(|t| match t {
                Test::FieldRef(r) => Some(&*r.field),
                _ => None,
            });
            for name in item.field.as_deref().into_iter().chain(referenced) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

#[cfg(test)]
mod tests;
