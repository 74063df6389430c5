//! Sliding a window over the events of a group. A window ends at an event, `(t - timespan, t]`; sliding on
//! to the next event adds what has come in and takes away what has gone out, so that a whole sweep costs
//! little more than one look at each event.

use std::collections::{BTreeMap, VecDeque};

use crate::ir::{Correlation, Kind, Presence, Quantity, Term, Threshold};

use super::group::{Entry, Group, Held};

/// The windows that a sweep looks at: those that end at an event in `(after, upto]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    pub after: i64,
    pub upto: i64,
}

/// A window of which the condition holds: the events `from..to` of the group, the last at `time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holds {
    pub time: i64,
    pub from: usize,
    pub to: usize,
}

/// Calls `found` for the first window of each cell of time of which the condition holds, in order of
/// time. `done` tells which cells are of no interest.
pub(super) fn sweep(
    correlation: &Correlation,
    entries: &VecDeque<Entry>,
    Sweep { after, upto }: Sweep,
    done: &dyn Fn(i64) -> bool,
    found: &mut dyn FnMut(Holds),
) {
    let span = correlation.timespan_ns;
    let cell = |time: i64| time.div_euclid(span);
    let mut next = entries.partition_point(|e| e.time <= after);
    // Windows of no interest at the beginning need not be built.
    while next < entries.len() && entries[next].time <= upto && done(cell(entries[next].time)) {
        next += 1;
    }
    let Some(first) = entries.get(next).filter(|e| e.time <= upto) else { return };
    let mut from = entries.partition_point(|e| e.time <= first.time.saturating_sub(span));
    let mut tally = Tally::new(correlation);
    let mut to = from;
    if tally.is_only_length() {
        to = next;
    }
    let mut just_found = None;
    while to < entries.len() {
        let time = entries[to].time;
        if time > upto {
            return;
        }
        let step = to;
        while to < entries.len() && entries[to].time == time {
            to += 1;
        }
        tally.add(entries.range(step..to), time);
        let since = time.saturating_sub(span);
        while entries[from].time <= since {
            tally.remove(&entries[from]);
            from += 1;
        }
        let wanted = step >= next && just_found != Some(cell(time)) && !done(cell(time));
        if wanted && tally.holds(to - from, since) {
            just_found = Some(cell(time));
            found(Holds { time, from, to });
        }
    }
}

/// Whether no window of the group can satisfy a monotone condition, from what the whole group has: most
/// events end here.
pub(super) fn is_hopeless(correlation: &Correlation, group: &Group) -> bool {
    let present = group.present();
    match &correlation.kind {
        Kind::ValueCount { threshold, .. } => (group.keys.len() as u64) < threshold.least(),
        Kind::Temporal { condition: Presence::Count(threshold), .. } => {
            u64::from(present.count_ones()) < threshold.least()
        }
        Kind::Temporal { condition: Presence::Expr { terms, .. }, .. } => {
            terms.iter().all(|term| term.wanted & !present != 0)
        }
        _ => false,
    }
}

/// What is known of a window.
enum Tally<'c> {
    Length(&'c Threshold),
    Values {
        threshold: &'c Threshold,
        counts: Vec<u32>,
        distinct: u64,
    },
    Sum {
        threshold: &'c Threshold,
        mean: bool,
        total: i128,
        numbers: u64,
    },
    Percentile {
        threshold: &'c Threshold,
        percentile: Quantity,
        sorted: BTreeMap<i128, u64>,
        numbers: u64,
    },
    Presence {
        wanted: &'c Presence,
        last: Vec<i64>,
    },
    Ordered {
        terms: &'c [Term],
        chains: Vec<Vec<i64>>,
        last: Vec<i64>,
    },
    Longest {
        threshold: &'c Threshold,
        ends: Vec<Vec<i64>>,
    },
}

/// Never.
const NEVER: i64 = i64::MIN;

impl<'c> Tally<'c> {
    fn new(correlation: &'c Correlation) -> Self {
        let members = correlation.members.len();
        match &correlation.kind {
            Kind::EventCount(threshold) => Self::Length(threshold),
            Kind::ValueCount { threshold, .. } => {
                Self::Values { threshold, counts: Vec::new(), distinct: 0 }
            }
            Kind::ValueSum { threshold, .. } => {
                Self::Sum { threshold, mean: false, total: 0, numbers: 0 }
            }
            Kind::ValueAvg { threshold, .. } => {
                Self::Sum { threshold, mean: true, total: 0, numbers: 0 }
            }
            Kind::ValuePercentile { percentile, threshold, .. } => Self::Percentile {
                threshold,
                percentile: *percentile,
                sorted: BTreeMap::new(),
                numbers: 0,
            },
            Kind::Temporal { ordered: false, condition } => {
                Self::Presence { wanted: condition, last: vec![NEVER; members] }
            }
            Kind::Temporal { condition: Presence::Expr { terms, .. }, .. } => {
                let chain = |term: &Term| vec![NEVER; term.wanted.count_ones() as usize];
                let chains = terms.iter().map(chain).collect();
                Self::Ordered { terms, chains, last: vec![NEVER; members] }
            }
            Kind::Temporal { condition: Presence::Count(threshold), .. } => {
                Self::Longest { threshold, ends: vec![vec![NEVER; members]; members] }
            }
        }
    }

    /// Whether the number of events says everything, so that a window need not be built.
    fn is_only_length(&self) -> bool {
        matches!(self, Self::Length(_))
    }

