//! The correlations of the running program: one state for all workers, behind a lock.
//!
//! What is found is made durable while the lock is held, and is listed in the next epoch together with
//! the state in which it has been said. So a state on disk never claims an alert that nobody has, and
//! every alert is in the lake's table once. The state may know batches that are not in its epoch: after a
//! crash they come again, and inserting an event again changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use detect::correlate::{Arrival, Correlator, Found, MatchedEvent, Observation, Options};
use detect::{Correlation, RuleSet};
use enrich::FactsInput;
use event::time::HOUR_NS;
use event::{Alert, Correlated, CorrelatedEvent, CorrelatedRule, LogType, Span, Timestamp, Uid};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use sink::lake::{Part, StateChange};

use super::in_order::InOrder;
use super::stream::column_names;
use super::worker::{Shared, lake_partition};

/// Correlation rules: how long events are waited for, and how much is remembered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorrelationConfig {
    /// How much later than newer events of its source an event may come and still be in order, in
    /// milliseconds. Alerts that depend on what did not happen, and chains, wait for so long.
    pub lateness_ms: u64,
    /// The same for single sources, by name.
    pub lateness_ms_by_source: BTreeMap<String, u64>,
    /// Memory of all correlations together, in bytes. What was longest without events is forgotten first.
    pub bytes_max: usize,
    /// Memory of one correlation, in bytes; one group may take a quarter of it.
    pub rule_bytes_max: usize,
}

impl Default for CorrelationConfig {
    fn default() -> Self {
        Self {
            lateness_ms: 600_000,
            lateness_ms_by_source: BTreeMap::new(),
            bytes_max: 64 << 20,
            rule_bytes_max: 16 << 20,
        }
    }
}

impl CorrelationConfig {
    fn lateness_ns(&self, source: &str) -> i64 {
        let ms = self.lateness_ms_by_source.get(source).unwrap_or(&self.lateness_ms);
        i64::try_from(*ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
    }

    /// The longest that the events of any source are waited for.
    pub(crate) fn lateness_ns_max(&self) -> i64 {
        let own = self.lateness_ms_by_source.values().copied().max().unwrap_or(0);
        i64::try_from(own.max(self.lateness_ms)).unwrap_or(i64::MAX).saturating_mul(1_000_000)
    }

    pub(crate) fn options(&self) -> Options {
        Options { bytes_max: self.bytes_max, rule_bytes_max: self.rule_bytes_max }
    }
}

/// All correlations at work.
pub struct Correlations {
    config: CorrelationConfig,
    state: Mutex<State>,
    in_order: Mutex<InOrder>,
    /// Whether there are alerts that no epoch lists yet.
    has_unlisted: AtomicBool,
}

struct State {
    correlator: Correlator,
    /// Titles of rules by id, for alerts.
    titles: HashMap<String, String>,
    /// Alerts that are durable and in no epoch yet.
    unlisted: Vec<Alert>,
    /// An alert could not be made durable: what the state says of it is not true.
    is_broken: bool,
    /// By rule, how much had been forgotten for lack of memory when that was last said, and when.
    said: HashMap<String, (u64, Instant)>,
}

/// Correlations begin anew although there was a state: says what is not seen, and counts it.
pub fn tell_of_loss(rules: &RuleSet, why: &str) {
    let longest = rules.correlations().iter().map(|correlation| correlation.timespan_ns).max();
    let Some(longest_ns) = longest else { return };
    let minutes = longest_ns / 60_000_000_000;
    tracing::error!(
        "correlations begin anew: {why}. What came before now is missing in their windows, for up to {minutes} \
         minutes; a backtest of that time finds what was not"
    );
    metrics::counter!("mantissa_correlation_restarts_total").increment(1);
}

/// Between two warnings about one rule.
const WARN_EVERY: Duration = Duration::from_secs(60);

impl Correlations {
    /// Correlations of a rule set, with the state that the last run left behind.
    pub fn new(config: CorrelationConfig, rules: &RuleSet, left: Option<&[u8]>) -> Self {
        let mut correlator = Correlator::new(rules.plans().clone(), config.options());
        if let Some(bytes) = left
            && let Err(e) = correlator.restore(bytes, super::now())
        {
            tell_of_loss(rules, &e.to_string());
            correlator = Correlator::new(rules.plans().clone(), config.options());
        }
        let state = State {
            correlator,
            titles: titles(rules),
            unlisted: Vec::new(),
            is_broken: false,
            said: HashMap::new(),
        };
        let (state, in_order) = (Mutex::new(state), Mutex::default());
        Self { config, state, in_order, has_unlisted: AtomicBool::new(false) }
    }

