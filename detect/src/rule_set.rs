//! All rules that are loaded together.

use std::sync::Arc;

use event::{FieldsBuilder, LogSource};

use crate::engine::{Engine, Group};
use crate::ir::Rule;

/// Rules in the order they were loaded. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
}

impl RuleSet {
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self { rules }
    }

    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Compiles the rules that apply to a log source. `candidates` gives the record paths under which
    /// a rule's field may be found, best first; none means the name as it is. Their slots are
    /// registered with `builder`.
    pub fn bind(
        &self,
        log_source: &LogSource,
        candidates: &dyn Fn(&str) -> Vec<String>,
        builder: &mut FieldsBuilder,
        engine: Engine,
    ) -> Arc<Group> {
        let applies = |rule: &&Arc<Rule>| rule.log_source.applies_to(log_source);
        let rules = self.rules.iter().filter(applies).cloned().collect();
        Arc::new(Group::new(rules, candidates, builder, engine))
    }
}
