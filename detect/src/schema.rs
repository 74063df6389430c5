//! JSON Schema (draft 2020-12) of what people write: rules, filters, and the cases beside rules. For editors,
//! which complete and check while somebody types.
//!
//! The words are those of the parser, taken from its own tables. The schemas say less than the parser knows:
//! what they admit may still be refused, with a better message, by `mantissa rules check`.

use serde_json::{Value, json};

use crate::ir::Operator;
use crate::parse::words;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A rule or a correlation: one document of a rule file.
    Rule,
    Filter,
    /// One line of `<rule>.cases.ndjson`.
    Case,
}

/// The schema of one document.
pub fn schema(what: What) -> Value {
    let mut schema = match what {
        What::Rule => rule(),
        What::Filter => filter(),
        What::Case => case(),
    };
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = match what {
        What::Rule => "Sigma rule or correlation",
        What::Filter => "Sigma filter",
        What::Case => "Case of a Sigma rule",
    }
    .into();
    schema
}

fn rule() -> Value {
    let mut properties = about();
    properties["logsource"] = log_source();
    properties["detection"] = detection(&json!({}));
    properties["correlation"] = correlation();
    properties["generate"] = json!({"type": "boolean", "description":
        "Whether the rules that a correlation refers to also alert on their own."});
    json!({
        "type": "object",
        "properties": properties,
        "required": ["title"],
        "anyOf": [{"required": ["logsource", "detection"]}, {"required": ["correlation"]}],
        "not": {"required": ["detection", "correlation"]},
    })
}

fn filter() -> Value {
    let mut properties = about();
    properties["logsource"] = log_source();
    let mut section = detection(&json!({
        "rules": {
            "description": "The rules that it is about, by id or name, or `any` of its log source.",
            "type": ["string", "array"],
            "items": {"type": "string"},
            "minItems": 1,
        },
    }));
    section["required"] = json!(["rules", "condition"]);
    section["minProperties"] = 3.into();
    // A filter has one condition.
    section["properties"]["condition"] = json!({"type": "string", "minLength": 1});
    properties["filter"] = section;
    json!({
        "type": "object",
        "properties": properties,
        "required": ["title", "logsource", "filter"],
    })
}

/// What every document says about itself. Further attributes are allowed and kept.
fn about() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let texts = |description: &str| {
        json!({
            "type": ["string", "array"], "items": {"type": "string"}, "description": description,
        })
    };
    json!({
        "title": {"type": "string", "minLength": 1, "description": "What an alert is called."},
        "id": {"type": "string", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
            "description": "A UUID; alerts are identified by it."},
        "name": text("The name by which correlations and filters refer to it."),
        "related": {"type": "array", "items": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "type": {"enum": words::RELATIONS}},
            "required": ["id", "type"],
        }},
        "taxonomy": text("Whose names of fields it uses."),
        "status": {"enum": words::STATUSES},
        "description": text("What it detects and why that matters."),
        "license": text("An SPDX expression."),
        "author": text("Who wrote it."),
        "references": texts("Where the technique is described."),
        "date": text("When it was written, `2026-03-17`."),
        "modified": text("When it was last changed."),
        "fields": texts("Fields worth showing with an alert."),
        "falsepositives": texts("What else looks like it."),
        "level": {"enum": words::LEVELS},
        "tags": texts("`attack.t1562.008` and the like."),
        "scope": texts("For whom it is meant."),
    })
}

fn log_source() -> Value {
    let text = json!({"type": ["string", "null"]});
    json!({
        "type": "object",
        "properties": {
            "category": text, "product": text, "service": text,
            "definition": {"type": "string", "description":
                "What must be configured for the events to exist."},
        },
        "anyOf": [
            {"required": ["category"]}, {"required": ["product"]}, {"required": ["service"]},
        ],
    })
}

/// Named parts and a condition over their names. `more` are members that are no parts.
fn detection(more: &Value) -> Value {
    let modifiers = words::modifiers().collect::<Vec<_>>().join("|");
    let scalar = json!({"type": ["string", "number", "boolean", "null"]});
    let values = json!({"anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}]});
    let map = json!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": format!("^[^|]*(\\|({modifiers}))*$")},
        "additionalProperties": values,
    });
    let part = json!({"anyOf": [
        map,
        {"type": "array", "items": {"anyOf": [map, scalar]}, "minItems": 1},
        {"type": ["string", "number"]},
    ]});
    let mut properties = more.clone();
    properties["condition"] = json!({
        "description": "`selection and not 1 of filter_*`; several are alternatives.",
        "type": ["string", "array"],
        "items": {"type": "string"},
        "minItems": 1,
        "minLength": 1,
    });
    json!({
        "type": "object",
        "properties": properties,
        "required": ["condition"],
        "minProperties": 2,
        "additionalProperties": part,
    })
}

fn correlation() -> Value {
    let names = json!({
        "type": ["string", "array"], "items": {"type": "string"}, "minItems": 1, "minLength": 1,
    });
    let operators = Operator::ALL.iter().map(|op| (op.as_str(), json!({"type": "number"})));
    let mut compared: serde_json::Map<String, Value> =
        operators.map(|(word, number)| (word.to_owned(), number)).collect();
    compared.insert("field".to_owned(), names.clone());
    compared.insert(
        "percentile".to_owned(),
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 100}),
    );
    json!({
        "type": "object",
        "properties": {
            "type": {"enum": words::CORRELATIONS},
            "rules": names,
            "group-by": names,
            "timespan": {"type": "string", "pattern": "^[0-9]+[smhd]$"},
            "condition": {"anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "properties": compared, "additionalProperties": false},
            ]},
            "aliases": {"type": "object", "additionalProperties": {
                "type": "object", "additionalProperties": {"type": "string", "minLength": 1},
            }},
            "generate": {"type": "boolean"},
        },
        "required": ["type", "timespan"],
        "additionalProperties": false,
    })
}

fn case() -> Value {
    let event = json!({
        "description": "The record: an object, or a line of text for log types that are text.",
        "type": ["object", "string"],
    });
    let log_type = json!({"type": "string", "description": "`aws.cloudtrail`"});
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "What the case shows."},
            "alerts": {
                "description": "Whether the rule alerts, or how often.",
                "anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0}],
            },
            "log_type": log_type,
            "event": event,
            "events": {"type": "array", "minItems": 1, "items": {
                "type": "object",
                "properties": {"log_type": log_type, "event": event},
                "required": ["event"],
                "additionalProperties": false,
            }},
        },
        "required": ["name", "alerts"],
        "oneOf": [{"required": ["event"]}, {"required": ["events"]}],
        "additionalProperties": false,
    })
}
