//! What arrived from each source and when: how far behind it is, and whether it has fallen silent.
//! Written once per batch, before the commit: it says that a source lives, not that anything is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::Timestamp;
use parking_lot::Mutex;

use super::lateness::Lateness;

/// The last that arrived from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When an event last arrived, new or repeated.
    pub arrived_at: Timestamp,
    /// The latest time of an event, as its record says.
    pub newest_event: Timestamp,
}

impl Arrival {
    /// How old the newest event was when the last one arrived. None when only repeated events came.
    pub fn delay_s(&self) -> Option<u64> {
        let known = self.newest_event > Timestamp(i64::MIN);
        let delay_ns = self.arrived_at.0.saturating_sub(self.newest_event.0).max(0);
        known.then(|| delay_ns.unsigned_abs() / 1_000_000_000)
    }
}

/// By source.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeMap<Arc<str>, (Arrival, Lateness)>>);

impl Seen {
    /// Events arrived. `newest` is the latest of their times, `lateness` of those that are new.
    pub fn arrived(
        &self,
        source: &Arc<str>,
        at: Timestamp,
        newest: Timestamp,
        lateness: &Lateness,
    ) {
        let mut seen = self.0.lock();
        match seen.get_mut(source) {
            Some((arrival, all)) => {
                all.join(lateness);
                arrival.arrived_at = arrival.arrived_at.max(at);
                arrival.newest_event = arrival.newest_event.max(newest);
            }
            None => {
                let arrival = Arrival { arrived_at: at, newest_event: newest };
                seen.insert(Arc::clone(source), (arrival, *lateness));
            }
        }
    }

    /// Everything that was seen so far.
    pub fn all(&self) -> Vec<(Arc<str>, Arrival)> {
        self.0.lock().iter().map(|(source, (arrival, _))| (Arc::clone(source), *arrival)).collect()
    }

    /// How late the events of every source came.
    pub fn lateness(&self) -> Vec<(Arc<str>, Lateness)> {
        self.0.lock().iter().map(|(source, (_, late))| (Arc::clone(source), *late)).collect()
    }
}
