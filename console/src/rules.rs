//! The rules that run and whether they can see what they were written for. This module keeps what it
//! is told and shows it.

use std::sync::Arc;

use event::Level;
use parking_lot::Mutex;
use serde::Serialize;

/// How a rule sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    Ok,
    /// It does not see what it asks for, or not all of it.
    Blind,
    /// It can never match.
    Dead,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSight {
    pub id: String,
    pub title: String,
    pub level: Level,
    /// The log types of configured sources that it applies to.
    pub log_types: Vec<String>,
    pub state: RuleState,
    /// One word, as in the metrics; none when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// For people; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The shared handle. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Mutex<Arc<Vec<RuleSight>>>>);

impl Rules {
    /// Replaces what was said about all rules.
    pub fn set(&self, rules: Vec<RuleSight>) {
        *self.0.lock() = Arc::new(rules);
    }

    /// All rules, those that see least first.
    pub fn get(&self) -> Vec<RuleSight> {
        let mut rules = Vec::clone(&*self.0.lock());
        rules.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| a.title.cmp(&b.title)));
        rules
    }
}
