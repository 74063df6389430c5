//! What a history of matches alerts on, from the definition (`docs/sigma.md`): slow, over the whole sorted
//! history, without state. Shares nothing with the stream but the IR.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::{AlertId, Uid};

use crate::fold::folded;
use crate::ir::{Correlation, Kind, Names, Operator, Presence, Quantity, Threshold};
use crate::number::Number;

/// A rule matched an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub rule: String,
    /// Nanoseconds since 1970.
    pub time: i64,
    pub uid: Uid,
    /// Values by field, in order.
    pub fields: BTreeMap<String, Vec<String>>,
}

/// An alert: the condition held in a cell of time of a group, first at `time`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    pub correlation: String,
    /// Folded values.
    pub group: Vec<String>,
    pub cell: i64,
    pub time: i64,
}

/// An event of one group.
#[derive(Clone, Debug)]
struct Member {
    time: i64,
    uid: Uid,
    rules: BTreeSet<usize>,
    keys: Vec<String>,
    numbers: Vec<i128>,
    fields: BTreeMap<String, Vec<String>>,
}

/// Every alert of the correlations, inner ones given before outer ones, whether they alert on their own or
/// not.
pub fn verdicts(correlations: &[Arc<Correlation>], history: &[Fact]) -> Vec<Verdict> {
    let mut history = history.to_vec();
    let mut all = Vec::new();
    for correlation in correlations {
        for (group, mut members) in groups(correlation, &history) {
            members.sort_by_key(|member| (member.time, member.uid));
            let mut cells = BTreeSet::new();
            for event in &members {
                let since = event.time - correlation.timespan_ns;
                let window: Vec<&Member> = members
                    .iter()
                    .filter(|other| other.time > since && other.time <= event.time)
                    .collect();
                let cell = event.time.div_euclid(correlation.timespan_ns);
                if !holds(correlation, &window) || !cells.insert(cell) {
                    continue;
                }
                let id = &correlation.info.id;
                let last = window[window.len() - 1];
                // For an outer correlation it is an event with the values of the group, and otherwise
                // with the first ones of the event at which it held.
                let mut fields = last.fields.clone();
                fields.values_mut().for_each(|values| values.truncate(1));
                for (field, value) in correlation.group_by.iter().zip(&group) {
                    fields.insert(field.clone(), vec![value.clone()]);
                }
                history.push(Fact {
                    rule: id.clone(),
                    time: event.time,
                    uid: AlertId::of_group(id, &group, cell).0,
                    fields,
                });
                let (correlation, time) = (id.clone(), event.time);
                all.push(Verdict { correlation, group: group.clone(), cell, time });
            }
        }
    }
    all.sort();
    all
}

/// The events of each group.
fn groups(correlation: &Correlation, history: &[Fact]) -> BTreeMap<Vec<String>, Vec<Member>> {
    let mut groups: BTreeMap<Vec<String>, Vec<Member>> = BTreeMap::new();
    for (position, member) in correlation.members.iter().enumerate() {
        for fact in history.iter().filter(|fact| fact.rule == member.id) {
            let read = |name: &String| {
                let field = correlation
                    .aliases
                    .iter()
                    .find(|alias| alias.name == *name)
                    .map_or(name, |alias| &alias.fields[position]);
                fact.fields.get(field).cloned().unwrap_or_default()
            };
            let values: Vec<Vec<String>> = correlation.value_fields().iter().map(read).collect();
            let (mut keys, mut numbers) = (Vec::new(), Vec::new());
            match correlation.kind {
                Kind::ValueCount { .. } => {
                    keys = product(&values).iter().map(|tuple| format!("{tuple:?}")).collect();
                    if keys.is_empty() {
                        continue;
                    }
                }
                Kind::ValueSum { .. } | Kind::ValueAvg { .. } | Kind::ValuePercentile { .. } => {
                    numbers = values.concat().iter().filter_map(|text| millionths(text)).collect();
                    if numbers.is_empty() {
                        continue;
                    }
                }
                Kind::EventCount(_) | Kind::Temporal { .. } => {}
            }
            // What outer correlations may ask for, in this one's own names.
            let mut fields = fact.fields.clone();
            for alias in &correlation.aliases {
                fields.insert(alias.name.clone(), read(&alias.name));
            }
            let by: Vec<Vec<String>> = correlation.group_by.iter().map(read).collect();
            for group in product(&by) {
                let members = groups.entry(group).or_default();
                match members.iter_mut().find(|m| (m.time, m.uid) == (fact.time, fact.uid)) {
                    // Matched by an earlier rule as well.
                    Some(known) => drop(known.rules.insert(position)),
                    None => members.push(Member {
                        time: fact.time,
                        uid: fact.uid,
                        rules: BTreeSet::from([position]),
                        keys: keys.clone(),
                        numbers: numbers.clone(),
                        fields: fields.clone(),
                    }),
                }
            }
        }
    }
    groups
}

