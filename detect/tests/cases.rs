//! Every line of the Sigma specification's checklist as a rule with records that it must and must
//! not match (`cases/*.yml`), on the oracle and on the fast engine.

mod support;

use std::path::Path;
use std::sync::Arc;

use detect::{Diagnostic, Engine, Rule, RuleSet, yaml};
use event::log_source::{LogSource, Tag};
use event::{FieldsBuilder, Parser, Slots};
use serde_json::Value as Json;
use support::placeholders;

fn texts(json: Option<&Json>) -> Vec<String> {
    let list = json.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|e| e.as_str().map_or_else(|| e.to_string(), str::to_owned)).collect()
}

fn matches(rule: &Arc<Rule>, event: &str, engine: Engine) -> bool {
    let aliases = |field: &str| texts(rule.meta.custom.get("aliases").and_then(|a| a.get(field)));
    let set = RuleSet::new(vec![Arc::clone(rule)]);
    let mut builder = FieldsBuilder::default();
    let log_source = LogSource { product: Tag::parse("test"), ..LogSource::default() };
    let group = set.bind(&log_source, &aliases, &mut builder, engine);
    let fields = builder.build();
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let doc = parser.json(event.as_bytes()).unwrap_or_else(|e| panic!("{event}: {e}"));
    slots.fill(&fields, &doc);
    group.matcher().matches(&doc, &slots, &mut hits);
    !hits.is_empty()
}

/// Returns how many records were checked.
fn check_records(rule: &Arc<Rule>, faults: &mut Vec<String>) -> usize {
    let mut checked = 0;
    for (key, expected) in [("alerts", true), ("quiet", false)] {
        let events = texts(rule.meta.custom.get(key));
        if events.is_empty() {
            faults.push(format!("{}: no `{key}`", rule.info.title));
        }
        for event in events {
            checked += 1;
            for engine in [Engine::Oracle, Engine::Fast] {
                if matches(rule, &event, engine) != expected {
                    let title = &rule.info.title;
                    faults.push(format!("{title}: {event} should be in {key} ({engine:?})"));
                }
            }
        }
    }
    checked
}

fn check_diagnostics(title: &str, wanted: &[Json], have: &[&Diagnostic], faults: &mut Vec<String>) {
    let fits = |wanted: &Json, have: &Diagnostic| {
        let part = texts(Some(wanted));
        let hint = have.hint.as_deref().unwrap_or("");
        part[0] == have.severity.as_str()
            && part[1] == have.span
            && have.message.contains(&part[2])
            && part.get(3).is_none_or(|part| hint.contains(part))
    };
    let same = wanted.len() == have.len() && wanted.iter().zip(have).all(|(w, h)| fits(w, h));
    if !same {
        faults.push(format!("{title}: expected {wanted:#?}\nhave {have:#?}"));
    }
}

#[test]
fn every_case_of_every_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (mut faults, mut records, mut documents) = (Vec::new(), 0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Histories have a test of their own.
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (set, diagnostics) = RuleSet::load([(name.clone(), text.clone())], &placeholders());
        let starts: Vec<_> = yaml::documents(&text);
        for (index, (at, document)) in starts.iter().enumerate() {
            documents += 1;
            let end = starts.get(index + 1).map_or(u32::MAX, |next| next.0.line);
            // A document that is not YAML is known by where its problem is.
            let inside = |line: u32| (at.line..end).contains(&line);
            let said: Vec<_> = diagnostics.iter().filter(|d| inside(d.line)).collect();
            let Ok(node) = document else {
                assert_eq!((said.len(), said[0].message.contains("occurs twice")), (1, true));
                continue;
            };
            let custom = |key| node.get(key).map(to_json);
            let title = node.get("title").map_or("(no title)", |n| n.text());
            let wanted = custom("diagnostics").unwrap_or(Json::Array(Vec::new()));
            check_diagnostics(title, wanted.as_array().unwrap(), &said, &mut faults);
            let loaded = set.rules().iter().find(|r| inside(r.at.line));
            let correlated = set.correlations().iter().any(|c| inside(c.at.line));
            match loaded {
                Some(rule) => records += check_records(rule, &mut faults),
                None if node.get("alerts").is_some() => faults.push(format!("{title}: refused")),
                None => {}
            }
            let refused = said.iter().any(|d| d.severity == detect::Severity::Error);
            if refused == (loaded.is_some() || correlated) && node.get("filter").is_none() {
                faults.push(format!("{title}: errors and loading do not go together"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(documents > 80 && records > 350, "{documents} documents, {records} records");
}

fn to_json(node: &yaml::Node) -> Json {
    match &node.kind {
        yaml::Kind::Sequence(list) => list.iter().map(to_json).collect(),
        _ => Json::String(node.text().to_owned()),
    }
}
