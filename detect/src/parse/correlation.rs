//! Correlation documents. What they refer to is looked up when all files are read ([`crate::resolve`]).

use std::sync::Arc;

use event::alert::RuleInfo;

use crate::diagnostic::nearest;
use crate::ir::{
    Expr, Kind, MEMBERS_MAX, Names, Operator, Position, Presence, Quantity, RuleMeta, Threshold,
};
use crate::yaml::{Kind as NodeKind, Node, Typed};

use super::condition::{self, Over};
use super::report::Report;
use super::{Source, meta};

/// A correlation whose rules are still names.
#[derive(Clone, Debug)]
pub struct Draft {
    pub info: RuleInfo,
    pub meta: RuleMeta,
    /// Whether the document gives a level; else it is the highest of its rules'.
    pub has_level: bool,
    /// Names or ids as written, each once.
    pub rules: Vec<(String, Position)>,
    pub group_by: Vec<String>,
    pub aliases: Vec<DraftAlias>,
    pub timespan_ns: i64,
    pub kind: Kind,
    pub generate: bool,
    pub file: Arc<str>,
    pub at: Position,
}

/// An alias as written: which field it is for which rule.
#[derive(Clone, Debug)]
pub struct DraftAlias {
    pub name: String,
    pub fields: Vec<(String, String, Position)>,
    pub at: Position,
}

