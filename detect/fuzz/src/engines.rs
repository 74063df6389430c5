//! Both engines on the same rules and events.

use detect::{Engine, RuleSet};
use event::{Fields, FieldsBuilder, LogSource, Parser, Slots};

/// A rule set bound for one engine.
pub struct Bound {
    fields: Fields,
    matcher: detect::Matcher,
    parser: Parser,
    slots: Slots,
    hits: Vec<u32>,
}

impl Bound {
    /// No log source is given, so that every rule applies.
    pub fn new(rules: &RuleSet, candidates: &dyn Fn(&str) -> Vec<String>, engine: Engine) -> Self {
        let mut builder = FieldsBuilder::default();
        let group = rules.bind(&LogSource::default(), candidates, &mut builder, engine);
        Self {
            fields: builder.build(),
            matcher: group.matcher(),
            parser: Parser::default(),
            slots: Slots::default(),
            hits: Vec::new(),
        }
    }

    /// The rules that hold, or `None` when this is not an event.
    pub fn matches(&mut self, event: &[u8]) -> Option<&[u32]> {
        let doc = self.parser.json(event).ok()?;
        self.slots.fill(&self.fields, &doc);
        self.matcher.matches(&doc, &self.slots, &mut self.hits);
        Some(&self.hits)
    }
}

/// Asserts that the fast engine says of every event what the oracle says.
pub fn agree<'e>(
    rules: &RuleSet,
    candidates: &dyn Fn(&str) -> Vec<String>,
    events: impl IntoIterator<Item = &'e [u8]>,
) {
    let mut fast = Bound::new(rules, candidates, Engine::Fast);
    let mut oracle = Bound::new(rules, candidates, Engine::Oracle);
    for event in events {
        let (have, expected) = (fast.matches(event), oracle.matches(event));
        assert_eq!(have, expected, "the engines differ on {}", String::from_utf8_lossy(event));
    }
}
