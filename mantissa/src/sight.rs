//! Which rules can see what they were written for. A rule that needs a field its log type never has is
//! *dead*; one whose log type no source gives, or gave for too long, or that reads a field its log type
//! lacks, is *blind*. Nothing here is a guess: the fields come from the log types, the silence from
//! what arrived.
//!
//! Everything is computed from the rules, the log types and the times it is given; what is said about
//! it goes out through [`source`], as events. This module must not read a clock or send anything.

pub mod collection;
pub mod silence;
pub mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use console::{RuleSight, RuleState};
use detect::{Engine, Rule, RuleSet};
use event::{FieldsBuilder, Timestamp, Uid};
use normalize::Catalog;
use serde_json::{Map, Value, json};

use silence::Hush;

/// Why a rule does not see, or not all. The names are those of metrics and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It reads a field that its log type never has.
    MissingField,
    /// No source is configured that gives its log type.
    NoSource,
    /// No event of its log type arrived for too long.
    SilentSource,
}

impl Reason {
    pub const ALL: [Self; 3] = [Self::MissingField, Self::NoSource, Self::SilentSource];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::NoSource => "no_source",
            Self::SilentSource => "silent_source",
        }
    }
}

/// What a rule set can reach in the log types of the configured sources.
#[derive(Debug, Default)]
pub struct Reach {
    rules: Vec<RuleReach>,
}

#[derive(Debug)]
struct RuleReach {
    rule: Arc<Rule>,
    /// The log types it applies to.
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    log_type: String,
    /// Fields it reads that this log type never has.
    missing: Vec<String>,
    /// Without them it can never match there.
    is_dead: bool,
}

/// What is to be said about a log type: which rules, and since when.
#[derive(Clone, Debug)]
pub struct Finding {
    pub state: RuleState,
    pub reason: Reason,
    pub log_type: String,
    /// Of a silent log type: when its last event arrived, if ever.
    pub since: Option<Timestamp>,
    /// Fields that are missing, for [`Reason::MissingField`].
    pub fields: BTreeSet<String>,
    pub rules: Vec<Arc<Rule>>,
}

/// The log types that have been silent for too long, with the time of their last event.
pub type Silent = BTreeMap<String, Option<Timestamp>>;

impl Reach {
    /// Looks up every field of every rule in these log types.
    pub fn of(catalog: &Catalog, rules: &RuleSet, log_types: &BTreeSet<String>) -> Self {
        let mut reach: Vec<RuleReach> = rules
            .rules()
            .iter()
            .map(|rule| RuleReach { rule: Arc::clone(rule), streams: Vec::new() })
            .collect();
        for log_type in log_types {
            let Some(mapping) = catalog.get(log_type) else { continue };
            let candidates = |field: &str| mapping.candidates(field);
            let mut fields = FieldsBuilder::default();
            let group = rules.bind(mapping.log_source(), &candidates, &mut fields, Engine::Oracle);
            let mut gaps: BTreeMap<&str, (Vec<String>, bool)> = BTreeMap::new();
            let dead = group.unresolved(&|field| mapping.knows(field));
            for dead in &dead {
                let gap = gaps.entry(&dead.rule.info.id).or_default();
                gap.0.push(dead.field.clone());
                gap.1 |= dead.silent;
            }
            let applies = |r: &&mut RuleReach| r.rule.log_source.applies_to(mapping.log_source());
            for reached in reach.iter_mut().filter(applies) {
                let (missing, is_dead) =
                    gaps.get(&*reached.rule.info.id).cloned().unwrap_or_default();
                reached.streams.push(Stream { log_type: log_type.clone(), missing, is_dead });
            }
        }
        Self { rules: reach }
    }

    /// How each rule sees, in the order of the rules.
    pub fn sights(&self, silent: &Silent) -> Vec<RuleSight> {
        self.rules.iter().map(|rule| rule.sight(silent)).collect()
    }

