//! How far time has come, source by source. Events are late by as much as their source is slow, so
//! each source has its own clock, and a correlation is as far as the slowest of its sources.
//!
//! A clock goes by the newest event, and by the wall clock while nothing arrives. Nobody is waited for
//! forever: a source that has been silent for [`SILENT_NS`] keeps no events from being forgotten.

use std::sync::Arc;

use event::{Timestamp, Uid};

/// What arrived in a batch, after its observations.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    pub source: &'a str,
    /// The newest event of the batch.
    pub newest: Timestamp,
    /// Wall clock.
    pub now: Timestamp,
    /// How late events of the source may be after newer ones, in nanoseconds.
    pub lateness_ns: i64,
    /// Plans that events of this kind can take part in.
    pub plans: &'a [Uid],
}

/// Wall-clock nanoseconds.
const SILENT_NS: i64 = 3_600 * 1_000_000_000;

/// The clock of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub source: Arc<str>,
    pub lateness_ns: i64,
    /// Time of the newest event; never beyond the wall clock, so that one event from the future cannot
    /// make all others late.
    pub newest: i64,
    /// When it arrived, by the wall clock.
    pub arrived: i64,
}

/// The clocks of all sources, in the order of their first event.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    pub all: Vec<Clock>,
}

impl Clocks {
    /// Sets the source's clock; returns its index.
    pub(super) fn arrived(&mut self, arrival: &Arrival<'_>) -> usize {
        let newest = arrival.newest.0.min(arrival.now.0);
        let at = self.find(arrival.source);
        let clock = &mut self.all[at];
        clock.lateness_ns = arrival.lateness_ns;
        clock.newest = clock.newest.max(newest);
        clock.arrived = clock.arrived.max(arrival.now.0);
        at
    }

    fn find(&mut self, source: &str) -> usize {
        if let Some(at) = self.all.iter().position(|clock| *clock.source == *source) {
            return at;
        }
        let source = source.into();
        self.all.push(Clock { source, lateness_ns: 0, newest: i64::MIN, arrived: i64::MIN });
        self.all.len() - 1
    }

    /// The time before which no more events are expected of these sources, by their events alone.
    pub(super) fn by_events(&self, sources: &[usize], now: i64) -> Option<i64> {
        let clocks = sources.iter().map(|at| &self.all[*at]);
        let heard = clocks.filter(|clock| now.saturating_sub(clock.arrived) <= SILENT_NS);
        heard.map(|clock| clock.newest.saturating_sub(clock.lateness_ns)).min()
    }

    /// The same, with time going on while nothing arrives.
    pub(super) fn by_wall(&self, sources: &[usize], now: i64) -> Option<i64> {
        let clocks = sources.iter().map(|at| &self.all[*at]);
        let mark = |clock: &Clock| {
            let waited = now.saturating_sub(clock.arrived).max(0);
            clock.newest.saturating_add(waited).saturating_sub(clock.lateness_ns)
        };
        clocks.map(mark).min()
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

    fn arrive(clocks: &mut Clocks, source: &str, newest: i64, now: i64) {
        clocks.arrived(&Arrival {
            source,
            newest: Timestamp(newest * SECOND),
            now: Timestamp(now * SECOND),
            lateness_ns: 10 * SECOND,
            plans: &[],
        });
    }

    #[test]
    fn the_slowest_source_counts_and_silence_passes() {
        let mut clocks = Clocks::default();
        arrive(&mut clocks, "slow", 100, 1_000);
        arrive(&mut clocks, "fast", 900, 1_000);
        let at = |now: i64| {
            let now = now * SECOND;
            let (events, wall) = (clocks.by_events(&[0, 1], now), clocks.by_wall(&[0, 1], now));
            (events.unwrap() / SECOND, wall.unwrap() / SECOND)
        };
        assert_eq!(at(1_000), (90, 90));
        assert_eq!(at(1_060), (90, 150), "while nothing arrives only the wall clock goes on");
        assert_eq!(clocks.by_events(&[0], 5_000 * SECOND), None, "silent for more than an hour");
    }

    #[test]
    fn the_future_is_not_believed() {
        let mut clocks = Clocks::default();
        arrive(&mut clocks, "s", 9_999, 1_000);
        assert_eq!(clocks.by_events(&[0], 1_000 * SECOND), Some(990 * SECOND));
    }
}
