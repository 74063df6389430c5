//! Why a rule holds for an event or does not: its condition as a tree with every verdict, what the event
//! has where the rule looks, and the fewest items that would have to come out otherwise for the rule
//! to hold.
//!
//! Verdicts are the oracle's; this module must not decide one itself. Values come from the event, so
//! whoever shows an explanation shows text that others wrote.

mod change;
mod text;

use event::{Doc, NodeId, Value};
use serde::Serialize;

use crate::engine::Bound;
use crate::ir::{Expr, Item, ItemId, Position, Rule, Test};
use crate::oracle;
use crate::value::Seen;

pub use change::{Change, Flip};

/// What a rule says to one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The rule's id.
    pub rule: String,
    pub title: String,
    pub holds: bool,
    /// The conditions as written; several are alternatives.
    pub conditions: Vec<String>,
    pub tree: Part,
    /// Of a rule that does not hold: what would have to be different. `None` when nothing would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// A part of the condition and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    #[serde(flatten)]
    pub what: What,
    pub holds: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    Constant,
    All,
    Any,
    Not,
    /// A named part of the rule's detection, or of a filter on it.
    Selection {
        name: String,
    },
    Item(Box<Look>),
}

/// One line of a selection, and what the event has for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// Its number in the rule.
    pub item: u32,
    /// As the rule writes it, long lists cut: `eventName|contains: [Delete, Stop]`.
    pub asks: String,
    /// Where that is written.
    pub file: String,
    pub at: Position,
    /// `None` is a keyword.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<View>,
    /// Fields that it is compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<View>,
    /// Of a keyword: the values that hold it, at most [`VALUES_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Shown>,
}

/// A field as the event has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// In the rule's spelling.
    pub name: String,
    /// Where it was looked for, best first.
    pub candidates: Vec<String>,
    /// The candidate that the values are from; of a field without values, one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it is there, if only as null or an empty array.
    pub is_present: bool,
    /// At most [`VALUES_MAX`].
    pub values: Vec<Shown>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// A value, as people can read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Its JSON, cut after [`VALUE_CHARS_MAX`] characters.
    pub json: String,
    /// Whether the item holds because of it.
    pub holds: bool,
}

/// More values of a field than this are counted, not shown.
pub const VALUES_MAX: usize = 8;
/// Longer values are cut.
pub const VALUE_CHARS_MAX: usize = 160;

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature is serde's
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Explains a rule on a document. `bound` has the rule's fields.
pub fn explain(rule: &Rule, bound: &Bound, doc: &Doc<'_>) -> Explanation {
    let verdicts: Vec<bool> =
        rule.items.iter().map(|item| oracle::item_holds(item, bound, doc)).collect();
    let event = Event { rule, bound, doc, verdicts: &verdicts };
    let tree = event.part(&rule.expr);
    let change = if tree.holds { None } else { change::smallest(rule, &verdicts) };
    Explanation {
        rule: rule.info.id.clone(),
        title: rule.info.title.clone(),
        holds: tree.holds,
        conditions: rule.conditions.iter().map(|c| c.text.clone()).collect(),
        tree,
        change: change.map(|change| change.with_views(|item| event.look(item))),
    }
}

struct Event<'e> {
    rule: &'e Rule,
    bound: &'e Bound,
    doc: &'e Doc<'e>,
    /// By item.
    verdicts: &'e [bool],
}

