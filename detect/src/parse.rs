//! Rule files to rules. Never fails: what cannot be used is a [`Diagnostic`], and one bad document
//! costs no other.

mod condition;
mod detection;
mod meta;
mod modifier;
mod report;
mod text;

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::ir::{Condition, Detection, Expr, Position, Rule};
use crate::yaml::{self, Kind, Node};

pub use detection::Placeholders;
use detection::Selections;
use report::Report;

/// Larger files than this are refused unread.
const FILE_BYTES_MAX: usize = 4 << 20;
/// A rule may have this many items, counted once for each place where they are used.
const RULE_SIZE_MAX: usize = 100_000;

/// Reads every document of a file. `path` is only for messages and for rules without id.
pub fn file(path: &str, text: &str, placeholders: &Placeholders) -> (Vec<Rule>, Vec<Diagnostic>) {
    let mut rules = Vec::new();
    let mut diagnostics = Vec::new();
    let shared: Arc<str> = path.into();
    if text.len() > FILE_BYTES_MAX {
        let mut report = Report::new(path);
        let message = format!("the file has more than {FILE_BYTES_MAX} bytes");
        report.error(Position { line: 1, column: 1 }, "", message, None);
        return (rules, report.diagnostics);
    }
    for (index, (at, document)) in yaml::documents(text).into_iter().enumerate() {
        let mut report = Report::new(path);
        match document {
            Err(problem) => report.error(at, &problem.span, problem.message, None),
            Ok(node) => {
                let id = if index == 0 { path.to_owned() } else { format!("{path}#{index}") };
                rules.extend(document_rule(&node, &shared, &id, placeholders, &mut report));
            }
        }
        report.diagnostics.sort_by_key(Diagnostic::position);
        diagnostics.append(&mut report.diagnostics);
    }
    (rules, diagnostics)
}

/// The rule of a document, if it is one and there is nothing wrong with it.
fn document_rule(
    doc: &Node,
    file: &Arc<str>,
    fallback_id: &str,
    placeholders: &Placeholders,
    report: &mut Report<'_>,
) -> Option<Rule> {
    if !matches!(doc.kind, Kind::Mapping(_)) {
        let message = format!("a rule is a map, not {}", doc.noun());
        report.error(doc.at, doc.text(), message, None);
        return None;
    }
    if other_document(doc, report) {
        return None;
    }
    let info = meta::info(doc, fallback_id, report);
    let meta = meta::meta(doc, report);
    let log_source = meta::log_source(doc, report);
    let detection = detection(doc, placeholders, report)?;
    if !report.failed && detection.size() > RULE_SIZE_MAX {
        report.error(doc.at, "", "the rule is too large", None);
    }
    if report.failed {
        return None;
    }
    Some(Rule {
        info,
        log_source: log_source?,
        meta,
        items: detection.items,
        detections: detection.detections,
        expr: Expr::any(detection.conditions.iter().map(|c| c.expr.clone()).collect()),
        conditions: detection.conditions,
        file: Arc::clone(file),
        at: doc.at,
    })
}

/// Documents that are no single-event rules. They are recognised and left out, aloud.
fn other_document(doc: &Node, report: &mut Report<'_>) -> bool {
    let key = |name: &str| doc.pairs().iter().find(|(key, _)| key.text() == name);
    for (name, what) in [("correlation", "a correlation"), ("filter", "a filter")] {
        if let Some((node, _)) = key(name) {
            let message = format!("{what} is not evaluated as single-event rule and was left out");
            report.warn(node.at, name, message, None);
            return true;
        }
    }
    if let Some((node, _)) = key("action") {
        let message = "`action` is version 1 of Sigma and no longer part of it";
        let hint = "write every document out in full, separated by `---`".to_owned();
        report.error(node.at, "action", message, Some(hint));
        return true;
    }
    false
}

struct Read {
    items: Vec<crate::ir::Item>,
    detections: Vec<Detection>,
    conditions: Vec<Condition>,
}

impl Read {
    /// How large the conditions are with every detection written out where it is used.
    fn size(&self) -> usize {
        let detections: Vec<usize> = self.detections.iter().map(|d| size(&d.expr, &[])).collect();
        self.conditions.iter().fold(0, |sum, c| sum.saturating_add(size(&c.expr, &detections)))
    }
}

fn size(expr: &Expr, detections: &[usize]) -> usize {
    match expr {
        Expr::True | Expr::False | Expr::Item(_) => 1,
        Expr::Named(id) => detections[id.0 as usize],
        Expr::Not(inner) => size(inner, detections),
        Expr::And(parts) | Expr::Or(parts) => {
            parts.iter().fold(1, |sum: usize, part| sum.saturating_add(size(part, detections)))
        }
    }
}

fn detection(doc: &Node, placeholders: &Placeholders, report: &mut Report<'_>) -> Option<Read> {
    let Some(node) = doc.get("detection") else {
        let hint = meta::misspelt(doc, "detection");
        report.error(doc.at, "", "the rule has no `detection`", hint);
        return None;
    };
    if !matches!(node.kind, Kind::Mapping(_)) {
        report.error(node.at, node.text(), "`detection` must be a map", None);
        return None;
    }
    let is_part = |name: &str| !matches!(name, "condition" | "timeframe");
    let parts: Vec<&(Node, Node)> =
        node.pairs().iter().filter(|(name, _)| is_part(name.text())).collect();
    if let Some((key, _)) = node.pairs().iter().find(|(key, _)| key.text() == "timeframe") {
        let message = "`timeframe` is version 1 of Sigma and has no effect";
        let hint = "a correlation has a `timespan`".to_owned();
        report.warn(key.at, "timeframe", message, Some(hint));
    }
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.text()).collect();
    let mut used = vec![false; names.len()];
    let conditions = conditions(node, &names, &mut used, report);
    let mut selections = Selections { items: Vec::new(), placeholders, report };
    let mut detections = Vec::new();
    for (name, value) in &parts {
        // After an error the rule is not loaded; the other parts are read for their own errors.
        if let Some(expr) = selections.read(name, value) {
            detections.push(Detection { name: name.text().to_owned(), expr, at: name.at });
        }
    }
    let items = selections.items;
    for ((name, _), used) in parts.iter().zip(&used) {
        // An underscore in front says that a part may be left out.
        if !used && !conditions.is_empty() && !name.text().starts_with('_') {
            let message = format!("the condition does not use `{}`", name.text());
            report.warn(name.at, name.text(), message, None);
        }
    }
    Some(Read { items, detections, conditions })
}

fn conditions(
    detection: &Node,
    names: &[&str],
    used: &mut [bool],
    report: &mut Report<'_>,
) -> Vec<Condition> {
    let Some(node) = detection.get("condition") else {
        let message = "the detection has no `condition`";
        report.error(detection.at, "", message, meta::misspelt(detection, "condition"));
        return Vec::new();
    };
    let list = match &node.kind {
        Kind::Scalar(_) => std::slice::from_ref(node),
        Kind::Sequence(list) if !list.is_empty() => list,
        _ => {
            report.error(node.at, "", "`condition` must be text or a list of texts", None);
            return Vec::new();
        }
    };
    let mut out = Vec::new();
    for entry in list {
        if entry.scalar().is_none() {
            report.error(entry.at, "", "a condition must be text", None);
        } else if let Some(expr) = condition::parse(entry, names, used, report) {
            out.push(Condition { text: entry.text().to_owned(), expr, at: entry.at });
        }
    }
    out
}

#[cfg(test)]
mod tests;
