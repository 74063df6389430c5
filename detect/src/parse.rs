//! Rule files to rules. Never fails: what cannot be used is a [`Diagnostic`], and one bad document
//! costs no other.

mod condition;
mod correlation;
mod detection;
mod filter;
mod meta;
mod modifier;
mod regex;
mod report;
mod text;
mod version1;

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::ir::{Condition, Detection, Expr, Filter, Position, Rule};
use crate::yaml::{self, Kind, Node};

use condition::Over;
pub use correlation::Draft;
pub use detection::Placeholders;
use detection::Selections;
pub use meta::meant;
pub use report::Report;

/// The closed sets of words that the parser knows, for whoever describes them.
pub mod words {
    pub use super::correlation::TYPES as CORRELATIONS;
    pub use super::meta::{LEVELS, RELATIONS, STATUSES};
    pub use super::modifier::names as modifiers;
}

/// Larger files than this are refused unread.
const FILE_BYTES_MAX: usize = 4 << 20;
/// A rule may have this many items, counted once for each place where they are used.
const RULE_SIZE_MAX: usize = 100_000;

/// What the documents of a file are.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    pub rules: Vec<Rule>,
    /// Not yet resolved: what they refer to may be in other files.
    pub correlations: Vec<Draft>,
    pub filters: Vec<Filter>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every document of a file. `path` is only for messages and for rules without id.
pub fn file(path: &str, text: &str, placeholders: &Placeholders) -> Parsed {
    let mut parsed = Parsed::default();
    let shared: Arc<str> = path.into();
    if text.len() > FILE_BYTES_MAX {
        let mut report = Report::new(path);
        let message = format!("the file has more than {FILE_BYTES_MAX} bytes");
        report.error(Position { line: 1, column: 1 }, "", message, None);
        return Parsed { diagnostics: report.diagnostics, ..parsed };
    }
    for (index, (at, document)) in yaml::documents(text).into_iter().enumerate() {
        let mut report = Report::new(path);
        match document {
            Err(problem) => report.error(at, &problem.span, problem.message, None),
            Ok(node) => {
                let id = if index == 0 { path.to_owned() } else { format!("{path}#{index}") };
                let source = Source { file: &shared, fallback_id: &id, placeholders };
                read_document(&node, source, &mut parsed, &mut report);
            }
        }
        report.diagnostics.sort_by_key(Diagnostic::position);
        parsed.diagnostics.append(&mut report.diagnostics);
    }
    parsed
}

/// Where a document comes from and what its placeholders stand for.
#[derive(Clone, Copy)]
struct Source<'s> {
    file: &'s Arc<str>,
    /// Names a document that has no id.
    fallback_id: &'s str,
    placeholders: &'s Placeholders,
}

/// Reads a document for what it is.
fn read_document(doc: &Node, source: Source<'_>, parsed: &mut Parsed, report: &mut Report<'_>) {
    if !matches!(doc.kind, Kind::Mapping(_)) {
        let message = format!("a rule is a map, not {}", doc.noun());
        report.error(doc.at, doc.text(), message, None);
        return;
    }
    let key = |name: &str| doc.pairs().iter().find(|(key, _)| key.text() == name);
    let sections: Vec<&Node> = ["detection", "correlation", "filter"]
        .iter()
        .filter_map(|name| key(name))
        .map(|(key, _)| key)
        .collect();
    if let [_, second, ..] = sections.as_slice() {
        let message = "a document has one of `detection`, `correlation` and `filter`";
        let hint = "separate documents by a line `---`".to_owned();
        report.error(second.at, second.text(), message, Some(hint));
    } else if key("correlation").is_some() {
        parsed.correlations.extend(correlation::read(doc, source, report));
    } else if key("filter").is_some() {
        parsed.filters.extend(filter::read(doc, source, report));
    } else if let Some((node, _)) = key("action") {
        let message = "`action` is version 1 of Sigma and no longer part of it";
        let hint = "write every document out in full, separated by `---`".to_owned();
        report.error(node.at, "action", message, Some(hint));
    } else {
        parsed.rules.extend(rule(doc, source, report));
    }
}

/// The rule of a document, if there is nothing wrong with it.
fn rule(doc: &Node, source: Source<'_>, report: &mut Report<'_>) -> Option<Rule> {
    let info = meta::info(doc, source.fallback_id, report);
    let meta = meta::meta(doc, report);
    let log_source = meta::log_source(doc, report);
    let Some(node) = doc.get("detection") else {
        let hint = meta::misspelt(doc, "detection");
        report.error(doc.at, "", "the rule has no `detection`", hint);
        return None;
    };
    if let Some((key, _)) = node.pairs().iter().find(|(key, _)| key.text() == "timeframe") {
        let message = "`timeframe` is version 1 of Sigma and has no effect";
        let hint = "a correlation has a `timespan`".to_owned();
        report.warn(key.at, "timeframe", message, Some(hint));
    }
    let read = read(doc, node, &["timeframe"], source.placeholders, report)?;
    if !report.failed && read.size() > RULE_SIZE_MAX {
        report.error(doc.at, "", "the rule is too large", None);
    }
    if report.failed {
        return None;
    }
    Some(Rule {
        info,
        log_source: log_source?,
        meta,
        items: read.items,
        detections: read.detections,
        expr: Expr::any(read.conditions.iter().map(|c| c.expr.clone()).collect()),
        conditions: read.conditions,
        filters: Vec::new(),
        file: Arc::clone(source.file),
        at: doc.at,
    })
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

/// Reads a section of named parts and a condition. `others` are its keys that are neither.
fn read(
    doc: &Node,
    node: &Node,
    others: &[&str],
    placeholders: &Placeholders,
    report: &mut Report<'_>,
) -> Option<Read> {
    if !matches!(node.kind, Kind::Mapping(_)) {
        report.error(node.at, node.text(), "`detection` must be a map", None);
        return None;
    }
    let is_part = |name: &str| name != "condition" && !others.contains(&name);
    let parts: Vec<&(Node, Node)> =
        node.pairs().iter().filter(|(name, _)| is_part(name.text())).collect();
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.text()).collect();
    let mut used = vec![false; names.len()];
    let conditions = conditions(doc, node, &names, &mut used, report);
    let (items, regexes) = (Vec::new(), regex::Budget::default());
    let mut selections = Selections { items, placeholders, regexes, report };
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
    doc: &Node,
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
        } else if let Some(offset) = entry.text().chars().position(|c| c == '|') {
            let hint = version1::replacement(doc, entry.text())
                .unwrap_or_else(|| "Sigma 2 has correlations instead (docs/sigma.md)".to_owned());
            let message = "aggregations behind `|` are version 1 of Sigma and no longer part of it";
            report.error(entry.inside(offset), "|", message, Some(hint));
        } else if let Some(expr) = condition::parse(entry, Over::Parts, names, used, report) {
            out.push(Condition { text: entry.text().to_owned(), expr, at: entry.at });
        }
    }
    out
}

#[cfg(test)]
mod tests;