    /// A source is going to give events that can take part in these plans.
    pub fn expect(&self, source: &str, plans: &[Uid]) {
        self.state.lock().correlator.expect(source, plans, super::now());
    }

    /// A batch is given to a worker. Called in the order of its partition.
    pub fn begun(&self, span: &Span) {
        self.in_order.lock().begun(&span.key, span.upto);
    }

    /// Takes in what a batch has brought; `newest` is its newest event. Returns when what was found is
    /// durable.
    pub fn batch(
        &self,
        shared: &Shared,
        span: &Span,
        newest: Timestamp,
        plans: &[Uid],
        observations: &[Observation],
    ) -> anyhow::Result<()> {
        let done = || self.in_order.lock().done(&span.key, span.upto, newest);
        if plans.is_empty() {
            done();
            return Ok(());
        }
        let (source, partition) = (&*span.key.source, &*span.key.partition);
        let lateness_ns = self.config.lateness_ns(source);
        let mut state = self.state.lock();
        observations.iter().for_each(|observation| state.correlator.observe(observation));
        // After its own observations: whoever moves the clock on knows those of every batch before.
        if let Some(newest) = done() {
            let now = super::now();
            let arrival = Arrival { source, partition, newest, now, lateness_ns, plans };
            state.correlator.arrived(&arrival);
        }
        self.raise(&mut state, shared)
    }

    /// Lets time go on while nothing arrives. To be called where blocking is allowed.
    pub fn tick(&self, shared: &Shared) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        state.correlator.advance(super::now());
        count(&state.correlator);
        state.warn();
        self.raise(&mut state, shared)
    }

    /// The input has ended by itself: what waited for later events is certain now.
    pub fn finish(&self, shared: &Shared) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        state.correlator.finish();
        count(&state.correlator);
        self.raise(&mut state, shared)
    }

    /// Whether there are alerts that want an epoch.
    pub fn has_unlisted(&self) -> bool {
        self.has_unlisted.load(Ordering::Relaxed)
    }

    /// What an epoch that is being cut takes with it: the alerts found since the last one, and the state
    /// as of now.
    pub fn cut(&self) -> (Part, StateChange) {
        let mut state = self.state.lock();
        self.has_unlisted.store(false, Ordering::Relaxed);
        let part = Part { alerts: std::mem::take(&mut state.unlisted), ..Part::default() };
        let change = if state.is_broken || !state.correlator.take_changed() {
            StateChange::Kept
        } else if state.correlator.is_empty() {
            StateChange::Dropped
        } else {
            StateChange::Replaced(state.correlator.snapshot().into())
        };
        (part, change)
    }

    /// Goes on with other rules. What has not changed keeps its state.
    pub fn reload(&self, rules: &RuleSet) {
        let mut state = self.state.lock();
        let mut next = Correlator::new(rules.plans().clone(), self.config.options());
        if next.take_over(&state.correlator, super::now()).is_err() {
            unreachable!("a state is readable to the program that wrote it");
        }
        state.correlator = next;
        state.titles = titles(rules);
    }

    /// Makes what was found durable.
    fn raise(&self, state: &mut State, shared: &Shared) -> anyhow::Result<()> {
        let found = state.correlator.take_found();
        if found.is_empty() {
            return Ok(());
        }
        let alerts: Vec<Alert> = found.iter().map(|found| alert(found, &state.titles)).collect();
        if let Err(e) = shared.make_durable(&alerts) {
            state.is_broken = true;
            return Err(e);
        }
        for alert in &alerts {
            shared.tap.matched(&alert.log_type, &alert.rule.id, &alert.rule.title, || {
                serde_json::to_string(alert).unwrap_or_default()
            });
        }
        state.unlisted.extend(alerts);
        self.has_unlisted.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl State {
    /// Says what had to be forgotten because memory was full.
    fn warn(&mut self) {
        for (id, stats) in self.correlator.stats() {
            let lost = stats.groups_evicted + stats.events_dropped;
            let said = self.said.get(id);
            let is_new = said.map_or(lost > 0, |(before, _)| lost > *before);
            if is_new && said.is_none_or(|(_, at)| at.elapsed() >= WARN_EVERY) {
                tracing::warn!(
                    rule = id,
                    groups = stats.groups_evicted,
                    events = stats.events_dropped,
                    "a correlation forgets for lack of memory: what is forgotten is not counted"
                );
                self.said.insert(id.to_owned(), (lost, Instant::now()));
            }
        }
    }
}

/// Titles of rules and correlations by id.
pub(crate) fn titles(rules: &RuleSet) -> HashMap<String, String> {
    let infos = rules.rules().iter().map(|rule| &rule.info);
    let all = infos.chain(rules.correlations().iter().map(|correlation| &correlation.info));
    all.map(|info| (info.id.clone(), info.title.clone())).collect()
}

/// Shows what correlations hold, and says what they had to give up.
fn count(correlator: &Correlator) {
    for (id, stats) in correlator.stats() {
        let counter = |name: &'static str, value: u64| {
            metrics::counter!(name, "rule" => id.to_owned()).absolute(value);
        };
        counter("mantissa_correlation_events_total", stats.observed);
        counter("mantissa_correlation_late_events_total", stats.late);
        counter("mantissa_correlation_groups_evicted_total", stats.groups_evicted);
        counter("mantissa_correlation_events_dropped_total", stats.events_dropped);
        let gauge = |name: &'static str, value: u64| {
            metrics::gauge!(name, "rule" => id.to_owned()).set(value as f64);
        };
        gauge("mantissa_correlation_groups", stats.groups);
        gauge("mantissa_correlation_bytes", stats.bytes);
    }
}