    /// What is worth an alert, in a fixed order. Rules without a source are not: the configuration
    /// says so already.
    pub fn findings(&self, silent: &Silent) -> Vec<Finding> {
        let mut found: BTreeMap<(Reason, bool, &str), Finding> = BTreeMap::new();
        for rule in &self.rules {
            let (state, reason) = rule.judge(silent);
            let Some(reason) = reason.filter(|reason| *reason != Reason::NoSource) else {
                continue;
            };
            for stream in rule.streams.iter().filter(|stream| stream.shows(reason, silent)) {
                let key = (reason, state == RuleState::Dead, &*stream.log_type);
                let finding = found.entry(key).or_insert_with(|| Finding {
                    state,
                    reason,
                    log_type: stream.log_type.clone(),
                    since: silent.get(&stream.log_type).copied().flatten(),
                    fields: BTreeSet::new(),
                    rules: Vec::new(),
                });
                finding.rules.push(Arc::clone(&rule.rule));
                if reason == Reason::MissingField {
                    finding.fields.extend(stream.missing.iter().cloned());
                }
            }
        }
        found.into_values().collect()
    }
}

impl Stream {
    /// Whether this log type is where the reason lies.
    fn shows(&self, reason: Reason, silent: &Silent) -> bool {
        match reason {
            Reason::MissingField => !self.missing.is_empty(),
            Reason::SilentSource => !self.is_dead && silent.contains_key(&self.log_type),
            Reason::NoSource => false,
        }
    }
}

impl RuleReach {
    fn judge(&self, silent: &Silent) -> (RuleState, Option<Reason>) {
        if self.streams.is_empty() {
            return (RuleState::Blind, Some(Reason::NoSource));
        }
        if self.streams.iter().all(|stream| stream.is_dead) {
            return (RuleState::Dead, Some(Reason::MissingField));
        }
        let mut living = self.streams.iter().filter(|stream| !stream.is_dead);
        if living.all(|stream| silent.contains_key(&stream.log_type)) {
            return (RuleState::Blind, Some(Reason::SilentSource));
        }
        // A rule for every product is not blamed for what one product lacks.
        let names_product = self.rule.log_source.product.is_some();
        if names_product && self.streams.iter().any(|stream| !stream.missing.is_empty()) {
            return (RuleState::Blind, Some(Reason::MissingField));
        }
        (RuleState::Ok, None)
    }

    fn sight(&self, silent: &Silent) -> RuleSight {
        let (state, reason) = self.judge(silent);
        let detail = match reason {
            Some(reason) => self.detail(reason, silent),
            None => String::new(),
        };
        RuleSight {
            id: self.rule.info.id.clone(),
            title: self.rule.info.title.clone(),
            level: self.rule.info.level,
            log_types: self.streams.iter().map(|stream| stream.log_type.clone()).collect(),
            state,
            reason: reason.map(Reason::as_str),
            detail,
        }
    }

    fn detail(&self, reason: Reason, silent: &Silent) -> String {
        if reason == Reason::NoSource {
            return "no source is configured that gives its log type".to_owned();
        }
        let shown = self.streams.iter().filter(|stream| stream.shows(reason, silent));
        let part = |stream: &Stream| match reason {
            Reason::MissingField => {
                format!("{} has no field {}", stream.log_type, stream.missing.join(", "))
            }
            _ => quiet(&stream.log_type, silent.get(&stream.log_type).copied().flatten()),
        };
        shown.map(part).collect::<Vec<_>>().join("; ")
    }
}

fn quiet(log_type: &str, since: Option<Timestamp>) -> String {
    match since {
        Some(since) => format!("no event of {log_type} arrived since {since}"),
        None => format!("no event of {log_type} has ever arrived"),
    }
}

/// Rules that an event names.
const RULES_SHOWN_MAX: usize = 50;
/// Titles in the sentence for people.
const TITLES_SHOWN_MAX: usize = 5;

impl Finding {
    /// What it is about, the same as long as nothing but its rules and its time change.
    pub fn subject(&self) -> String {
        format!("{}/{}/{}", self.kind(), self.reason.as_str(), self.log_type)
    }

