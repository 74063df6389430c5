//! All rules that are loaded together.

use std::sync::Arc;

use event::{FieldsBuilder, LogSource};
use hashbrown::HashMap;

use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::{Engine, Group};
use crate::ir::Rule;
use crate::parse::{self, Placeholders};

/// Rules in the order they were loaded. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
}

impl RuleSet {
    /// Reads files, each a path (for messages only) and its text. What cannot be loaded is left out
    /// and reported, in the order of the files.
    pub fn load(
        files: impl IntoIterator<Item = (String, String)>,
        placeholders: &Placeholders,
    ) -> (Self, Vec<Diagnostic>) {
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        let mut diagnostics = Vec::new();
        let mut by_id: HashMap<String, Arc<Rule>> = HashMap::new();
        for (path, text) in files {
            let (found, mut problems) = parse::file(&path, &text, placeholders);
            diagnostics.append(&mut problems);
            for rule in found.into_iter().map(Arc::new) {
                match by_id.get(&rule.info.id) {
                    Some(first) => diagnostics.push(duplicate(&rule, first)),
                    None => {
                        by_id.insert(rule.info.id.clone(), Arc::clone(&rule));
                        rules.push(rule);
                    }
                }
            }
        }
        (Self { rules }, diagnostics)
    }

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

/// Two rules of one id would share the identity of their alerts.
fn duplicate(rule: &Rule, first: &Rule) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: rule.file.to_string(),
        line: rule.at.line,
        column: rule.at.column,
        span: String::new(),
        message: format!(
            "the id {} is that of another rule already, {}:{}",
            rule.info.id, first.file, first.at.line
        ),
        hint: Some("give each rule an id of its own".to_owned()),
    }
}