impl Event<'_> {
    fn part(&self, expr: &Expr) -> Part {
        let (what, parts): (What, Vec<Part>) = match expr {
            Expr::True | Expr::False => (What::Constant, Vec::new()),
            Expr::And(parts) => (What::All, parts.iter().map(|p| self.part(p)).collect()),
            Expr::Or(parts) => (What::Any, parts.iter().map(|p| self.part(p)).collect()),
            Expr::Not(inner) => (What::Not, vec![self.part(inner)]),
            Expr::Named(id) => {
                let detection = self.rule.detection(*id);
                let name = detection.name.clone();
                (What::Selection { name }, vec![self.part(&detection.expr)])
            }
            Expr::Item(id) => (What::Item(Box::new(self.look(*id))), Vec::new()),
        };
        let mut each = parts.iter().map(|part| part.holds);
        let holds = match (&what, expr) {
            (What::Constant, _) => *expr == Expr::True,
            (_, Expr::Item(id)) => self.verdicts[id.0 as usize],
            (What::All, _) => each.all(|holds| holds),
            (What::Not, _) => !each.any(|holds| holds),
            _ => each.any(|holds| holds),
        };
        Part { what, holds, parts }
    }

    fn look(&self, id: ItemId) -> Look {
        let item = self.rule.item(id);
        let others = item.tests.iter().filter_map(|test| match test {
            Test::FieldRef(reference) => Some(self.view(&reference.field, &|_| false)),
            _ => None,
        });
        let holds = |node: NodeId| self.holds_for(item, node);
        Look {
            item: id.0,
            asks: asks(item),
            file: self.rule.file_of(id.0 as usize).to_string(),
            at: item.at,
            field: item.field.as_deref().map(|name| self.view(name, &holds)),
            others: others.collect(),
            found: if item.field.is_none() { self.keywords(item) } else { Vec::new() },
        }
    }

    /// Whether some test of the item holds because of this value of its field.
    fn holds_for(&self, item: &Item, node: NodeId) -> bool {
        let seen = Seen::new(self.doc.value(node));
        item.tests.iter().any(|test| match test {
            Test::FieldRef(reference) => {
                let one = std::slice::from_ref(&seen);
                oracle::reference_holds(reference, one, self.bound, self.doc)
            }
            other => other.holds(&seen),
        })
    }

    fn view(&self, name: &str, holds: &dyn Fn(NodeId) -> bool) -> View {
        let candidates = &self.bound.field(name).candidates;
        let each = || candidates.iter().map(|path| (path, self.find(path)));
        let used = each().find(|(_, found)| !found.values.is_empty());
        let used = used.or_else(|| each().find(|(_, found)| found.present));
        let (path, found) = used.map_or((None, oracle::Found::default()), |(p, f)| (Some(p), f));
        let shown = found.values.iter().take(VALUES_MAX);
        View {
            name: name.to_owned(),
            candidates: candidates.clone(),
            path: path.cloned(),
            is_present: found.present,
            values: shown.map(|n| Shown { json: self.json(*n), holds: holds(*n) }).collect(),
            more: found.values.len().saturating_sub(VALUES_MAX),
        }
    }

    fn find(&self, path: &String) -> oracle::Found {
        oracle::find(self.doc, std::slice::from_ref(path))
    }

    fn json(&self, node: NodeId) -> String {
        let mut bytes = Vec::new();
        self.doc.write_json(node, &mut bytes);
        cut(&String::from_utf8_lossy(&bytes))
    }

    /// The values that make a keyword hold.
    fn keywords(&self, item: &Item) -> Vec<Shown> {
        let holding = self.doc.leaves().filter(|leaf| {
            let seen = Seen::new(*leaf);
            let is_looked_at = !matches!(leaf, Value::Null | Value::Bool(_));
            is_looked_at && item.tests.iter().any(|test| test.holds(&seen))
        });
        let json = |leaf: Value<'_>| match leaf {
            Value::Str(text) => serde_json::Value::from(text).to_string(),
            other => crate::value::text_of(other).unwrap_or_default(),
        };
        holding.take(VALUES_MAX).map(|v| Shown { json: cut(&json(v)), holds: true }).collect()
    }
}

/// A line of a selection as the rule writes it, cut.
fn asks(item: &Item) -> String {
    const VALUES_SHOWN: usize = 5;
    let values = item.written.iter().take(VALUES_SHOWN).map(|value| cut(value));
    let mut values = values.collect::<Vec<_>>().join(", ");
    if item.written.len() > VALUES_SHOWN {
        values.push_str(&format!(", … {} more", item.written.len() - VALUES_SHOWN));
    }
    if item.written.len() > 1 {
        values = format!("[{values}]");
    } else if values.is_empty() && item.tests != [Test::Null] {
        values = "''".to_owned();
    }
    match item.key.as_str() {
        "" => values,
        key => format!("{key}: {values}"),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
