//! The state of all correlations, and what comes of an observation and of time.
//!
//! Conditions that can only become true by more events are looked at as soon as an event comes, in every
//! window that has the event in it. All others, and what outer correlations are told, wait until no
//! earlier event is expected. Both ways each cell of time of a group speaks once.

use std::sync::Arc;

use event::{AlertId, Timestamp, Uid};
use hashbrown::HashMap;

use crate::fold::folded;

use super::clock::{Arrival, Clocks};
use super::describe::{describe, observation};
use super::group::{Entry, GROUP_BYTES, Group, note};
use super::plan::Plans;
use super::window::{Holds, Sweep, is_hopeless, sweep};
use super::{Found, Observation, Told};

/// Bounds on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of all correlations together.
    pub bytes_max: usize,
    /// Bytes of one correlation; a group may take a quarter of it.
    pub rule_bytes_max: usize,
}

/// What became of a correlation's events beside alerts, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events that took part.
    pub observed: u64,
    /// Events that came when their windows had been forgotten.
    pub late: u64,
    /// Groups that were forgotten because memory was full.
    pub groups_evicted: u64,
    /// The oldest events of groups that had grown too large.
    pub events_dropped: u64,
    pub groups: u64,
    pub bytes: u64,
}

/// Values of a group, folded.
pub(super) type Key = Box<[Box<str>]>;

/// One correlation's groups and how far it is in time.
#[derive(Debug)]
pub(super) struct State {
    pub groups: HashMap<Key, Group>,
    /// Indexes of clocks.
    pub sources: Vec<usize>,
    /// No event before this is expected, by the events seen.
    pub mark: i64,
    /// Windows that end up to here have been looked at in order.
    pub settled: i64,
    /// Events up to here were forgotten.
    pub forgotten: i64,
    pub bytes: usize,
    pub stats: Stats,
}

impl State {
    fn new() -> Self {
        Self {
            groups: HashMap::new(),
            sources: Vec::new(),
            mark: i64::MIN,
            settled: i64::MIN,
            forgotten: i64::MIN,
            bytes: 0,
            stats: Stats::default(),
        }
    }
}

/// All correlations at work.
#[derive(Debug)]
pub struct Correlator {
    pub(super) plans: Plans,
    pub(super) by_key: HashMap<Uid, usize>,
    pub(super) states: Vec<State>,
    pub(super) clocks: Clocks,
    /// Source and log type of entries.
    pub(super) origins: Vec<(Arc<str>, Arc<str>)>,
    options: Options,
    /// All insertions so far: orders groups by when they were last added to.
    pub(super) insertions: u64,
    pub(super) bytes: usize,
    found: Vec<Found>,
    /// Alerts of inner correlations on their way to outer ones.
    passing: Vec<(usize, Observation)>,
    pub(super) is_changed: bool,
}

impl Correlator {
    pub fn new(plans: Plans, options: Options) -> Self {
        let by_key = plans.all.iter().enumerate().map(|(at, plan)| (plan.key, at)).collect();
        Self {
            by_key,
            states: plans.all.iter().map(|_| State::new()).collect(),
            plans,
            clocks: Clocks::default(),
            origins: Vec::new(),
            options,
            insertions: 0,
            bytes: 0,
            found: Vec::new(),
            passing: Vec::new(),
            is_changed: false,
        }
    }

    /// Takes in an event. One that is there already changes nothing; one of a plan that is not there
    /// is nobody's.
    pub fn observe(&mut self, observation: &Observation) {
        if let Some(at) = self.by_key.get(&observation.plan).copied() {
            self.insert(at, observation);
            self.pass_on();
        }
    }

    /// After the observations of a batch: how far their source is. Says what has become certain.
    pub fn arrived(&mut self, arrival: &Arrival<'_>) {
        let clock = self.clocks.arrived(arrival);
        self.connect(clock, arrival.plans);
        self.advance(arrival.now);
    }

    /// Makes known that a source is going to give events that can take part in these plans, so that it
    /// is waited for.
    pub fn expect(&mut self, source: &str, plans: &[Uid], now: Timestamp) {
        let clock = self.clocks.known(source, now.0);
        self.connect(clock, plans);
    }

    fn connect(&mut self, clock: usize, plans: &[Uid]) {
        for key in plans {
            let Some(at) = self.by_key.get(key) else { continue };
            let sources = &mut self.states[*at].sources;
            if !sources.contains(&clock) {
                sources.push(clock);
            }
        }
    }

