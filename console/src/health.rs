//! What the program says about itself: named checks, each ok, degraded or failed with a reason.
//! This module decides nothing about what is healthy; it keeps the last word of each check.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// More checks than any configuration has; what comes after them is folded into one.
const CHECKS_MAX: usize = 1_000;
const REASON_CHARS_MAX: usize = 500;
const OVERFLOW: &str = "more-checks";

/// How a named part is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    Ok,
    /// Works, but somebody should look: a destination is down and its alerts wait.
    Degraded,
    /// Does not work: the program is not ready.
    Failed,
}

/// The last word of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    pub condition: Condition,
    /// A sentence; empty when all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// All checks, and whether the program is ready for work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No check failed, and there is at least one: before the first word it is still starting.
    pub ready: bool,
    pub condition: Condition,
    pub checks: Vec<Check>,
}

/// The shared handle. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<String, (Condition, String)>>>,
}

impl Health {
    pub fn ok(&self, name: &str) {
        self.set(name, Condition::Ok, "");
    }

    pub fn degraded(&self, name: &str, reason: &str) {
        self.set(name, Condition::Degraded, reason);
    }

    pub fn failed(&self, name: &str, reason: &str) {
        self.set(name, Condition::Failed, reason);
    }

    /// Replaces what was said about `name`.
    pub fn set(&self, name: &str, condition: Condition, reason: &str) {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        let mut checks = self.checks.lock();
        let full = checks.len() >= CHECKS_MAX && !checks.contains_key(name);
        let name = if full { OVERFLOW } else { name };
        checks.insert(name.to_owned(), (condition, reason));
    }

    /// Forgets a part that is gone.
    pub fn remove(&self, name: &str) {
        self.checks.lock().remove(name);
    }

    /// The checks by name.
    pub fn report(&self) -> Report {
        let checks: Vec<Check> = self
            .checks
            .lock()
            .iter()
            .map(|(name, (condition, reason))| Check {
                name: name.clone(),
                condition: *condition,
                reason: reason.clone(),
            })
            .collect();
        let worst = checks.iter().map(|c| c.condition).max();
        let condition = worst.unwrap_or(Condition::Failed);
        Report { ready: condition < Condition::Failed, condition, checks }
    }
}
