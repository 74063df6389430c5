//! sigma-rust, which evaluates a rule on an event: the rules of each log source, one after the other.

use std::hint::black_box;

use event::LogSource;
use serde::Deserialize as _;
use sigma_rust::{Event, Rule, event_from_json};

use super::{Engine, Loaded, Refusal, key};

struct SigmaRust {
    rules: Vec<Rule>,
    /// For each log source, indices into `rules`.
    routes: Vec<Vec<usize>>,
}

pub fn load(files: &[(String, String)], sources: &[LogSource]) -> (Box<dyn Engine>, Loaded) {
    let (mut rules, mut loaded) = (Vec::new(), Loaded::default());
    for (path, text) in files {
        for document in serde_norway::Deserializer::from_str(text) {
            match Rule::deserialize(document) {
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    loaded.refused.push(Refusal { file: path.clone(), reason: error.to_string() })
                }
            }
        }
    }
    loaded.rules = rules.len();
    loaded.titles = rules.iter().map(|rule| (key_of(rule), rule.title.clone())).collect();
    let route = |source: &LogSource| {
        let apply = rules.iter().enumerate().filter(|(_, rule)| applies(rule, source));
        apply.map(|(at, _)| at).collect()
    };
    let routes = sources.iter().map(route).collect();
    (Box::new(SigmaRust { rules, routes }), loaded)
}

fn key_of(rule: &Rule) -> String {
    key(rule.id.as_deref(), &rule.title)
}

fn applies(rule: &Rule, source: &LogSource) -> bool {
    source.product.admits(rule.logsource.product.as_deref())
        && source.category.admits(rule.logsource.category.as_deref())
        && source.service.admits(rule.logsource.service.as_deref())
}

fn read(event: &[u8]) -> Option<Event> {
    event_from_json(std::str::from_utf8(event).ok()?).ok()
}

impl SigmaRust {
    fn matching(&self, source: usize, event: &Event) -> impl Iterator<Item = &Rule> {
        let route = self.routes[source].iter().map(|at| &self.rules[*at]);
        route.filter(move |rule| rule.is_match(event))
    }
}

impl Engine for SigmaRust {
    fn name(&self) -> &'static str {
        "sigma-rust"
    }

    fn parse(&mut self, event: &[u8]) -> bool {
        black_box(read(event)).is_some()
    }

    fn count(&mut self, source: usize, event: &[u8]) -> usize {
        read(event).map_or(0, |event| self.matching(source, &event).count())
    }

    fn found(&mut self, source: usize, event: &[u8]) -> Option<Vec<String>> {
        let event = read(event)?;
        Some(self.matching(source, &event).map(key_of).collect())
    }
}
