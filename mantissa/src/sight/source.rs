//! The program's own source: what it finds about its rules, as events of log type `mantissa.health`.
//! They take the way of every other event, so rules alert on them, routes and suppression apply, the
//! lake keeps them, and a restart says nothing twice: what was said, and when each log type was last
//! heard, is the state that commits with the epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use console::{RuleState, Rules};
use detect::RuleSet;
use event::{Batch, LogType, PartitionKey, Record, Span, Timestamp, Uid};
use ingest::{Emitter, Source, SourceContext, SourceError, Summary, source::last_words};
use normalize::Catalog;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::silence::{Habits, Hush};
use super::{Reach, Reason, Said, Silent, collection, hush, over};
use crate::pipeline::{Seen, now};

/// The name of the source; no configured source can have it.
pub const NAME: &str = "_health";
const LOG_TYPE: &str = "mantissa.health";
const PARTITION: &str = "rules";

/// After a start sources are given this long to speak before they count as silent.
const GRACE_MAX: Duration = Duration::from_secs(600);
/// How often silence is looked for, at most.
const TICK_MAX: Duration = Duration::from_secs(10);
/// How often the times of the last events become durable.
const KEEP_EVERY: Duration = Duration::from_secs(3_600);

/// What the rules see, shared by the pipeline, the reload of rules and the console.
pub struct Sight {
    catalog: Arc<Catalog>,
    /// Log type of each source.
    sources: BTreeMap<Arc<str>, String>,
    reach: ArcSwap<Reach>,
    changed: Notify,
    pub seen: Arc<Seen>,
    pub rules: Rules,
}

impl Sight {
    /// `sources` are the configured sources with their log types.
    pub fn new(
        catalog: Arc<Catalog>,
        rules: &RuleSet,
        sources: BTreeMap<Arc<str>, String>,
    ) -> Self {
        let sight = Self {
            catalog,
            sources,
            reach: ArcSwap::default(),
            changed: Notify::new(),
            seen: Arc::default(),
            rules: Rules::default(),
        };
        sight.reloaded(rules);
        sight
    }

    /// The rules are these from now on.
    pub fn reloaded(&self, rules: &RuleSet) {
        // What the process says of itself has a source as well.
        let own = [LOG_TYPE, collection::LOG_TYPE].map(str::to_owned);
        let log_types: BTreeSet<String> = self.sources.values().cloned().chain(own).collect();
        self.reach.store(Arc::new(Reach::of(&self.catalog, rules, &log_types)));
        self.changed.notify_one();
    }

    /// The log types of which nothing arrived for `blind_after`. `known` are the last arrivals of
    /// earlier processes.
    fn silent(&self, known: &LastHeard, at: Timestamp, blind_after: Duration) -> Silent {
        let heard = self.heard(known);
        let limit = i64::try_from(blind_after.as_nanos()).unwrap_or(i64::MAX);
        let is_silent =
            |last: &Option<Timestamp>| last.is_none_or(|last| at.0.saturating_sub(last.0) >= limit);
        self.sources
            .values()
            .map(|log_type| (log_type.clone(), heard.get(log_type).copied()))
            .filter(|(_, last)| is_silent(last))
            .collect()
    }

    /// When each log type was last heard, by this process or one before.
    fn heard(&self, known: &LastHeard) -> LastHeard {
        let mut heard = known.clone();
        for (source, arrival) in self.seen.all() {
            let Some(log_type) = self.sources.get(&source) else { continue };
            let last = heard.entry(log_type.clone()).or_insert(arrival.arrived_at);
            *last = (*last).max(arrival.arrived_at);
        }
        heard
    }

    fn log_type(&self, source: &str) -> &str {
        self.sources.get(source).map_or("", String::as_str)
    }

    /// Compares what arrives with what the sources are used to, and shows it in the metrics.
    fn look(&self, habits: &mut Habits, at: Timestamp) -> Vec<Hush> {
        let seen: BTreeMap<Arc<str>, Timestamp> =
            self.seen.all().into_iter().map(|(source, a)| (source, a.arrived_at)).collect();
        let hushes = habits.look(at, self.sources.keys(), |source| seen.get(source).copied());
        for hush in &hushes {
            let labels = [("source", hush.source.clone())];
            metrics::gauge!("mantissa_source_silence_ratio", &labels).set(hush.ratio);
            if let Some(heard) = hush.heard {
                let seconds = at.0.saturating_sub(heard.0).max(0) as f64 / 1e9;
                metrics::gauge!("mantissa_source_silence_seconds", &labels).set(seconds);
            }
        }
        hushes
    }

