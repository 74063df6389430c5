//! The identities seen lately: what removes a provider's duplicates.
//!
//! Pure: time is an argument. Bounded in time and in entries, the oldest go first; what had to go
//! before its time is counted. Sharded, so that worker threads rarely meet at a lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use event::{Timestamp, Uid};
use hashbrown::HashTable;
use parking_lot::Mutex;

const SHARDS: usize = 16;
const SECOND_NS: i64 = 1_000_000_000;

/// A set of identities with an age and a size limit. About 30 bytes an entry.
#[derive(Debug)]
pub struct Window {
    shards: [Mutex<Shard>; SHARDS],
    seconds: i64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    /// In the order of arrival.
    ring: VecDeque<Entry>,
    /// Number of the ring's first entry; numbers wrap.
    first: u32,
    /// Numbers of entries, found by identity.
    table: HashTable<u32>,
    entries_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    uid: Uid,
    /// Seconds since 1970.
    at: u32,
}

impl Window {
    /// Remembers an identity for `hours`, and at most `entries_max` of them.
    pub fn new(hours: u32, entries_max: usize) -> Self {
        let entries_max = entries_max.clamp(SHARDS, u32::MAX as usize / 2).div_ceil(SHARDS);
        let shard = |_| Mutex::new(Shard { entries_max, ..Shard::default() });
        Self {
            shards: std::array::from_fn(shard),
            seconds: i64::from(hours) * 3_600,
            evicted: AtomicU64::new(0),
        }
    }

    /// Whether the identity is in the window; puts it there when it is not.
    #[inline]
    pub fn seen(&self, uid: Uid, now: Timestamp) -> bool {
        let now = now.0.div_euclid(SECOND_NS);
        let mut shard = self.shard(uid).lock();
        shard.expire(now - self.seconds);
        let (seen, evicted) = shard.insert(uid, u32::try_from(now).unwrap_or(0));
        if evicted {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        seen
    }

    /// Whether the identity is in the window, which stays as it is.
    pub fn contains(&self, uid: Uid, now: Timestamp) -> bool {
        let before = now.0.div_euclid(SECOND_NS) - self.seconds;
        let mut shard = self.shard(uid).lock();
        shard.expire(before);
        shard.table.find(hash(&uid), |&n| shard.at(n).uid == uid).is_some()
    }

    /// Takes an identity out again: its row was not stored after all.
    pub fn forget(&self, uid: Uid) {
        self.shard(uid).lock().forget(uid);
    }

    /// Identities held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().table.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many identities had to go before their time because the window was full.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn shard(&self, uid: Uid) -> &Mutex<Shard> {
        &self.shards[usize::from(uid.0[15]) % SHARDS]
    }
}

/// The identity is a hash already.
fn hash(uid: &Uid) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&uid.0[..8]);
    u64::from_le_bytes(first)
}

impl Shard {
    fn insert(&mut self, uid: Uid, at: u32) -> (bool, bool) {
        let Self { ring, first, table, entries_max } = self;
        let index = |number: u32| number.wrapping_sub(*first) as usize;
        if table.find(hash(&uid), |&n| ring[index(n)].uid == uid).is_some() {
            return (true, false);
        }
        let full = ring.len() >= *entries_max;
        if full {
            self.pop();
        }
        let Self { ring, first, table, .. } = self;
        let number = first.wrapping_add(ring.len() as u32);
        ring.push_back(Entry { uid, at });
        let by_number = |n: &u32| hash(&ring[n.wrapping_sub(*first) as usize].uid);
        table.insert_unique(hash(&uid), number, by_number);
        (false, full)
    }

    /// The entry of a number.
    fn at(&self, number: u32) -> &Entry {
        &self.ring[number.wrapping_sub(self.first) as usize]
    }

    fn expire(&mut self, before: i64) {
        while self.ring.front().is_some_and(|e| i64::from(e.at) < before) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(entry) = self.ring.pop_front() else { return };
        let number = self.first;
        if let Ok(found) = self.table.find_entry(hash(&entry.uid), |&n| n == number) {
            found.remove();
        }
        self.first = number.wrapping_add(1);
    }

    fn forget(&mut self, uid: Uid) {
        let Self { ring, first, table, .. } = self;
        let same = |n: &u32| ring[n.wrapping_sub(*first) as usize].uid == uid;
        if let Ok(found) = table.find_entry(hash(&uid), same) {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn uid(n: u32) -> Uid {
        Uid::of("t", &[&n.to_le_bytes()])
    }

    fn second(s: i64) -> Timestamp {
        Timestamp(s * SECOND_NS)
    }

    #[test]
    fn remembers_for_its_time() {
        let window = Window::new(1, 1_000);
        assert!(!window.contains(uid(1), second(0)));
        assert!(!window.seen(uid(1), second(0)));
        assert!(window.contains(uid(1), second(3_600)) && !window.contains(uid(1), second(3_601)));
        let window = Window::new(1, 1_000);
        assert!(!window.seen(uid(1), second(0)));
        assert!(window.seen(uid(1), second(3_600)), "seen again does not prolong");
        assert!(!window.seen(uid(1), second(3_601)));
        assert_eq!((window.len(), window.evicted()), (1, 0));
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let window = Window::new(1, SHARDS * 100);
        (0..100_000).for_each(|n| assert!(!window.seen(uid(n), second(0))));
        assert_eq!(window.len(), SHARDS * 100);
        assert_eq!(window.evicted(), 100_000 - SHARDS as u64 * 100);
        assert!(window.seen(uid(99_999), second(0)));
        assert!(!window.seen(uid(0), second(0)));
    }

    #[test]
    fn what_is_forgotten_is_new() {
        let window = Window::new(1, 1_000);
        window.seen(uid(1), second(0));
        window.forget(uid(1));
        window.forget(uid(2));
        assert!(!window.seen(uid(1), second(1)));
        assert!(window.seen(uid(1), second(3_601)), "the older entry's end is not its end");
    }

    proptest! {
        /// Against a plain map while the size limit is out of play.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0..40_u32, 0..900_i64, any::<bool>()), 0..300)) {
            let (window, mut model, mut now) = (Window::new(1, 100_000), HashMap::new(), 0);
            for (n, pass, forget) in steps {
                now += pass;
                if forget && n % 4 == 0 {
                    window.forget(uid(n));
                    model.remove(&n);
                    continue;
                }
                let known = model.get(&n).is_some_and(|at| now - at <= 3_600);
                prop_assert_eq!(window.seen(uid(n), second(now)), known);
                if !known {
                    model.insert(n, now);
                }
            }
        }
    }
}
