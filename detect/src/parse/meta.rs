//! What a rule says about itself: everything but its detection.

use event::Level;
use event::alert::RuleInfo;
use serde_json::{Map, Value as Json};

use crate::diagnostic::nearest;
use crate::ir::{Related, RuleLogSource, RuleMeta};
use crate::yaml::{Kind, Node, Typed};

use super::report::Report;

/// The attributes of a rule that the specification names.
const KNOWN: &[&str] = &[
    "title",
    "id",
    "name",
    "related",
    "taxonomy",
    "status",
    "description",
    "license",
    "author",
    "references",
    "date",
    "modified",
    "logsource",
    "detection",
    "fields",
    "falsepositives",
    "level",
    "tags",
    "scope",
    "correlation",
    "generate",
    "filter",
];

/// What `status` may be.
pub const STATUSES: &[&str] = &["stable", "test", "experimental", "deprecated", "unsupported"];
/// What `level` may be.
pub const LEVELS: &[&str] = &["informational", "low", "medium", "high", "critical"];
/// What the `type` of a related rule may be.
pub const RELATIONS: &[&str] =
    &["derived", "obsolete", "merged", "renamed", "similar", "correlation"];

/// The part that travels with alerts. `fallback_id` names a rule that has no id.
pub fn info(doc: &Node, fallback_id: &str, report: &mut Report<'_>) -> RuleInfo {
    let title = text(doc, "title", report).unwrap_or_default();
    if title.is_empty() {
        report.error(doc.at, "", "the rule has no `title`", misspelt(doc, "title"));
    }
    let id = match text(doc, "id", report) {
        Some(id) => {
            if !is_uuid(&id) {
                let node = doc.get("id").unwrap_or(doc);
                let message = "the `id` should be a UUID";
                report.warn(node.at, node.text(), message, None);
            }
            id
        }
        None => fallback_id.to_owned(),
    };
    RuleInfo {
        id,
        title,
        description: text(doc, "description", report).unwrap_or_default(),
        level: level(doc, report),
        tags: texts(doc, "tags", report),
        falsepositives: texts(doc, "falsepositives", report),
        references: texts(doc, "references", report),
    }
}

/// The rest.
pub fn meta(doc: &Node, report: &mut Report<'_>) -> RuleMeta {
    let status = text(doc, "status", report);
    if let (Some(status), Some(node)) = (&status, doc.get("status"))
        && !STATUSES.contains(&status.as_str())
    {
        let hint = nearest(status, STATUSES.iter().copied()).map(meant);
        report.warn(node.at, status, format!("`{status}` is not a status of Sigma"), hint);
    }
    RuleMeta {
        name: text(doc, "name", report),
        status,
        author: text(doc, "author", report),
        license: text(doc, "license", report),
        date: text(doc, "date", report),
        modified: text(doc, "modified", report),
        taxonomy: text(doc, "taxonomy", report),
        scope: texts(doc, "scope", report),
        fields: texts(doc, "fields", report),
        related: related(doc, report),
        custom: doc
            .pairs()
            .iter()
            .filter(|(key, _)| !KNOWN.contains(&key.text()))
            .map(|(key, value)| (key.text().to_owned(), json(value)))
            .collect(),
    }
}

/// Whether a `generate` of the document or of its correlation is true.
pub fn generate(doc: &Node, section: &Node, report: &mut Report<'_>) -> bool {
    let mut generate = false;
    for node in [doc, section].into_iter().filter_map(|node| node.get("generate")) {
        match node.typed() {
            Some(Typed::Bool(wanted)) => generate |= wanted,
            _ => report.error(node.at, node.text(), "`generate` is `true` or `false`", None),
        }
    }
    generate
}

/// The log source; `None` after an error.
pub fn log_source(doc: &Node, report: &mut Report<'_>) -> Option<RuleLogSource> {
    let Some(node) = doc.get("logsource") else {
        let message = "the rule has no `logsource`: it would apply to everything";
        report.error(doc.at, "", message, misspelt(doc, "logsource"));
        return None;
    };
    if !matches!(node.kind, Kind::Mapping(_)) {
        report.error(node.at, node.text(), "`logsource` must be a map", None);
        return None;
    }
    let known = ["category", "product", "service", "definition"];
    for (key, _) in node.pairs() {
        let near = nearest(key.text(), known).filter(|near| *near != key.text());
        if let Some(near) = near {
            let message = format!("`{}` is not a part of a log source that we know", key.text());
            report.warn(key.at, key.text(), message, Some(meant(near)));
        }
    }
    let mut part = |name| text(node, name, report).filter(|t| !t.is_empty());
    let lower = |text: Option<String>| text.map(|t| t.to_lowercase());
    let source = RuleLogSource {
        category: lower(part("category")),
        product: lower(part("product")),
        service: lower(part("service")),
        definition: part("definition"),
    };
    if source.category.is_none() && source.product.is_none() && source.service.is_none() {
        let message = "`logsource` needs a `category`, `product` or `service`";
        report.error(node.at, "", message, None);
        return None;
    }
    Some(source)
}

