//! How far time has come, source by source. Events are late by as much as their source is slow, so
//! each source has its own clock, and a correlation is as far as the slowest of its sources. A source is as
//! far as the slowest of its partitions that move.
//!
//! A clock goes by the newest event, and by the wall clock while nothing arrives. Nobody is waited for
//! forever: a partition that stands still for [`PARTITION_SILENT_NS`] does not hold back its source while
//! others move, and a source that is silent for [`SILENT_NS`] keeps no events from being forgotten.

use std::sync::Arc;

use event::{Timestamp, Uid};
use hashbrown::HashMap;

/// What arrived in a batch, after its observations.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    pub source: &'a str,
    pub partition: &'a str,
    /// The newest event of the partition up to the last batch before which none is missing.
    pub newest: Timestamp,
    /// Wall clock.
    pub now: Timestamp,
    /// How late events of the source may be after newer ones, in nanoseconds.
    pub lateness_ns: i64,
    /// Plans that events of this kind can take part in.
    pub plans: &'a [Uid],
}

/// Wall-clock nanoseconds.
const PARTITION_SILENT_NS: i64 = 60 * 1_000_000_000;
const SILENT_NS: i64 = 3_600 * 1_000_000_000;

/// The clock of one source.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub source: Arc<str>,
    pub lateness_ns: i64,
    /// Time of the newest event; `i64::MIN` when there was none. Never beyond the wall clock, so that
    /// one event from the future cannot make all others late.
    pub newest: i64,
    /// When it was made known or last heard of, by the wall clock.
    pub heard: i64,
    partitions: HashMap<Box<str>, Hand>,
}

/// How far a partition is, and since when.
#[derive(Clone, Copy, Debug)]
struct Hand {
    newest: i64,
    arrived: i64,
}

impl Clock {
    pub(super) fn new(source: Arc<str>, lateness_ns: i64, newest: i64, heard: i64) -> Self {
        Self { source, lateness_ns, newest, heard, partitions: HashMap::new() }
    }

    fn arrived(&mut self, arrival: &Arrival<'_>) {
        let (now, newest) = (arrival.now.0, arrival.newest.0.min(arrival.now.0));
        self.lateness_ns = arrival.lateness_ns;
        self.newest = self.newest.max(newest);
        self.heard = self.heard.max(now);
        let hand =
            self.partitions.entry_ref(arrival.partition).or_insert(Hand { newest, arrived: now });
        hand.newest = hand.newest.max(newest);
        hand.arrived = hand.arrived.max(now);
        let is_moving = |hand: &Hand| now.saturating_sub(hand.arrived) <= PARTITION_SILENT_NS;
        if self.partitions.len() > 64 {
            self.partitions.retain(|_, hand| is_moving(hand));
        }
    }

    /// How far it is, by its events alone or with time going on since they arrived. `None` when it need
    /// not be waited for.
    fn mark(&self, now: i64, by: By) -> Option<i64> {
        let since = |at: i64| now.saturating_sub(at).max(0);
        let ahead = |newest: i64, arrived: i64| match by {
            By::Events => newest,
            By::Wall => newest.saturating_add(since(arrived)),
        };
        let moving = |hand: &&Hand| since(hand.arrived) <= PARTITION_SILENT_NS;
        let moving = self.partitions.values().filter(moving);
        let slowest = moving.map(|hand| ahead(hand.newest, hand.arrived)).min();
        let is_new = self.partitions.is_empty() && since(self.heard) <= PARTITION_SILENT_NS;
        let mark = match slowest {
            Some(slowest) => slowest,
            // It may be about to begin, or to begin again with what is older than that of others.
            None if is_new => return Some(i64::MIN),
            None if self.newest == i64::MIN => return None,
            None if by == By::Events && since(self.heard) > SILENT_NS => return None,
            None => ahead(self.newest, self.heard),
        };
        Some(mark.saturating_sub(self.lateness_ns))
    }
}

/// What a clock goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Events,
    Wall,
}

/// The clocks of all sources, in the order in which they were made known.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    pub all: Vec<Clock>,
}