    /// Lets time go on to this moment of the wall clock, without any event.
    pub fn advance(&mut self, now: Timestamp) {
        for at in 0..self.states.len() {
            let inners = &self.plans.all[at].inners;
            let inner = |mark: &dyn Fn(&State) -> i64| {
                let marks = inners.iter().map(|inner| mark(&self.states[*inner]));
                marks.filter(|mark| *mark != i64::MIN).min()
            };
            let sources = &self.states[at].sources;
            let least = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
            let mark = least(self.clocks.by_events(sources, now.0), inner(&|s| s.mark));
            let settled = least(self.clocks.by_wall(sources, now.0), inner(&|s| s.settled));
            let state = &mut self.states[at];
            state.mark = state.mark.max(mark.unwrap_or(i64::MIN));
            let settled = settled.unwrap_or(i64::MIN);
            // Looking at every group for each batch would cost more than it tells.
            let step = (self.plans.all[at].correlation.timespan_ns / 16).min(10_000_000_000);
            if settled > state.settled && settled.saturating_sub(step) >= state.settled {
                self.settle(at, settled);
                self.forget(at);
            }
        }
    }

    /// The input has ended: everything is certain. Should more come after all, time goes on where it was.
    pub fn finish(&mut self) {
        for at in 0..self.states.len() {
            let settled = self.states[at].settled;
            self.settle(at, i64::MAX);
            self.states[at].settled = settled;
        }
    }

