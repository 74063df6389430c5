//! Filter documents: a log source, the rules that are meant, and a detection to AND into them.

use std::sync::Arc;

use crate::ir::{Filter, FilteredRules};
use crate::yaml::{Kind, Node};

use super::report::Report;
use super::{RULE_SIZE_MAX, Source, meta};

/// The filter of a document, if there is nothing wrong with it.
pub fn read(doc: &Node, source: Source<'_>, report: &mut Report<'_>) -> Option<Filter> {
    let info = meta::info(doc, source.fallback_id, report);
    let log_source = meta::log_source(doc, report);
    let section = doc.get("filter")?;
    if !matches!(section.kind, Kind::Mapping(_)) {
        report.error(section.at, section.text(), "`filter` must be a map", None);
        return None;
    }
    let rules = rules(section, report);
    let read = super::read(doc, section, &["rules"], source.placeholders, report)?;
    if !report.failed && read.size() > RULE_SIZE_MAX {
        report.error(doc.at, "", "the filter is too large", None);
    }
    if read.conditions.len() > 1 {
        let at = read.conditions[1].at;
        report.error(at, "", "a filter has one condition", Some("join them by `and`".to_owned()));
    }
    if report.failed {
        return None;
    }
    Some(Filter {
        id: info.id,
        title: info.title,
        log_source: log_source?,
        rules: rules?,
        items: read.items,
        detections: read.detections,
        condition: read.conditions.into_iter().next()?,
        file: Arc::clone(source.file),
        at: doc.at,
    })
}

fn rules(section: &Node, report: &mut Report<'_>) -> Option<FilteredRules> {
    let hint = "name rules by id or name, or write `rules: any`";
    let Some(node) = section.get("rules") else {
        let near = meta::misspelt(section, "rules").unwrap_or_else(|| hint.to_owned());
        report.error(
            section.at,
            "",
            "the filter does not say which `rules` it is about",
            Some(near),
        );
        return None;
    };
    let list = match &node.kind {
        Kind::Scalar(scalar) if scalar.text == "any" => return Some(FilteredRules::Any),
        Kind::Scalar(_) if !node.is_null() => std::slice::from_ref(node),
        Kind::Sequence(list) if !list.is_empty() => list,
        _ => {
            let message = "`rules` must be a list of ids or names";
            report.error(node.at, node.text(), message, Some(hint.to_owned()));
            return None;
        }
    };
    let mut named = Vec::new();
    for entry in list {
        if entry.scalar().is_none() || entry.is_null() {
            report.error(entry.at, "", "a rule is named by its id or name", None);
        } else if named.iter().any(|(known, _)| known == entry.text()) {
            let message = format!("`{}` is named twice", entry.text());
            report.warn(entry.at, entry.text(), message, None);
        } else {
            named.push((entry.text().to_owned(), entry.at));
        }
    }
    Some(FilteredRules::Named(named))
}