/// What a match of a correlation tells.
pub(crate) fn alert(found: &Found, titles: &HashMap<String, String>) -> Alert {
    let Found { correlation, alert_id, at, .. } = found;
    let detected_at = super::now();
    let event = common(found);
    let correlated = correlated(found, correlation, titles);
    let log_type = LogType::from(&*at.told.log_type);
    let filed = Timestamp(i64::from(at.told.hour).saturating_mul(HOUR_NS));
    Alert {
        alert_id: *alert_id,
        facts: enrich::facts(&FactsInput {
            rule: &correlation.info,
            log_type: log_type.as_str(),
            event_time: at.time,
            detected_at,
            event: &event,
            correlated: Some(&correlated),
            replayed: false,
        }),
        rule: correlation.info.clone(),
        source: at.told.source.to_string(),
        event_uid: at.told.event_uid.to_string(),
        event_time: at.time,
        detected_at,
        lake_partition: lake_partition(&log_type, filed),
        log_type: log_type.to_string(),
        event,
        dedup_key: String::new(),
        correlated: Some(correlated),
        replayed: false,
    }
}

/// The columns that hold the values of the group in all of its events.
fn common(found: &Found) -> serde_json::Map<String, serde_json::Value> {
    let values = found.group.iter().flat_map(|(_, value)| {
        column_names(value.columns).map(|name| (name.to_owned(), (&*value.text).into()))
    });
    values.collect()
}

fn correlated(
    found: &Found,
    correlation: &Correlation,
    titles: &HashMap<String, String>,
) -> Correlated {
    let title = |id: &String| CorrelatedRule {
        id: id.clone(),
        title: titles.get(id).cloned().unwrap_or_default(),
    };
    let event = |event: &MatchedEvent| CorrelatedEvent {
        event_time: event.time,
        event_uid: event.told.event_uid.to_string(),
        alert_id: event.alert,
        source: event.told.source.to_string(),
        log_type: event.told.log_type.to_string(),
        rules: event.rules.clone(),
    };
    Correlated {
        group: found
            .group
            .iter()
            .map(|(field, value)| (field.clone(), (&*value.text).into()))
            .collect(),
        timespan_s: u64::try_from(correlation.timespan_ns / 1_000_000_000).unwrap_or(0),
        total: found.total,
        rules: correlation.members.iter().map(|member| title(&member.id)).collect(),
        events: found.events.iter().map(event).collect(),
    }
}
