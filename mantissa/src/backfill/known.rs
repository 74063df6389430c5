//! What the lake has of the times that a backfill comes to: identities by hour, as many hours as memory
//! may hold.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use event::time::HOUR_NS;
use event::{Timestamp, Uid};
use sink::lake::identities::{self, By};
use sink::lake::{Error, LakeStore, Snapshot};

/// Identities that are kept together, of about 20 bytes each; those of one hour always are.
const IDENTITIES_MAX: usize = 4_000_000;
const HOURS_MAX: usize = 1_000;
/// Files that compaction has replaced stay at least as long as this.
const SNAPSHOT_MAX: Duration = Duration::from_secs(300);

/// Of one table.
pub(super) struct Known {
    store: LakeStore,
    table: String,
    snapshot: Option<(Instant, Snapshot)>,
    hours: HashMap<(i64, By), Hour>,
    turn: u64,
}

struct Hour {
    identities: HashSet<Uid>,
    used: u64,
}

impl Known {
    pub fn new(store: LakeStore, table: String) -> Self {
        Self { store, table, snapshot: None, hours: HashMap::new(), turn: 0 }
    }

    /// Whether the lake has the event. Asks the lake once for every hour.
    pub async fn has(&mut self, time: Timestamp, by: By, identity: Uid) -> Result<bool, Error> {
        self.turn += 1;
        let key = (time.hour(), by);
        if !self.hours.contains_key(&key) {
            let identities = self.load(key.0, by).await?;
            self.make_room(identities.len());
            self.hours.insert(key, Hour { identities, used: 0 });
        }
        let turn = self.turn;
        let hour = self.hours.get_mut(&key);
        Ok(hour.is_some_and(|hour| {
            hour.used = turn;
            hour.identities.contains(&identity)
        }))
    }

    /// After trouble: the lake is looked at anew.
    pub fn forget_snapshot(&mut self) {
        self.snapshot = None;
    }

    async fn load(&mut self, hour: i64, by: By) -> Result<HashSet<Uid>, Error> {
        let is_old = |at: &Instant| at.elapsed() >= SNAPSHOT_MAX;
        let snapshot = match &self.snapshot {
            Some((at, snapshot)) if !is_old(at) => snapshot,
            _ => {
                let read = Snapshot::read(&self.store.store, &self.store.root).await?;
                &self.snapshot.insert((Instant::now(), read)).1
            }
        };
        let from = hour.saturating_mul(HOUR_NS);
        let times = Timestamp(from)..Timestamp(from.saturating_add(HOUR_NS));
        identities::read(&self.store, snapshot, &self.table, times, by).await
    }

    /// Those that were not used for longest go.
    fn make_room(&mut self, coming: usize) {
        let mut held: usize = self.hours.values().map(|hour| hour.identities.len()).sum();
        while held + coming > IDENTITIES_MAX || self.hours.len() >= HOURS_MAX {
            let Some(oldest) = self.hours.iter().min_by_key(|(_, h)| h.used).map(|(k, _)| *k)
            else {
                return;
            };
            held -= self.hours.remove(&oldest).map_or(0, |hour| hour.identities.len());
        }
    }
}