impl Clocks {
    /// Sets the source's clock; returns its index.
    pub(super) fn arrived(&mut self, arrival: &Arrival<'_>) -> usize {
        let at = self.known(arrival.source, arrival.now.0);
        self.all[at].arrived(arrival);
        at
    }

    /// The index of a source, which is made known now if it was not.
    pub(super) fn known(&mut self, source: &str, now: i64) -> usize {
        if let Some(at) = self.all.iter().position(|clock| *clock.source == *source) {
            return at;
        }
        self.all.push(Clock::new(source.into(), 0, i64::MIN, now));
        self.all.len() - 1
    }

    /// The time before which no more events are expected of these sources, by their events alone.
    pub(super) fn by_events(&self, sources: &[usize], now: i64) -> Option<i64> {
        sources.iter().filter_map(|at| self.all[*at].mark(now, By::Events)).min()
    }

    /// The same, with time going on while nothing arrives.
    pub(super) fn by_wall(&self, sources: &[usize], now: i64) -> Option<i64> {
        sources.iter().filter_map(|at| self.all[*at].mark(now, By::Wall)).min()
    }

    /// The longest lateness of these sources.
    pub(super) fn lateness(&self, sources: &[usize]) -> i64 {
        sources.iter().map(|at| self.all[*at].lateness_ns).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn arrive(clocks: &mut Clocks, source: &str, partition: &str, newest: i64, now: i64) {
        clocks.arrived(&Arrival {
            source,
            partition,
            newest: Timestamp(newest * SECOND),
            now: Timestamp(now * SECOND),
            lateness_ns: 10 * SECOND,
            plans: &[],
        });
    }

    fn at(clocks: &Clocks, sources: &[usize], now: i64) -> (Option<i64>, Option<i64>) {
        let seconds = |mark: Option<i64>| mark.map(|ns| ns.div_euclid(SECOND));
        let now = now * SECOND;
        (seconds(clocks.by_events(sources, now)), seconds(clocks.by_wall(sources, now)))
    }

    #[test]
    fn the_slowest_source_counts_and_silence_passes() {
        let mut clocks = Clocks::default();
        arrive(&mut clocks, "slow", "p", 100, 1_000);
        arrive(&mut clocks, "fast", "p", 900, 1_000);
        assert_eq!(at(&clocks, &[0, 1], 1_000), (Some(90), Some(90)));
        // While nothing arrives only the wall clock goes on.
        assert_eq!(at(&clocks, &[0, 1], 1_050), (Some(90), Some(140)));
        assert_eq!(at(&clocks, &[0, 1], 1_500), (Some(90), Some(590)));
        // Silent for more than an hour: nothing is kept for it, and what waits for time does not wait.
        assert_eq!(at(&clocks, &[0], 5_000), (None, Some(4_090)));
    }

    #[test]
    fn a_partition_holds_back_its_source_only_while_it_moves() {
        let mut clocks = Clocks::default();
        arrive(&mut clocks, "s", "a", 100, 1_000);
        arrive(&mut clocks, "s", "b", 900, 1_000);
        assert_eq!(at(&clocks, &[0], 1_010).0, Some(90));
        arrive(&mut clocks, "s", "b", 950, 1_070);
        assert_eq!(at(&clocks, &[0], 1_070).0, Some(940));
    }

    #[test]
    fn a_source_that_is_about_to_begin_is_waited_for() {
        let mut clocks = Clocks::default();
        clocks.known("later", 1_000 * SECOND);
        arrive(&mut clocks, "s", "a", 900, 1_000);
        assert_eq!(clocks.by_events(&[0, 1], 1_001 * SECOND), Some(i64::MIN));
        assert_eq!(at(&clocks, &[0, 1], 1_061).0, Some(890));
    }

    #[test]
    fn the_future_is_not_believed() {
        let mut clocks = Clocks::default();
        arrive(&mut clocks, "s", "p", 9_999, 1_000);
        assert_eq!(at(&clocks, &[0], 1_000).0, Some(990));
    }
}
