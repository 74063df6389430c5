//! The slow, obvious evaluator: the meaning of a rule, spelled out.
//!
//! It searches every field anew in the document by its own path search, not through [`event::Slots`],
//! and shares nothing between rules. The fast matcher must agree with it on everything.

use event::{Doc, NodeId, Value};

use crate::engine::Bound;
use crate::ir::{Expr, FieldRef, Item, Rule, Shape, Test};
use crate::number::Number;
use crate::value::Seen;

/// Whether the rule holds for the document. `bound` says which paths its fields may be found at.
pub fn holds(rule: &Rule, bound: &Bound, doc: &Doc<'_>) -> bool {
    expr_holds(rule, &rule.expr, bound, doc)
}

/// Whether a part of a rule's condition holds.
pub fn expr_holds(rule: &Rule, expr: &Expr, bound: &Bound, doc: &Doc<'_>) -> bool {
    match expr {
        Expr::True => true,
        Expr::False => false,
        Expr::Item(id) => item_holds(rule.item(*id), bound, doc),
        Expr::Named(id) => expr_holds(rule, &rule.detection(*id).expr, bound, doc),
        Expr::Not(inner) => !expr_holds(rule, inner, bound, doc),
        Expr::And(parts) => parts.iter().all(|part| expr_holds(rule, part, bound, doc)),
        Expr::Or(parts) => parts.iter().any(|part| expr_holds(rule, part, bound, doc)),
    }
}

/// Whether any test of the item holds for any value of its field.
pub fn item_holds(item: &Item, bound: &Bound, doc: &Doc<'_>) -> bool {
    let Some(name) = &item.field else {
        return doc.leaves().any(|leaf| {
            let looked_at =
                matches!(leaf, Value::Str(_) | Value::I64(_) | Value::U64(_) | Value::F64(_));
            looked_at && {
                let seen = Seen::new(leaf);
                item.tests.iter().any(|test| test.holds(&seen))
            }
        });
    };
    let field = find(doc, &bound.field(name).candidates);
    let seen: Vec<Seen<'_>> = field.values.iter().map(|node| Seen::new(doc.value(*node))).collect();
    item.tests.iter().any(|test| match test {
        Test::Null => seen.is_empty(),
        Test::Exists(wanted) => field.present == *wanted,
        Test::FieldRef(reference) => reference_holds(reference, &seen, bound, doc),
        other => seen.iter().any(|value| other.holds(value)),
    })
}

/// Whether some of the values compare as wanted to some value of the other field.
pub(crate) fn reference_holds(
    r: &FieldRef,
    values: &[Seen<'_>],
    bound: &Bound,
    doc: &Doc<'_>,
) -> bool {
    let others = find(doc, &bound.field(&r.field).candidates);
    others.values.iter().map(|node| Seen::new(doc.value(*node))).any(|other| {
        values.iter().any(|value| match numbers(value, &other) {
            Some((a, b)) if r.shape == Shape::Equals => a == b,
            _ => match (value.text(r.cased), other.text(r.cased)) {
                (Some(text), Some(literal)) => r.shape.holds(text, literal),
                _ => false,
            },
        })
    })
}

fn numbers(a: &Seen<'_>, b: &Seen<'_>) -> Option<(Number, Number)> {
    Some((a.number()?, b.number()?))
}

/// What a record holds for a field.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Any candidate is there, if only as null or an empty array.
    pub present: bool,
    /// Values of the first candidate that has any, arrays flattened, nulls left out.
    pub values: Vec<NodeId>,
}

/// Looks a field up: the first candidate path that has a value other than null wins.
pub fn find(doc: &Doc<'_>, candidates: &[String]) -> Found {
    let mut found = Found::default();
    for path in candidates {
        let mut ends = Vec::new();
        search(doc, Doc::ROOT, path, 0, &mut ends);
        found.present |= !ends.is_empty();
        for end in ends {
            flatten(doc, end, 0, &mut found.values);
        }
        if !found.values.is_empty() {
            break;
        }
    }
    found
}

/// Deeper arrays of arrays are not looked into; the same bound as [`event::Slots`].
const ARRAY_DEPTH_MAX: u32 = 32;

/// Every place where `path` ends. A member may bear one name of the path or several joined by dots.
fn search(doc: &Doc<'_>, node: NodeId, path: &str, arrays: u32, ends: &mut Vec<NodeId>) {
    match doc.value(node) {
        Value::Object(object) => {
            for (key, value) in doc.members(object) {
                if key == path {
                    ends.push(value);
                } else if let Some(rest) =
                    path.strip_prefix(key).and_then(|rest| rest.strip_prefix('.'))
                {
                    search(doc, value, rest, arrays, ends);
                }
            }
        }
        Value::Array(array) if arrays < ARRAY_DEPTH_MAX => {
            for item in doc.items(array) {
                search(doc, item, path, arrays + 1, ends);
            }
        }
        _ => {}
    }
}

fn flatten(doc: &Doc<'_>, node: NodeId, arrays: u32, values: &mut Vec<NodeId>) {
    match doc.value(node) {
        Value::Null => {}
        Value::Array(array) if arrays < ARRAY_DEPTH_MAX => {
            for item in doc.items(array) {
                flatten(doc, item, arrays + 1, values);
            }
        }
        Value::Array(_) => {}
        _ => values.push(node),
    }
}

#[cfg(test)]
mod tests {
    use event::{FieldsBuilder, Parser, Slots};

    use super::*;

    /// The oracle's search and the one walk of `event` find the same.
    fn check(json: &str, candidates: &[&str]) {
        let mut builder = FieldsBuilder::default();
        let id = builder.field(candidates);
        let fields = builder.build();
        let mut parser = Parser::default();
        let doc = parser.json(json.as_bytes()).unwrap();
        let mut slots = Slots::default();
        slots.fill(&fields, &doc);
        let candidates: Vec<String> = candidates.iter().map(|c| (*c).to_owned()).collect();
        let found = find(&doc, &candidates);
        let nodes: Vec<_> = slots.nodes(id).collect();
        assert_eq!((found.present, &found.values), (slots.present(id), &nodes), "{json}");
    }

    #[test]
    fn finds_what_the_walk_finds() {
        for json in [
            r#"{"a":{"b":{"c":1}}}"#,
            r#"{"a.b.c":1}"#,
            r#"{"a":{"b.c":[1,2]}}"#,
            r#"{"a.b":{"c":1},"a":{"b":{"c":2}}}"#,
            r#"{"a":[{"b":{"c":1}},{"b":[{"c":[null,3]}]}]}"#,
            r#"{"a":{"b":{"c":null}},"x":7}"#,
            r#"{"a":{"b":{"c":[]}},"x":[7,[8]]}"#,
            r#"{"x":1,"x":2}"#,
            r#"[{"x":1},{"x":2}]"#,
            r#"{"a":{"b":{"c":{"d":1}}}}"#,
            "{}",
            "3",
        ] {
            check(json, &["a.b.c"]);
            check(json, &["a.b.c", "x"]);
            check(json, &["x", "a.b.c", "a.b"]);
        }
    }
}