/// A hint when a key of the document is nearly `wanted`.
pub fn misspelt(doc: &Node, wanted: &str) -> Option<String> {
    let keys = doc.pairs().iter().map(|(key, _)| key.text());
    let near = nearest(wanted, keys.filter(|key| !KNOWN.contains(key)))?;
    Some(format!("there is a `{near}`; did you mean `{wanted}`?"))
}

pub fn meant(word: &str) -> String {
    format!("did you mean `{word}`?")
}

fn level(doc: &Node, report: &mut Report<'_>) -> Level {
    let Some(node) = doc.get("level") else { return Level::default() };
    let word = node.text();
    Level::parse(word).unwrap_or_else(|| {
        let lower = word.to_lowercase();
        let hint = match nearest(word, LEVELS.iter().copied()) {
            Some(near) => meant(near),
            None if lower == "info" => meant("informational"),
            None => format!("one of: {}", LEVELS.join(", ")),
        };
        report.error(node.at, word, format!("`{word}` is not a level of Sigma"), Some(hint));
        Level::default()
    })
}

fn related(doc: &Node, report: &mut Report<'_>) -> Vec<Related> {
    let Some(node) = doc.get("related").filter(|node| !node.is_null()) else { return Vec::new() };
    let Kind::Sequence(list) = &node.kind else {
        report.warn(node.at, node.text(), "`related` must be a list of `id` and `type`", None);
        return Vec::new();
    };
    let mut out = Vec::new();
    for entry in list {
        let (id, kind) = (text(entry, "id", report), text(entry, "type", report));
        let (Some(id), Some(kind)) = (id, kind) else {
            report.warn(entry.at, entry.text(), "a related rule needs `id` and `type`", None);
            continue;
        };
        if !RELATIONS.contains(&kind.as_str()) {
            let hint = nearest(&kind, RELATIONS.iter().copied()).map(meant);
            let at = entry.get("type").unwrap_or(entry).at;
            report.warn(at, &kind, format!("`{kind}` is not a relation of Sigma"), hint);
        }
        out.push(Related { id, kind });
    }
    out
}

/// A scalar as text, trimmed. Anything else is a warning and nothing.
pub fn text(node: &Node, key: &str, report: &mut Report<'_>) -> Option<String> {
    let value = node.get(key).filter(|value| !value.is_null())?;
    if value.scalar().is_none() {
        let message = format!("`{key}` must be text, not {}", value.noun());
        report.warn(value.at, "", message, None);
        return None;
    }
    Some(value.text().trim().to_owned())
}

/// A list of scalars, or a single one.
fn texts(node: &Node, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let Some(value) = node.get(key).filter(|value| !value.is_null()) else { return Vec::new() };
    let list = match &value.kind {
        Kind::Scalar(scalar) => return vec![scalar.text.trim().to_owned()],
        Kind::Sequence(list) if list.iter().all(|entry| entry.scalar().is_some()) => list,
        _ => {
            report.warn(value.at, "", format!("`{key}` must be a list of texts"), None);
            return Vec::new();
        }
    };
    list.iter().filter(|e| !e.is_null()).map(|e| e.text().trim().to_owned()).collect()
}

fn is_uuid(text: &str) -> bool {
    let lengths = text
        .split('-')
        .map(|part| part.bytes().all(|b| b.is_ascii_hexdigit()).then_some(part.len()));
    lengths.eq([8, 4, 4, 4, 12].map(Some))
}

/// A custom attribute as JSON. Numbers beyond JSON's are kept as text.
pub fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Sequence(list) => Json::Array(list.iter().map(json).collect()),
        Kind::Mapping(pairs) => {
            let pair = |(key, value): &(Node, Node)| (key.text().to_owned(), json(value));
            Json::Object(pairs.iter().map(pair).collect::<Map<_, _>>())
        }
        Kind::Scalar(scalar) => match node.typed() {
            Some(Typed::Null) => Json::Null,
            Some(Typed::Bool(b)) => Json::Bool(b),
            Some(Typed::Number(n)) => {
                serde_json::from_str(&n.text()).unwrap_or_else(|_| Json::String(n.text()))
            }
            _ => Json::String(scalar.text.clone()),
        },
    }
}