    /// Shows how the rules see to the console and in the metrics.
    fn publish(&self, silent: &Silent) {
        let sights = self.reach.load().sights(silent);
        metrics::gauge!("mantissa_rules_loaded").set(sights.len() as f64);
        for reason in Reason::ALL {
            let count = |state: RuleState| {
                let counts = |sight: &&console::RuleSight| {
                    sight.state == state && sight.reason == Some(reason.as_str())
                };
                sights.iter().filter(counts).count() as f64
            };
            let label = reason.as_str();
            metrics::gauge!("mantissa_rules_blind", "reason" => label).set(count(RuleState::Blind));
            if reason == Reason::MissingField {
                metrics::gauge!("mantissa_rules_dead", "reason" => label)
                    .set(count(RuleState::Dead));
            }
        }
        self.rules.set(sights);
    }
}

/// Says what the numbers mean.
pub fn describe() {
    use metrics::describe_gauge;
    describe_gauge!(
        "mantissa_source_silence_ratio",
        "How unusual it is that nothing arrives from a source; from 1 on it is told."
    );
    describe_gauge!("mantissa_source_silence_seconds", "Since when nothing arrives from a source.");
    describe_gauge!("mantissa_rules_loaded", "Rules that run.");
    describe_gauge!("mantissa_rules_dead", "Rules that can never match, by reason.");
    describe_gauge!("mantissa_rules_blind", "Rules that do not see what they ask for, by reason.");
}

/// Last arrival by log type.
type LastHeard = BTreeMap<String, Timestamp>;

/// What comes back after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// By subject: the identity of what was last said.
    said: BTreeMap<String, Uid>,
    heard: LastHeard,
    /// What every source is used to.
    habits: Habits,
}

/// See the module's documentation.
pub struct HealthSource {
    sight: Arc<Sight>,
    /// Silence longer than this makes rules blind; zero: silence is not looked for.
    blind_after: Duration,
    /// All other sources end by themselves: it says what there is to say and ends.
    is_finite: bool,
}

impl HealthSource {
    pub fn new(sight: Arc<Sight>, blind_after: Duration, is_finite: bool) -> Self {
        Self { sight, blind_after, is_finite }
    }
}

#[async_trait]
impl Source for HealthSource {
    fn is_finite(&self) -> bool {
        self.is_finite
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let SourceContext { name, emitter, mut finished, resume, mut shutdown, .. } = context;
        let partition: Arc<str> = PARTITION.into();
        let (upto, memory) = match resume.get(&partition) {
            // State that a later version wrote is as good as none: something is said again.
            Some(r) => (r.upto, r.state.as_deref().map(serde_json::from_str::<Memory>)),
            None => (0, None),
        };
        let mut teller = Teller {
            key: PartitionKey { source: name, partition },
            upto,
            memory: memory.and_then(Result::ok).unwrap_or_default(),
            kept_at: Instant::now(),
            summary: Summary { opened: 1, ..Summary::default() },
        };
        let began = Instant::now();
        let grace = self.blind_after.min(GRACE_MAX);
        let mut ticks = tokio::time::interval((self.blind_after / 4).clamp(TICK_MIN, TICK_MAX));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.sight.changed.notified() => {}
                () = shutdown.requested() => break,
            }
            // Without a limit nothing is ever silent; before the grace is over nothing is known.
            let judges = self.blind_after.is_zero() || began.elapsed() >= grace;
            let silent = match judges && !self.blind_after.is_zero() && !self.is_finite {
                true => self.sight.silent(&teller.memory.heard, now(), self.blind_after),
                false => Silent::default(),
            };
            self.sight.publish(&silent);
            let at = now();
            let findings = self.sight.reach.load().findings(&silent);
            let mut findings: Vec<Said> =
                findings.iter().map(|f| (f.subject(), f.uid(), f.record(at))).collect();
            if !self.is_finite {
                let hushes = self.sight.look(&mut teller.memory.habits, at);
                let unusual = hushes.iter().filter(|hush| hush.is_unusual());
                let told = unusual.filter(|_| judges);
                findings.extend(told.map(|h| hush(h, self.sight.log_type(&h.source), at)));
            }
            if teller.tell(&self.sight, findings, judges, &emitter).await.is_err() {
                return Ok(teller.summary);
            }
            if self.is_finite {
                return Ok(teller.summary);
            }
        }
        // What was heard is kept for the next start. The pipeline may be gone already.
        let _ = teller.send(&self.sight, Vec::new(), &emitter).await;
        drop(emitter);
        last_words(&mut finished, drop).await;
        Ok(teller.summary)
    }
}