const KEYS: &[&str] =
    &["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];
/// What the `type` of a correlation may be.
pub const TYPES: &[&str] = &[
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "temporal",
    "temporal_ordered",
];
/// More alternatives than this are refused.
const TERMS_MAX: usize = 256;

/// The correlation of a document, if there is nothing wrong with it but what it refers to.
pub fn read(doc: &Node, source: Source<'_>, report: &mut Report<'_>) -> Option<Draft> {
    let info = meta::info(doc, source.fallback_id, report);
    let meta = meta::meta(doc, report);
    let section = doc.get("correlation")?;
    if !matches!(section.kind, NodeKind::Mapping(_)) {
        report.error(section.at, section.text(), "`correlation` must be a map", None);
        return None;
    }
    for (key, _) in section.pairs().iter().filter(|(key, _)| !KEYS.contains(&key.text())) {
        let hint = nearest(key.text(), KEYS.iter().copied()).map(meta::meant);
        let message = format!("`{}` is not a part of a correlation", key.text());
        report.error(key.at, key.text(), message, hint);
    }
    if let Some((key, _)) = doc.pairs().iter().find(|(key, _)| key.text() == "logsource") {
        let message = "a correlation has no log source of its own: its rules have";
        report.warn(key.at, "logsource", message, None);
    }
    let word = kind_word(section, report);
    let rules = rules(section, word, report);
    let group_by = names(section, "group-by", report);
    let aliases = aliases(section, &group_by, report);
    let timespan_ns = timespan(section, report);
    let kind = word.and_then(|word| kind(section, word, &rules, report));
    let generate = meta::generate(doc, section, report);
    if report.failed {
        return None;
    }
    Some(Draft {
        info,
        meta,
        has_level: doc.get("level").is_some(),
        rules,
        group_by,
        aliases,
        timespan_ns: timespan_ns?,
        kind: kind?,
        generate,
        file: Arc::clone(source.file),
        at: doc.at,
    })
}

fn kind_word(section: &Node, report: &mut Report<'_>) -> Option<&'static str> {
    let Some(node) = section.get("type") else {
        let hint = format!("one of: {}", TYPES.join(", "));
        report.error(section.at, "", "the correlation has no `type`", Some(hint));
        return None;
    };
    let known = TYPES.iter().find(|word| **word == node.text());
    if known.is_none() {
        let hint = match node.text() {
            "value_median" => "write `value_percentile` with `percentile: 50`".to_owned(),
            word => nearest(word, TYPES.iter().copied())
                .map_or_else(|| format!("one of: {}", TYPES.join(", ")), meta::meant),
        };
        let message = format!("`{}` is not a type of correlation", node.text());
        report.error(node.at, node.text(), message, Some(hint));
    }
    known.copied()
}

/// The rules it names; a temporal condition over names may name them instead.
fn rules(section: &Node, word: Option<&str>, report: &mut Report<'_>) -> Vec<(String, Position)> {
    let list = entries(section, "rules", report);
    if list.is_empty() && section.get("rules").is_none() {
        let condition = section.get("condition").filter(|node| node.scalar().is_some());
        if let (Some("temporal" | "temporal_ordered"), Some(node)) = (word, condition) {
            return named_in(node);
        }
        let message = "the correlation does not say which `rules` it is about";
        report.error(section.at, "", message, meta::misspelt(section, "rules"));
    }
    if list.len() > MEMBERS_MAX {
        let message = format!("a correlation refers to at most {MEMBERS_MAX} rules");
        report.error(list[MEMBERS_MAX].1, "", message, None);
    }
    list
}

/// The names of a condition in the order of their first use.
fn named_in(node: &Node) -> Vec<(String, Position)> {
    let mut found: Vec<(String, Position)> = Vec::new();
    let words = node.text().split(|c: char| c.is_whitespace() || matches!(c, '(' | ')'));
    for word in words.filter(|w| !matches!(*w, "" | "and" | "or" | "not")) {
        if !found.iter().any(|(known, _)| known == word) {
            found.push((word.to_owned(), node.at));
        }
    }
    found
}

/// A text or a list of different texts, with their places.
fn entries(section: &Node, key: &str, report: &mut Report<'_>) -> Vec<(String, Position)> {
    let Some(node) = section.get(key) else { return Vec::new() };
    let list = match &node.kind {
        NodeKind::Sequence(list) => list.as_slice(),
        NodeKind::Scalar(_) if !node.is_null() => std::slice::from_ref(node),
        _ => &[],
    };
    if list.is_empty() && key != "group-by" {
        report.error(node.at, node.text(), format!("`{key}` must be a list of texts"), None);
    }
    let mut found: Vec<(String, Position)> = Vec::new();
    for entry in list {
        let text = entry.text().trim();
        if text.is_empty() || entry.is_null() {
            report.error(entry.at, entry.text(), format!("`{key}` must be a list of texts"), None);
        } else if found.iter().any(|(known, _)| known == text) {
            report.error(entry.at, text, format!("`{text}` is in `{key}` twice"), None);
        } else {
            found.push((text.to_owned(), entry.at));
        }
    }
    found
}

fn names(section: &Node, key: &str, report: &mut Report<'_>) -> Vec<String> {
    entries(section, key, report).into_iter().map(|(name, _)| name).collect()
}

fn aliases(section: &Node, group_by: &[String], report: &mut Report<'_>) -> Vec<DraftAlias> {
    let Some(node) = section.get("aliases").filter(|node| !node.is_null()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let field = section.get("condition").and_then(|condition| condition.get("field"));
    let counted = |name: &str| match field.map(|field| &field.kind) {
        Some(NodeKind::Sequence(list)) => list.iter().any(|entry| entry.text() == name),
        _ => field.is_some_and(|field| field.text() == name),
    };
    if !matches!(node.kind, NodeKind::Mapping(_)) {
        report.error(node.at, node.text(), "`aliases` must be a map", None);
    }
    for (name, value) in node.pairs() {
        if !matches!(value.kind, NodeKind::Mapping(_)) {
            let hint = "write `alias: {rule_name: field, other_rule: other_field}`".to_owned();
            report.error(
                value.at,
                value.text(),
                "an alias is a map from rules to fields",
                Some(hint),
            );
            continue;
        }
        if !group_by.iter().any(|field| field == name.text()) && !counted(name.text()) {
            let message = format!("the alias `{}` is not used", name.text());
            report.warn(name.at, name.text(), message, None);
        }
        let mut fields = Vec::new();
        for (rule, field) in value.pairs() {
            if field.text().is_empty() {
                report.error(field.at, "", "the name of a field is missing", None);
            }
            fields.push((rule.text().to_owned(), field.text().to_owned(), rule.at));
        }
        found.push(DraftAlias { name: name.text().to_owned(), fields, at: name.at });
    }
    found
}

/// `90m` in nanoseconds.
fn timespan(section: &Node, report: &mut Report<'_>) -> Option<i64> {
    const SECOND_NS: i64 = 1_000_000_000;
    const DAYS_MAX: i64 = 366;
    let Some(node) = section.get("timespan") else {
        let near = ["timeframe", "time-span", "timespan"]
            .into_iter()
            .find(|key| section.get(key).is_some())
            .map(|key| format!("there is a `{key}`; did you mean `timespan`?"));
        let hint = near.or_else(|| meta::misspelt(section, "timespan"));
        report.error(section.at, "", "the correlation has no `timespan`", hint);
        return None;
    };
    let text = node.text();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ns = match unit {
        "s" => Some(SECOND_NS),
        "m" => Some(60 * SECOND_NS),
        "h" => Some(3_600 * SECOND_NS),
        "d" => Some(86_400 * SECOND_NS),
        _ => None,
    };
    let number = number.parse::<i64>().ok().filter(|n| *n > 0);
    let (Some(number), Some(unit_ns)) = (number, unit_ns) else {
        let message = format!("`{text}` is not a timespan");
        let hint = "a number above 0 and one of s, m, h, d: `90m`".to_owned();
        report.error(node.at, text, message, Some(hint));
        return None;
    };
    let length = number.checked_mul(unit_ns).filter(|ns| *ns <= DAYS_MAX * 86_400 * SECOND_NS);
    if length.is_none() {
        let message = format!("a timespan is at most {DAYS_MAX}d: the events are kept for so long");
        report.error(node.at, text, message, None);
    }
    length
}

fn kind(
    section: &Node,
    word: &str,
    rules: &[(String, Position)],
    report: &mut Report<'_>,
) -> Option<Kind> {
    if let "temporal" | "temporal_ordered" = word {
        let condition = presence(section, rules, report)?;
        return Some(Kind::Temporal { ordered: word == "temporal_ordered", condition });
    }
    let Some(node) = section.get("condition") else {
        let message = format!("a correlation of type `{word}` needs a `condition`");
        report.error(
            section.at,
            "",
            message,
            Some("for instance `condition: {gte: 10}`".to_owned()),
        );
        return None;
    };
    if !matches!(node.kind, NodeKind::Mapping(_)) {
        let message = format!("the condition of `{word}` is a map");
        report.error(node.at, node.text(), message, Some("for instance `{gte: 10}`".to_owned()));
        return None;
    }
    let counts = matches!(word, "event_count" | "value_count");
    let threshold = threshold(node, word, counts.then_some(u64::MAX), report);
    let fields = fields(node, word, report);
    let percentile = percentile(node, word, report);
    let (threshold, mut fields) = (threshold?, fields?);
    let field = fields.pop().unwrap_or_default();
    Some(match word {
        "event_count" => Kind::EventCount(threshold),
        "value_count" => {
            fields.push(field);
            Kind::ValueCount { fields, threshold }
        }
        "value_sum" => Kind::ValueSum { field, threshold },
        "value_avg" => Kind::ValueAvg { field, threshold },
        _ => Kind::ValuePercentile { field, percentile: percentile?, threshold },
    })
}

/// The fields that a condition looks at; `None` after an error.
fn fields(node: &Node, word: &str, report: &mut Report<'_>) -> Option<Vec<String>> {
    let given = entries(node, "field", report);
    match (word, given.as_slice()) {
        ("event_count", []) => Some(Vec::new()),
        ("event_count", _) => {
            let hint = "`value_count` counts the different values of a field".to_owned();
            let at = node.get("field").unwrap_or(node).at;
            report.error(at, "", "`event_count` looks at no field", Some(hint));
            None
        }
        (_, []) => {
            let message = format!("the condition of `{word}` needs a `field`");
            report.error(node.at, "", message, meta::misspelt(node, "field"));
            None
        }
        ("value_count", list) | (_, list @ [_]) => {
            Some(list.iter().map(|(name, _)| name.clone()).collect())
        }
        (_, [_, (name, at), ..]) => {
            let message = format!("`{word}` looks at one field");
            report.error(*at, name, message, None);
            None
        }
    }
}

fn percentile(node: &Node, word: &str, report: &mut Report<'_>) -> Option<Quantity> {
    let given = node.get("percentile");
    if word != "value_percentile" {
        if let Some(given) = given {
            let message = "`percentile` belongs to `value_percentile`";
            report.error(given.at, given.text(), message, None);
        }
        return None;
    }
    let Some(given) = given else {
        let message = "the condition does not say which `percentile`: 50, the median, is taken";
        report.warn(node.at, "", message, Some("write `percentile: 95`".to_owned()));
        return Some(Quantity::whole(50));
    };
    let number = match given.typed() {
        Some(Typed::Number(number)) => Quantity::exactly(&number),
        _ => None,
    };
    let found = number.filter(|p| *p > Quantity::default() && *p <= Quantity::whole(100));
    if found.is_none() {
        let message = "a percentile is a number above 0 and up to 100";
        report.error(given.at, given.text(), message, None);
    }
    found
}

/// The comparisons of a condition. `count_max` is the most that a count can be, of those that count.
fn threshold(
    node: &Node,
    word: &str,
    count_max: Option<u64>,
    report: &mut Report<'_>,
) -> Option<Threshold> {
    let mut found = Vec::new();
    let mut failed = false;
    for (key, value) in node.pairs() {
        let Some(operator) = Operator::ALL.iter().find(|op| op.as_str() == key.text()) else {
            let other = matches!(key.text(), "field" | "percentile");
            if !other {
                let known = Operator::ALL.iter().map(|op| op.as_str());
                let hint = nearest(key.text(), known.chain(["field", "percentile"]));
                let message = format!("`{}` is not a part of a condition", key.text());
                report.error(key.at, key.text(), message, hint.map(meta::meant));
                failed = true;
            }
            continue;
        };
        let number = match value.typed() {
            Some(Typed::Number(number)) => Some(number),
            _ => None,
        };
        let limit = number.as_ref().and_then(Quantity::exactly);
        let whole = || number.as_ref().and_then(|n| n.as_i64()).is_some_and(|n| n >= 0);
        let message = match limit {
            None => Some("expected a number of at most 24 digits and six decimals"),
            Some(_) if count_max.is_some() && !whole() => Some("a count is a whole number"),
            Some(_) => None,
        };
        if let Some(message) = message {
            report.error(value.at, value.text(), message, None);
            failed = true;
        }
        found.extend(limit.map(|limit| (*operator, limit)));
    }
    if failed {
        return None;
    }
    if found.is_empty() {
        let message = format!("the condition of `{word}` compares with nothing");
        report.error(node.at, "", message, Some("for instance `gte: 10`".to_owned()));
        return None;
    }
    let threshold = Threshold(found);
    if count_max.is_some_and(|max| !is_possible(&threshold, max)) {
        let message = "this can never hold: a window ends with an event, so it counts at least 1";
        report.error(node.at, "", message, None);
        return None;
    }
    Some(threshold)
}

/// Whether a count from 1 to `max` meets it. Only next to the limits can the answer change.
fn is_possible(threshold: &Threshold, max: u64) -> bool {
    let limits = threshold.0.iter().map(|(_, limit)| limit.millionths() / 1_000_000);
    let around = limits.flat_map(|limit| [limit - 1, limit, limit + 1]).chain([1]);
    let counts = around.filter_map(|n| u64::try_from(n).ok()).filter(|n| (1..=max).contains(n));
    counts.into_iter().any(|count| threshold.holds_count(count))
}

/// The condition of a temporal correlation; without one, every rule must have an event.
fn presence(
    section: &Node,
    rules: &[(String, Position)],
    report: &mut Report<'_>,
) -> Option<Presence> {
    if rules.is_empty() || rules.len() > MEMBERS_MAX {
        return None;
    }
    let all = || Names::And((0..rules.len()).map(Names::Member).collect());
    let expr = match section.get("condition") {
        None => all(),
        Some(node) if node.is_null() => all(),
        Some(node) => match &node.kind {
            NodeKind::Mapping(_) => {
                let max = rules.len() as u64;
                return threshold(node, "temporal", Some(max), report).map(Presence::Count);
            }
            NodeKind::Scalar(_) => names_condition(node, rules, report)?,
            NodeKind::Sequence(_) => {
                report.error(node.at, "", "`condition` is text over rule names, or a map", None);
                return None;
            }
        },
    };
    let at = section.get("condition").unwrap_or(section).at;
    let Some(terms) = expr.terms(TERMS_MAX) else {
        let message = format!("the condition has more than {TERMS_MAX} alternatives");
        report.error(at, "", message, None);
        return None;
    };
    if terms.iter().all(|term| term.wanted == 0) {
        let message = "the condition holds for no event: it needs a rule without `not`";
        report.error(at, "", message, None);
        return None;
    }
    Some(Presence::Expr { expr, terms })
}

fn names_condition(
    node: &Node,
    rules: &[(String, Position)],
    report: &mut Report<'_>,
) -> Option<Names> {
    let known: Vec<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    let mut used = vec![false; known.len()];
    let expr = condition::parse(node, Over::Rules, &known, &mut used, report)?;
    for ((name, at), _) in rules.iter().zip(&used).filter(|(_, used)| !**used) {
        report.warn(*at, name, format!("the condition does not use `{name}`"), None);
    }
    Some(names_of(&expr))
}

/// A condition over rules as the parser of conditions gives it.
fn names_of(expr: &Expr) -> Names {
    let all = |parts: &[Expr]| parts.iter().map(names_of).collect();
    match expr {
        Expr::Named(id) => Names::Member(id.0 as usize),
        Expr::Not(inner) => Names::Not(Box::new(names_of(inner))),
        Expr::And(parts) => Names::And(all(parts)),
        Expr::Or(parts) => Names::Or(all(parts)),
        // Conditions name parts only, and at least one.
        Expr::True | Expr::False | Expr::Item(_) => unreachable!("a condition is over names"),
    }
}