    /// Takes in the events of one moment, all of them.
    fn add<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>, time: i64) {
        let mut members = 0;
        for entry in entries {
            members |= entry.members;
            match (&mut *self, &entry.held) {
                (Self::Values { counts, distinct, .. }, Held::Keys(keys)) => {
                    for key in keys.iter().map(|key| *key as usize) {
                        if counts.len() <= key {
                            counts.resize(key + 1, 0);
                        }
                        *distinct += u64::from(counts[key] == 0);
                        counts[key] += 1;
                    }
                }
                (Self::Sum { total, numbers, .. }, Held::Numbers(held)) => {
                    *total += held.iter().map(|n| n.millionths()).sum::<i128>();
                    *numbers += held.len() as u64;
                }
                (Self::Percentile { sorted, numbers, .. }, Held::Numbers(held)) => {
                    *numbers += held.len() as u64;
                    held.iter().for_each(|n| *sorted.entry(n.millionths()).or_default() += 1);
                }
                _ => {}
            }
        }
        match self {
            Self::Presence { last, .. } => bits(members).for_each(|m| last[m] = time),
            Self::Ordered { terms, chains, last } => {
                bits(members).for_each(|m| last[m] = time);
                for (term, chain) in terms.iter().zip(chains) {
                    lengthen(chain, bits(term.wanted), members, time);
                }
            }
            Self::Longest { ends, .. } => bits(members).for_each(|m| lengthen_any(ends, m, time)),
            _ => {}
        }
    }

    /// Gives up an event that the window has passed. What is kept by time needs no telling.
    fn remove(&mut self, entry: &Entry) {
        match (&mut *self, &entry.held) {
            (Self::Values { counts, distinct, .. }, Held::Keys(keys)) => {
                for key in keys.iter().map(|key| *key as usize) {
                    counts[key] -= 1;
                    *distinct -= u64::from(counts[key] == 0);
                }
            }
            (Self::Sum { total, numbers, .. }, Held::Numbers(held)) => {
                *total -= held.iter().map(|n| n.millionths()).sum::<i128>();
                *numbers -= held.len() as u64;
            }
            (Self::Percentile { sorted, numbers, .. }, Held::Numbers(held)) => {
                *numbers -= held.len() as u64;
                for n in held {
                    if let Some(count) = sorted.get_mut(&n.millionths()) {
                        *count -= 1;
                        if *count == 0 {
                            sorted.remove(&n.millionths());
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the condition holds of the window of so many events after `since`.
    fn holds(&self, length: usize, since: i64) -> bool {
        match self {
            Self::Length(threshold) => threshold.holds_count(length as u64),
            Self::Values { threshold, distinct, .. } => threshold.holds_count(*distinct),
            Self::Sum { threshold, mean, total, numbers } => {
                let parts = if *mean { *numbers } else { 1 };
                *numbers > 0 && threshold.holds(Quantity::from_millionths(*total), parts)
            }
            Self::Percentile { threshold, percentile, sorted, numbers } => {
                percentile_of(sorted, *numbers, *percentile).is_some_and(|n| threshold.holds(n, 1))
            }
            Self::Presence { wanted, last } => {
                let present = present(last, since);
                match wanted {
                    Presence::Count(threshold) => {
                        threshold.holds_count(u64::from(present.count_ones()))
                    }
                    Presence::Expr { terms, .. } => terms
                        .iter()
                        .any(|term| term.wanted & !present == 0 && term.barred & present == 0),
                }
            }
            Self::Ordered { terms, chains, last } => {
                let present = present(last, since);
                terms.iter().zip(chains).any(|(term, chain)| {
                    let complete = chain.last().is_none_or(|start| *start > since);
                    complete && term.barred & present == 0
                })
            }
            Self::Longest { threshold, ends } => {
                let reaches = |length: &usize| ends.iter().any(|e| e[*length - 1] > since);
                let longest = (1..=ends.len()).rev().find(reaches).unwrap_or(0);
                threshold.holds_count(longest as u64)
            }
        }
    }
}

/// The positions of the bits that are set, ascending.
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(at)
    })
}

fn present(last: &[i64], since: i64) -> u64 {
    let bit = |(at, time): (usize, &i64)| if *time > since { 1 << at } else { 0 };
    last.iter().enumerate().map(bit).fold(0, |word, bit| word | bit)
}

/// `chain[k]` is the latest beginning of a sequence of the first `k + 1` of these rules. Ascending, so
/// that events of one moment count as ordered.
fn lengthen(chain: &mut [i64], rules: impl Iterator<Item = usize>, members: u64, time: i64) {
    for (k, rule) in rules.enumerate() {
        if members >> rule & 1 == 1 {
            chain[k] = if k == 0 { time } else { chain[k].max(chain[k - 1]) };
        }
    }
}

/// `ends[m][l]` is the latest beginning of a sequence of `l + 1` rules that ends with rule `m`.
fn lengthen_any(ends: &mut [Vec<i64>], rule: usize, time: i64) {
    for length in 1..=rule {
        let before = ends[..rule].iter().map(|end| end[length - 1]).max().unwrap_or(NEVER);
        ends[rule][length] = ends[rule][length].max(before);
    }
    ends[rule][0] = time;
}

/// The smallest value that at least so many percent of the values do not exceed.
fn percentile_of(
    sorted: &BTreeMap<i128, u64>,
    numbers: u64,
    percentile: Quantity,
) -> Option<Quantity> {
    // Millionths of percent, rounded up.
    let rank = (percentile.millionths() * i128::from(numbers) + 99_999_999) / 100_000_000;
    let mut seen = 0;
    let reached = sorted.iter().find(|(_, count)| {
        seen += i128::from(**count);
        seen >= rank
    });
    reached.map(|(n, _)| Quantity::from_millionths(*n))
}