const TICK_MIN: Duration = Duration::from_millis(200);

/// Says what is new.
struct Teller {
    key: PartitionKey,
    upto: u64,
    memory: Memory,
    kept_at: Instant,
    summary: Summary,
}

impl Teller {
    /// Emits what changed since it was last said. `judges` tells whether silence can be judged yet:
    /// until then what was said about it stands.
    async fn tell(
        &mut self,
        sight: &Sight,
        findings: Vec<Said>,
        judges: bool,
        emitter: &Emitter,
    ) -> Result<(), ingest::emitter::Closed> {
        let at = now();
        let mut records = Vec::new();
        let mut said = BTreeMap::new();
        for (subject, uid, record) in findings {
            if self.memory.said.get(&subject) != Some(&uid) {
                records.push((uid, record));
            }
            said.insert(subject, uid);
        }
        let silence = format!("/{}/", Reason::SilentSource.as_str());
        for (subject, before) in &self.memory.said {
            if said.contains_key(subject) {
                continue;
            }
            if !judges && (subject.contains(&silence) || subject.starts_with(super::SILENT)) {
                said.insert(subject.clone(), *before);
            } else {
                records.push((*before, over(subject, at)));
            }
        }
        self.memory.said = said;
        if records.is_empty() && self.kept_at.elapsed() < KEEP_EVERY {
            return Ok(());
        }
        self.send(sight, records, emitter).await
    }

    /// Sends records with the state, or the state alone.
    async fn send(
        &mut self,
        sight: &Sight,
        records: Vec<(Uid, Map<String, Value>)>,
        emitter: &Emitter,
    ) -> Result<(), ingest::emitter::Closed> {
        self.kept_at = Instant::now();
        self.memory.heard = sight.heard(&self.memory.heard);
        let mut bytes = Vec::new();
        let mut framed = Vec::new();
        let after = self.upto;
        for (uid, mut record) in records {
            self.upto += 1;
            // The same after a crash, because it is found again at this position; another when the
            // same is found again later.
            let id = Uid::of("health", &[uid.to_string().as_bytes(), &self.upto.to_be_bytes()]);
            record.insert("id".to_owned(), id.to_string().into());
            let start = bytes.len();
            bytes.extend_from_slice(Value::Object(record).to_string().as_bytes());
            let range = start..bytes.len();
            framed.push(Record { range, at: self.upto, index: 0, header: None, name: None });
        }
        self.summary.records += framed.len() as u64;
        self.summary.bytes += bytes.len() as u64;
        let state = serde_json::to_string(&self.memory).ok().map(Into::into);
        let span = Span { key: self.key.clone(), after, upto: self.upto, state };
        let batch = Batch {
            span,
            origin: None,
            log_type: LogType::from(LOG_TYPE),
            bytes: bytes.into(),
            records: framed,
            rejects: Vec::new(),
            redrives: Vec::new(),
            received_at: now(),
        };
        emitter.send(batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_about_the_process_itself_have_a_source() {
        let rule = |service: &str| {
            let text = format!(
                "title: {service}\nlogsource: {{product: mantissa, service: {service}}}\n\
                 detection: {{s: {{event: X}}, condition: s}}\n"
            );
            (format!("{service}.yml"), text)
        };
        let texts = vec![rule("health"), rule("collection")];
        let (rules, problems) = RuleSet::load(texts, &Default::default());
        assert!(problems.is_empty(), "{problems:?}");
        let sight = Sight::new(Arc::new(Catalog::builtin()), &rules, BTreeMap::new());
        let sights = sight.reach.load().sights(&Silent::default());
        let states: Vec<_> = sights.iter().map(|s| (s.title.as_str(), s.state)).collect();
        assert_eq!(states, [("health", RuleState::Ok), ("collection", RuleState::Ok)]);
    }
}