    /// What it says: another when its rules change or its silence is another.
    pub fn uid(&self) -> Uid {
        let since = self.since.map_or(String::new(), |since| since.0.to_string());
        let subject = self.subject();
        let mut parts = vec![subject.as_bytes(), since.as_bytes()];
        parts.extend(self.fields.iter().map(|field| field.as_bytes()));
        parts.extend(self.rules.iter().map(|rule| rule.info.id.as_bytes()));
        Uid::of("sight", &parts)
    }

    fn kind(&self) -> &'static str {
        match self.state {
            RuleState::Dead => "rules.dead",
            RuleState::Blind | RuleState::Ok => "rules.blind",
        }
    }

    /// The record of log type `mantissa.health` that says it, without its id.
    pub fn record(&self, now: Timestamp) -> Map<String, Value> {
        let rules: Vec<_> = self.rules.iter().take(RULES_SHOWN_MAX).map(named).collect();
        members(json!({
            "time": now.to_string(),
            "event": self.kind(),
            "reason": self.reason.as_str(),
            "log_type": self.log_type,
            "since": self.since.map(|since| since.to_string()),
            "fields": self.fields,
            "rule_count": self.rules.len(),
            "rules": rules,
            "message": self.message(),
        }))
    }

    fn message(&self) -> String {
        let titles = self.rules.iter().take(TITLES_SHOWN_MAX).map(|rule| &*rule.info.title);
        let titles = titles.collect::<Vec<_>>().join(", ");
        let more = self.rules.len().saturating_sub(TITLES_SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let count = crate::report::plural(self.rules.len() as u64, "rule", "rules");
        let cause = match self.reason {
            Reason::SilentSource => quiet(&self.log_type, self.since),
            _ => {
                let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
                format!("{} has no field {}", self.log_type, fields.join(", "))
            }
        };
        let effect = match (self.state, self.reason) {
            (RuleState::Dead, _) => "can never match",
            (_, Reason::SilentSource) => "see nothing",
            _ => "do not see everything they ask for",
        };
        format!("{count} {effect}: {cause} ({titles}{more})")
    }
}

fn named(rule: &Arc<Rule>) -> Value {
    json!({"id": rule.info.id, "title": rule.info.title})
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A source is silent that is expected to speak.
const SILENT: &str = "source.silent";
const SPEAKING: &str = "source.speaking";

/// What is to be said: subject, identity and record, without its id.
pub type Said = (String, Uid, Map<String, Value>);

/// That a source has fallen silent; again only when it has spoken meanwhile.
pub fn hush(hush: &Hush, log_type: &str, now: Timestamp) -> Said {
    let Hush { source, heard, .. } = hush;
    let since = heard.map(|heard| heard.to_string());
    let subject = format!("{SILENT}/unusual/{source}");
    let uid = Uid::of("silence", &[source.as_bytes(), since.as_deref().unwrap_or("").as_bytes()]);
    let told = since.as_deref().unwrap_or("the start");
    let record = json!({
        "time": now.to_string(),
        "event": SILENT,
        "reason": "unusual",
        "log_type": log_type,
        "source": source,
        "since": since,
        "message": format!(
            "nothing has come from the source {source} since {told}, although it spoke at these hours of the weeks before"
        ),
    });
    (subject, uid, members(record))
}

/// The record that says that something holds no longer, without its id.
pub fn over(subject: &str, now: Timestamp) -> Map<String, Value> {
    let mut parts = subject.splitn(3, '/');
    let (kind, reason) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let about = parts.next().unwrap_or_default();
    let is_source = kind == SILENT;
    let event = if is_source { SPEAKING } else { "rules.seeing" };
    members(json!({
        "time": now.to_string(),
        "event": event,
        "reason": reason,
        "log_type": (!is_source).then_some(about),
        "source": is_source.then_some(about),
        "message": format!("over: {kind} for {about}, {reason}"),
    }))
}

#[cfg(test)]
mod tests;
