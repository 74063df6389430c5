//! rsigma, in the two ways that are fast: one engine with all rules that is told the log source of each
//! event, and an engine for each log source that holds only the rules for it.

use std::hint::black_box;

use event::LogSource;
use event::log_source::Tag;
use rsigma_eval::{EvaluationResult, JsonEvent};
use rsigma_parser::{SigmaCollection, SigmaRule, parse_sigma_yaml};

use super::{Loaded, Refusal, key};

struct Rsigma {
    name: &'static str,
    engines: Vec<rsigma_eval::Engine>,
    /// The engine of a log source, and what it is told of the log source, if anything.
    routes: Vec<(usize, Option<rsigma_parser::LogSource>)>,
}

pub fn routed(
    files: &[(String, String)],
    sources: &[LogSource],
) -> (Box<dyn super::Engine>, Loaded) {
    let (collection, mut loaded) = parse(files);
    let engine = engine(&collection, &|_| true, &mut loaded.refused);
    loaded.rules = engine.rule_count();
    let routes = sources.iter().map(|source| (0, Some(told(source)))).collect();
    (Box::new(Rsigma { name: "rsigma routed", engines: vec![engine], routes }), loaded)
}

pub fn sharded(
    files: &[(String, String)],
    sources: &[LogSource],
) -> (Box<dyn super::Engine>, Loaded) {
    let (collection, mut loaded) = parse(files);
    let mut refused = Vec::new();
    let shard = |source| engine(&collection, &|rule| applies(rule, source), &mut refused);
    let engines = sources.iter().map(shard).collect();
    // What fails to compile fails in each engine.
    refused.sort_by(|a, b| a.file.cmp(&b.file));
    refused.dedup_by(|a, b| a.file == b.file);
    loaded.rules = collection.rules.len() - refused.len();
    loaded.refused.append(&mut refused);
    let routes = (0..sources.len()).map(|at| (at, None)).collect();
    (Box::new(Rsigma { name: "rsigma sharded", engines, routes }), loaded)
}

fn parse(files: &[(String, String)]) -> (SigmaCollection, Loaded) {
    let (mut all, mut loaded) = (SigmaCollection::new(), Loaded::default());
    let mut refuse = |file: &str, reason: String| {
        loaded.refused.push(Refusal { file: file.to_owned(), reason });
    };
    for (path, text) in files {
        match parse_sigma_yaml(text) {
            Ok(collection) => {
                all.rules.extend(collection.rules);
                all.filters.extend(collection.filters);
                collection.errors.into_iter().for_each(|reason| refuse(path, reason));
            }
            Err(error) => refuse(path, error.to_string()),
        }
    }
    loaded.titles = all
        .rules
        .iter()
        .map(|rule| (key(rule.id.as_deref(), &rule.title), rule.title.clone()))
        .collect();
    (all, loaded)
}

fn engine(
    collection: &SigmaCollection,
    wanted: &dyn Fn(&SigmaRule) -> bool,
    refused: &mut Vec<Refusal>,
) -> rsigma_eval::Engine {
    let mut engine = rsigma_eval::Engine::new();
    let rules: Vec<&SigmaRule> = collection.rules.iter().filter(|rule| wanted(rule)).collect();
    for (at, error) in engine.add_rules(rules.iter().copied()) {
        refused.push(Refusal { file: rules[at].title.clone(), reason: error.to_string() });
    }
    for filter in &collection.filters {
        if let Err(error) = engine.apply_filter(filter) {
            refused.push(Refusal { file: filter.title.clone(), reason: error.to_string() });
        }
    }
    engine
}

fn applies(rule: &SigmaRule, source: &LogSource) -> bool {
    source.product.admits(rule.logsource.product.as_deref())
        && source.category.admits(rule.logsource.category.as_deref())
        && source.service.admits(rule.logsource.service.as_deref())
}

/// Its rules conflict with a value that is not theirs. "Known to have none" is no value of any rule.
fn told(source: &LogSource) -> rsigma_parser::LogSource {
    let part = |tag: &Tag| match tag {
        // Of several names it can be told none; a table of log sources has one.
        Tag::Unknown | Tag::AnyOf(_) => None,
        Tag::None => Some("none".to_owned()),
        Tag::Is(value) => Some(value.to_string()),
    };
    rsigma_parser::LogSource {
        product: part(&source.product),
        category: part(&source.category),
        service: part(&source.service),
        ..Default::default()
    }
}

impl Rsigma {
    fn evaluate(&self, source: usize, event: &[u8]) -> Option<Vec<EvaluationResult>> {
        let value: serde_json::Value = serde_json::from_slice(event).ok()?;
        let event = JsonEvent::borrow(&value);
        let (engine, told) = &self.routes[source];
        let engine = &self.engines[*engine];
        Some(match told {
            Some(told) => engine.evaluate_pruned(&event, told),
            None => engine.evaluate(&event),
        })
    }
}

impl super::Engine for Rsigma {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parse(&mut self, event: &[u8]) -> bool {
        black_box(serde_json::from_slice::<serde_json::Value>(event)).is_ok()
    }

    fn count(&mut self, source: usize, event: &[u8]) -> usize {
        self.evaluate(source, event).map_or(0, |found| found.len())
    }

    fn found(&mut self, source: usize, event: &[u8]) -> Option<Vec<String>> {
        let found = self.evaluate(source, event)?;
        let of = |r: &EvaluationResult| key(r.header.rule_id.as_deref(), &r.header.rule_title);
        Some(found.iter().map(of).collect())
    }
}
