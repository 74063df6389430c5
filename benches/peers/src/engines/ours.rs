//! Ours, as the pipeline runs it: rules are compiled once for each log source.

use std::hint::black_box;
use std::sync::Arc;

use detect::{Group, Matcher, Placeholders, Rule, RuleSet, Severity};
use event::{Fields, FieldsBuilder, LogSource, Parser, Slots};

use super::{Engine, Loaded, Refusal, key};

struct Bound {
    fields: Fields,
    group: Arc<Group>,
    matcher: Matcher,
}

struct Ours {
    bound: Vec<Bound>,
    parser: Parser,
    slots: Slots,
    hits: Vec<u32>,
}

pub fn load(
    files: &[(String, String)],
    sources: &[LogSource],
    hierarchy: bool,
) -> (Box<dyn Engine>, Loaded) {
    let (rules, problems) = RuleSet::load(files.iter().cloned(), &Placeholders::new());
    let refused = problems.into_iter().filter(|p| p.severity == Severity::Error);
    let loaded = Loaded {
        rules: rules.rules().len(),
        refused: refused.map(|p| Refusal { file: p.file, reason: p.message }).collect(),
        titles: rules.rules().iter().map(|r| (key_of(r), r.info.title.clone())).collect(),
    };
    let bound = sources.iter().map(|source| bind(&rules, source, hierarchy)).collect();
    let ours = Ours { bound, parser: Parser::default(), slots: Slots::default(), hits: Vec::new() };
    (Box::new(ours), loaded)
}

fn key_of(rule: &Rule) -> String {
    key(Some(&rule.info.id), &rule.info.title)
}

fn bind(rules: &RuleSet, source: &LogSource, hierarchy: bool) -> Bound {
    let literal = |rule: &&Arc<Rule>| {
        hierarchy || source.category.admits(rule.log_source.category.as_deref())
    };
    let rules = RuleSet::new(rules.rules().iter().filter(literal).cloned().collect());
    let mut builder = FieldsBuilder::default();
    let group = rules.bind(source, &|_| Vec::new(), &mut builder, detect::Engine::Fast);
    Bound { fields: builder.build(), matcher: group.matcher(), group }
}

impl Ours {
    /// Leaves the rules that match in `hits`. Whether the event could be read.
    fn evaluate(&mut self, source: usize, event: &[u8]) -> bool {
        self.hits.clear();
        let bound = &mut self.bound[source];
        let Ok(doc) = self.parser.json(event) else { return false };
        self.slots.fill(&bound.fields, &doc);
        bound.matcher.matches(&doc, &self.slots, &mut self.hits);
        true
    }
}

impl Engine for Ours {
    fn name(&self) -> &'static str {
        "mantissa"
    }

    fn parse(&mut self, event: &[u8]) -> bool {
        black_box(self.parser.json(event)).is_ok()
    }

    fn count(&mut self, source: usize, event: &[u8]) -> usize {
        self.evaluate(source, event);
        self.hits.len()
    }

    fn found(&mut self, source: usize, event: &[u8]) -> Option<Vec<String>> {
        let group = Arc::clone(&self.bound[source].group);
        let read = self.evaluate(source, event);
        read.then(|| self.hits.iter().map(|hit| key_of(group.rule(*hit))).collect())
    }
}