/// Every way to take one value of each, folded.
fn product(values: &[Vec<String>]) -> BTreeSet<Vec<String>> {
    let mut all = BTreeSet::from([Vec::new()]);
    for choice in values {
        let longer = |start: &Vec<String>| {
            let start = start.clone();
            choice.iter().map(move |value| [start.clone(), vec![folded(value)]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

fn millionths(text: &str) -> Option<i128> {
    Some(Quantity::of(&Number::parse(text.trim())?)?.millionths())
}

fn holds(correlation: &Correlation, window: &[&Member]) -> bool {
    let numbers: Vec<i128> = window.iter().flat_map(|m| m.numbers.iter().copied()).collect();
    match &correlation.kind {
        Kind::EventCount(threshold) => compare(threshold, window.len() as i128 * 1_000_000, 1),
        Kind::ValueCount { threshold, .. } => {
            let keys: BTreeSet<&String> = window.iter().flat_map(|m| &m.keys).collect();
            compare(threshold, keys.len() as i128 * 1_000_000, 1)
        }
        Kind::ValueSum { threshold, .. } => compare(threshold, numbers.iter().sum(), 1),
        Kind::ValueAvg { threshold, .. } => {
            compare(threshold, numbers.iter().sum(), numbers.len() as i128)
        }
        Kind::ValuePercentile { percentile, threshold, .. } => {
            let enough = |limit: i128| {
                let below = numbers.iter().filter(|n| **n <= limit).count() as i128;
                below * 100_000_000 >= percentile.millionths() * numbers.len() as i128
            };
            let smallest = numbers.iter().copied().filter(|n| enough(*n)).min();
            smallest.is_some_and(|n| compare(threshold, n, 1))
        }
        Kind::Temporal { ordered, condition } => {
            let present: BTreeSet<usize> = window.iter().flat_map(|m| m.rules.clone()).collect();
            let chosen = subsets(&present);
            let mut fit = chosen.iter().filter(|set| !ordered || in_order(set, window));
            match condition {
                Presence::Count(threshold) => {
                    let longest = fit.map(BTreeSet::len).max().unwrap_or(0);
                    compare(threshold, longest as i128 * 1_000_000, 1)
                }
                Presence::Expr { expr, .. } => fit.any(|set| satisfied(expr, set, &present, false)),
            }
        }
    }
}

/// Whether `total / parts` meets every comparison.
fn compare(threshold: &Threshold, total: i128, parts: i128) -> bool {
    threshold.0.iter().all(|(operator, limit)| {
        let limit = limit.millionths() * parts;
        match operator {
            Operator::Gt => total > limit,
            Operator::Gte => total >= limit,
            Operator::Lt => total < limit,
            Operator::Lte => total <= limit,
            Operator::Eq => total == limit,
            Operator::Neq => total != limit,
        }
    })
}

fn subsets(of: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
    of.iter().fold(vec![BTreeSet::new()], |all, one| {
        let with = all.iter().cloned().map(|mut set| {
            set.insert(*one);
            set
        });
        all.iter().cloned().chain(with.collect::<Vec<_>>()).collect()
    })
}

/// Whether the rules have an event each, none before that of the rule before it. Taking each as early
/// as possible leaves the most room for the next.
fn in_order(rules: &BTreeSet<usize>, window: &[&Member]) -> bool {
    let mut after = i64::MIN;
    rules.iter().all(|rule| {
        let times = window.iter().filter(|m| m.rules.contains(rule)).map(|m| m.time);
        match times.filter(|time| *time >= after).min() {
            Some(time) => {
                after = time;
                true
            }
            None => false,
        }
    })
}

/// A name stands for an event that was chosen, `not` a name for there being none at all.
fn satisfied(
    expr: &Names,
    chosen: &BTreeSet<usize>,
    present: &BTreeSet<usize>,
    negated: bool,
) -> bool {
    let inner = |part: &Names| satisfied(part, chosen, present, negated);
    match expr {
        Names::Member(at) if negated => !present.contains(at),
        Names::Member(at) => chosen.contains(at),
        Names::Not(part) => satisfied(part, chosen, present, !negated),
        Names::And(parts) if negated => parts.iter().any(inner),
        Names::Or(parts) if negated => parts.iter().all(inner),
        Names::And(parts) => parts.iter().all(inner),
        Names::Or(parts) => parts.iter().any(inner),
    }
}