    /// What was found since the last call, in order of time.
    pub fn take_found(&mut self) -> Vec<Found> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|found| (found.at.time, found.alert_id));
        found
    }

    /// Whether anything but time has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// By id of the correlation.
    pub fn stats(&self) -> impl Iterator<Item = (&str, Stats)> {
        self.plans.all.iter().zip(&self.states).map(|(plan, state)| {
            let (groups, bytes) = (state.groups.len() as u64, state.bytes as u64);
            (plan.correlation.info.id.as_str(), Stats { groups, bytes, ..state.stats })
        })
    }

    fn insert(&mut self, at: usize, observation: &Observation) {
        let Observation { time: Timestamp(time), uid, members, .. } = *observation;
        let plans = Arc::clone(&self.plans.all);
        let (plan, span) = (&plans[at], plans[at].correlation.timespan_ns);
        let origin = self.origin(&observation.told);
        let state = &mut self.states[at];
        if time <= state.forgotten {
            state.stats.late += 1;
            return;
        }
        let key: Key = observation.group.iter().map(|value| folded(&value.text).into()).collect();
        let group = state
            .groups
            .entry(key.clone())
            .or_insert_with(|| Group { bytes: GROUP_BYTES, ..Group::default() });
        let before = if group.touched == 0 { 0 } else { group.bytes };
        match group.find(time, uid) {
            Ok(place) => {
                let new = members & !group.entries[place].members;
                if new == 0 {
                    return;
                }
                group.entries[place].members |= new;
                group.count(new);
            }
            Err(place) => {
                let held = group.hold(&observation.values);
                let carried = observation.carried.as_slice().into();
                let Told { event_uid, hour, .. } = &observation.told;
                let (event_uid, hour) = (event_uid.clone(), *hour);
                let entry = Entry { time, uid, members, held, carried, event_uid, origin, hour };
                group.insert(place, entry);
                state.stats.observed += 1;
            }
        }
        self.insertions += 1;
        self.is_changed = true;
        group.touched = self.insertions;
        group.show(observation.group.clone());
        let grown = group.bytes - before;
        state.bytes += grown;
        self.bytes += grown;
        let settled = state.settled;
        let upto = time.saturating_add(span - 1);
        if plan.eager && plan.alerts {
            self.look(at, &key, Sweep { after: time.saturating_sub(1), upto }, Purpose::Eager);
        }
        if plan.settles() && time <= settled {
            let upto = upto.min(settled);
            self.look(at, &key, Sweep { after: time.saturating_sub(1), upto }, Purpose::Settled);
        }
        self.bound(at, &key);
    }

    fn origin(&mut self, told: &Told) -> u32 {
        let same = |(source, log_type): &(Arc<str>, Arc<str>)| {
            *source == told.source && *log_type == told.log_type
        };
        let known = self.origins.iter().position(same);
        known.unwrap_or_else(|| {
            self.origins.push((Arc::clone(&told.source), Arc::clone(&told.log_type)));
            self.origins.len() - 1
        }) as u32
    }

    /// Looks at windows of a group and says what holds.
    fn look(&mut self, at: usize, key: &Key, windows: Sweep, purpose: Purpose) {
        let plans = Arc::clone(&self.plans.all);
        let plan = &plans[at];
        let Some(group) = self.states[at].groups.get(key) else { return };
        let is_new = |cells: &[i64], cell: i64| cells.binary_search(&cell).is_err();
        let (alert, pass) = match purpose {
            Purpose::Eager => (true, false),
            Purpose::Settled => (plan.alerts && !plan.eager, !plan.outers.is_empty()),
        };
        let done = |cell: i64| {
            !(alert && is_new(&group.alerted, cell) || pass && is_new(&group.passed_on, cell))
        };
        if plan.correlation.is_monotone() && is_hopeless(&plan.correlation, group) {
            return;
        }
        let mut found = Vec::new();
        let mut hold = |holds: Holds| found.push(holds);
        sweep(&plan.correlation, &group.entries, windows, &done, &mut hold);
        for holds in found {
            let cell = plan.cell(holds.time);
            let Some(group) = self.states[at].groups.get_mut(key) else { return };
            self.is_changed = true;
            let alert_id = AlertId::of_group(&plan.correlation.info.id, key, cell);
            if alert && is_new(&group.alerted, cell) {
                note(&mut group.alerted, cell);
                self.found.push(describe(plan, group, &self.origins, holds, alert_id));
            }
            if pass && is_new(&group.passed_on, cell) {
                note(&mut group.passed_on, cell);
                for link in &plan.outers {
                    let key = plans[link.outer].key;
                    let wanted = plans[link.outer].wants();
                    let passed =
                        observation(link, key, wanted, group, &self.origins, holds, alert_id);
                    self.passing.extend(passed.map(|observation| (link.outer, observation)));
                }
            }
        }
    }

    /// Gives outer correlations what inner ones have found. Chains are short and end.
    fn pass_on(&mut self) {
        while let Some((outer, observation)) = self.passing.pop() {
            self.insert(outer, &observation);
        }
    }

    fn settle(&mut self, at: usize, upto: i64) {
        let state = &mut self.states[at];
        let after = state.settled;
        state.settled = after.max(upto);
        if !self.plans.all[at].settles() {
            return;
        }
        let open = |group: &Group| group.entries.back().is_some_and(|last| last.time > after);
        let open = state.groups.iter().filter(|(_, group)| open(group));
        let keys: Vec<Key> = open.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.look(at, &key, Sweep { after, upto }, Purpose::Settled);
        }
        self.pass_on();
    }

    /// Forgets what no window reaches any more.
    fn forget(&mut self, at: usize) {
        let span = self.plans.all[at].correlation.timespan_ns;
        let state = &mut self.states[at];
        let lateness = self.clocks.lateness(&state.sources);
        let certain = state.mark.min(state.settled);
        let horizon = certain.saturating_sub(span).saturating_sub(lateness);
        if horizon <= state.forgotten {
            return;
        }
        state.forgotten = horizon;
        let mut freed = 0;
        state.groups.retain(|_, group| {
            freed += group.forget(horizon, span);
            let kept = !group.is_idle();
            freed += if kept { 0 } else { group.bytes };
            kept
        });
        state.bytes = state.bytes.saturating_sub(freed);
        self.bytes = self.bytes.saturating_sub(freed);
    }

    /// Keeps the group, its correlation and all of them within their bounds.
    fn bound(&mut self, at: usize, key: &Key) {
        let Options { bytes_max, rule_bytes_max } = self.options;
        let state = &mut self.states[at];
        let mut freed = 0;
        if let Some(group) = state.groups.get_mut(key)
            && group.bytes > rule_bytes_max / 4
        {
            let count = group.entries.len().div_ceil(4);
            freed = group.drop_oldest(count);
            state.stats.events_dropped += count as u64;
        }
        state.bytes -= freed;
        self.bytes -= freed;
        if state.bytes > rule_bytes_max {
            self.evict(at, rule_bytes_max - rule_bytes_max / 10);
        }
        if self.bytes > bytes_max {
            let largest = (0..self.states.len()).max_by_key(|at| self.states[*at].bytes);
            let largest = largest.unwrap_or(at);
            let target = self.states[largest].bytes.saturating_sub(bytes_max / 10);
            self.evict(largest, target);
        }
    }

    /// Forgets the groups of a correlation that were longest not added to, until it takes no more than
    /// `target` bytes.
    fn evict(&mut self, at: usize, target: usize) {
        let state = &mut self.states[at];
        let mut oldest: Vec<(u64, Key)> =
            state.groups.iter().map(|(key, group)| (group.touched, key.clone())).collect();
        oldest.sort_unstable_by_key(|(touched, _)| *touched);
        for (_, key) in oldest {
            if state.bytes <= target {
                break;
            }
            if let Some(group) = state.groups.remove(&key) {
                state.bytes -= group.bytes;
                self.bytes -= group.bytes;
                state.stats.groups_evicted += 1;
            }
        }
    }
}

/// Why windows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// An event has come, and more events cannot make the condition false.
    Eager,
    /// No earlier event is expected.
    Settled,
}
