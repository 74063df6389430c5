//! The schemas admit what the parser admits: our own rules, filters and cases, those that use everything,
//! and all of `MANTISSA_CORPUS`. And they refuse what they are there to find.

mod support;

use std::path::{Path, PathBuf};

use detect::schema::{What, schema};
use detect::yaml::{self, Kind, Node, Typed};
use serde_json::{Value as Json, json};
use support::files;

/// Why a value does not fit; the keywords that our schemas use, and no others.
fn faults(schema: &Json, value: &Json, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fault = |text: String| found.push(format!("{place}: {text}"));
    let fits = |schema: &Json| faults(schema, value, place).is_empty();
    let all = |key: &str| schema[key].as_array().into_iter().flatten();
    let number = |key: &str| schema[key].as_f64();
    for (key, wanted) in schema.as_object().unwrap() {
        let holds = match key.as_str() {
            "type" => match wanted {
                Json::String(word) => is_of(word, value),
                words => {
                    words.as_array().unwrap().iter().any(|w| is_of(w.as_str().unwrap(), value))
                }
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "required" => value.as_object().is_none_or(|object| {
                all("required").all(|name| object.contains_key(name.as_str().unwrap()))
            }),
            "anyOf" => all("anyOf").any(fits),
            "oneOf" => all("oneOf").filter(|s| fits(s)).count() == 1,
            "not" => !fits(wanted),
            "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
            "minLength" => {
                value.as_str().is_none_or(|text| text.len() as f64 >= number(key).unwrap())
            }
            "minItems" => value.as_array().is_none_or(|a| a.len() as f64 >= number(key).unwrap()),
            "minProperties" => {
                value.as_object().is_none_or(|o| o.len() as f64 >= number(key).unwrap())
            }
            "minimum" => value.as_f64().is_none_or(|n| n >= number(key).unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(key).unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > number(key).unwrap()),
            "properties" | "additionalProperties" | "propertyNames" | "items" => true,
            "description" | "title" | "$schema" => true,
            other => panic!("a keyword that this test does not know: {other}"),
        };
        if !holds {
            fault(format!("{key} {wanted} does not admit {value}"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        let of = match schema["properties"].get(name) {
            Some(of) => of.clone(),
            None => schema.get("additionalProperties").cloned().unwrap_or(json!({})),
        };
        match of {
            Json::Bool(false) => found.push(format!("{place}: is not known")),
            of => found.extend(faults(&of, inner, &place)),
        }
        if let Some(names) = schema.get("propertyNames") {
            found.extend(faults(names, &json!(name), &place));
        }
    }
    if let Some(items) = schema.get("items") {
        let each = value.as_array().into_iter().flatten();
        found.extend(each.flat_map(|item| faults(items, item, &format!("{place}[]"))));
    }
    found
}

fn is_of(word: &str, value: &Json) -> bool {
    match word {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("a type that this test does not know: {other}"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let regex = detect::ir::Regex::new(pattern, detect::ir::RegexFlags::default()).unwrap();
    regex.matches(text)
}

/// As editors read YAML.
fn to_json(node: &Node) -> Json {
    match &node.kind {
        Kind::Mapping(pairs) => {
            pairs.iter().map(|(k, v)| (k.text().to_owned(), to_json(v))).collect()
        }
        Kind::Sequence(list) => list.iter().map(to_json).collect(),
        Kind::Scalar(scalar) => match node.typed() {
            Some(Typed::Null) => Json::Null,
            Some(Typed::Bool(b)) => b.into(),
            Some(Typed::Number(n)) => {
                serde_json::from_str(&n.text()).unwrap_or_else(|_| n.text().into())
            }
            _ => scalar.text.as_str().into(),
        },
    }
}

/// Checks every document that is not meant to be refused; returns how many.
fn check_documents(root: &Path) -> usize {
    let (rule, filter) = (schema(What::Rule), schema(What::Filter));
    let (mut count, mut found) = (0, Vec::new());
    for (name, text) in files(root, ".yml") {
        for (_, document) in yaml::documents(&text) {
            let Ok(document) = document else { continue };
            // Those of `cases/` that are there to be complained about.
            if document.get("diagnostics").is_some() || document.get("history").is_some() {
                continue;
            }
            let is_filter = document.get("filter").is_some();
            let schema = if is_filter { &filter } else { &rule };
            found.extend(faults(schema, &to_json(&document), &name));
            count += 1;
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    count
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn what_loads_is_admitted() {
    assert!(check_documents(&folder("../rules")) > 50);
    assert!(check_documents(&folder("cases")) > 100);
    let root = std::env::var_os("MANTISSA_CORPUS").map(|f| PathBuf::from(f).join("sigma/rules"));
    if let Some(root) = root.filter(|root| root.is_dir()) {
        assert!(check_documents(&root) > 3_000);
    }
    let case = schema(What::Case);
    let mut cases = 0;
    for (name, text) in files(&folder("../rules"), ".cases.ndjson") {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let value: Json = serde_json::from_str(line).unwrap();
            assert_eq!(faults(&case, &value, &name), Vec::<String>::new());
            cases += 1;
        }
    }
    assert!(cases > 200, "{cases}");
}

/// Changes a good rule into one with a mistake.
type Slip<'s> = &'s dyn Fn(&mut Json);

#[test]
fn slips_are_found() {
    let rule = |change: &dyn Fn(&mut Json)| {
        let mut rule = json!({"title": "T", "level": "high", "status": "test",
            "logsource": {"product": "x"},
            "detection": {"s": {"a|contains|all": ["x", "y"], "b": null}, "condition": "s"}});
        change(&mut rule);
        faults(&schema(What::Rule), &rule, "")
    };
    assert_eq!(rule(&|_| {}), Vec::<String>::new());
    let slips: &[(Slip<'_>, &str)] = &[
        (&|r| r["level"] = "hihg".into(), ".level: enum"),
        (&|r| r["detection"]["s"] = json!({"a|contians": "x"}), ".detection.s: anyOf"),
        (&|r| r["detection"]["s"] = json!({}), ".detection.s: anyOf"),
        (&|r| r["detection"] = json!({"s": {"a": 1}}), ".detection: required"),
        (&|r| r["logsource"] = json!({"produkt": "x"}), ".logsource: anyOf"),
        (&|r| r["id"] = "7".into(), ".id: pattern"),
        (&|r| r["correlation"] = json!({"type": "temporal", "timespan": "5m"}), ": not"),
        (&|r| _ = r.as_object_mut().unwrap().remove("title"), ": required"),
    ];
    for (slip, expected) in slips {
        let found = rule(slip);
        assert!(found.iter().any(|f| f.starts_with(expected)), "{expected} is not in {found:?}");
    }
    let correlation = |section: Json| {
        faults(&schema(What::Rule), &json!({"title": "T", "correlation": section}), "")
    };
    let good =
        json!({"type": "event_count", "rules": "a", "timespan": "5m", "condition": {"gte": 3}});
    assert_eq!(correlation(good.clone()), Vec::<String>::new());
    for (key, value) in
        [("type", json!("count")), ("timespan", json!("5")), ("group_by", json!("a"))]
    {
        let mut section = good.clone();
        section[key] = value;
        assert!(!correlation(section).is_empty(), "{key}");
    }
    let case = |case: Json| faults(&schema(What::Case), &case, "");
    assert_eq!(
        case(json!({"name": "n", "alerts": 2, "events": [{"event": {}}]})),
        Vec::<String>::new()
    );
    for slip in [
        json!({"name": "n", "alerts": true}),
        json!({"name": "n", "alerts": true, "event": {}, "events": [{"event": {}}]}),
        json!({"name": "", "alerts": true, "event": {}}),
        json!({"name": "n", "alerts": "yes", "event": {}}),
        json!({"name": "n", "alerts": true, "events": []}),
    ] {
        assert!(!case(slip.clone()).is_empty(), "{slip}");
    }
    let filter = json!({"title": "F", "logsource": {"product": "x"},
        "filter": {"rules": "any", "s": {"a": 1}, "condition": "not s"}});
    assert_eq!(faults(&schema(What::Filter), &filter, ""), Vec::<String>::new());
    let mut lacking = filter;
    lacking["filter"].as_object_mut().unwrap().remove("rules");
    assert!(!faults(&schema(What::Filter), &lacking, "").is_empty());
}
