//! Which messages are with us, until when, and what is to be asked of Pub/Sub next.
//!
//! A pure state machine: it takes messages, finished positions, answers and the time, and says what to send.
//! A message is acknowledged only when its position is finished; until then its lease is renewed. A message
//! that is delivered again while it is here gets the newer lease, and one that is in the lake is
//! acknowledged at once. Nothing is asked for when as much is here as may be.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::seen::Id;

/// As many in one request: a request is refused above 512 KiB, and an id has about 200 bytes.
pub(super) const IDS_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Messages that may be here.
    pub messages_max: usize,
    /// Bytes of messages that may be here; the last answer may go over it.
    pub bytes_max: usize,
    pub lease_ms: i64,
    /// Requests for messages that may wait at Pub/Sub.
    pub pulls_max: usize,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// At most so many messages.
    Pull(usize),
    Acknowledge(Vec<String>),
    /// Renew leases.
    Extend(Vec<String>),
}

/// How an answer was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// These ids are no longer good: their messages will come again.
    Expired(Vec<String>),
    /// Nothing of it may have happened.
    Failed,
}

#[derive(Debug)]
struct Held {
    id: Id,
    ack_id: String,
    bytes: usize,
    renew_ms: i64,
}

/// Requests of one kind that fail are repeated after a pause, and in smaller numbers: one id that cannot be
/// used may fail all of a request.
#[derive(Debug)]
struct Pause {
    failures: u32,
    until_ms: i64,
    ids_max: usize,
}

impl Default for Pause {
    fn default() -> Self {
        Self { failures: 0, until_ms: i64::MIN, ids_max: IDS_MAX }
    }
}

impl Pause {
    fn note(&mut self, is_good: bool, now_ms: i64, chance: &mut Chance) {
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        self.ids_max = if is_good { self.ids_max * 2 } else { self.ids_max / 2 };
        self.ids_max = self.ids_max.clamp(1, IDS_MAX);
        if !is_good {
            self.until_ms = now_ms + pause_ms(self.failures, chance);
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Leases {
    limits: Limits,
    /// By position: the message `p` is `(p - 1, p]` of the partition.
    held: BTreeMap<u64, Held>,
    places: HashMap<Id, u64>,
    /// When leases are to be renewed, and of what.
    due: BTreeSet<(i64, u64)>,
    bytes: usize,
    /// To be acknowledged.
    done: Vec<String>,
    pulls: usize,
    is_acknowledging: bool,
    is_extending: bool,
    pulling: Pause,
    acknowledging: Pause,
    extending: Pause,
    is_stopping: bool,
    chance: Chance,
}

impl Leases {
    pub fn new(limits: Limits, chance: Chance) -> Self {
        Self {
            limits,
            held: BTreeMap::new(),
            places: HashMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            done: Vec::new(),
            pulls: 0,
            is_acknowledging: false,
            is_extending: false,
            pulling: Pause::default(),
            acknowledging: Pause::default(),
            extending: Pause::default(),
            is_stopping: false,
            chance,
        }
    }

    /// Messages that are here.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is left to be said to Pub/Sub.
    pub fn is_quiet(&self) -> bool {
        self.done.is_empty() && !self.is_acknowledging
    }

    /// No more messages are asked for.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// A message that is here was delivered again. False: it is not here.
    pub fn again(&mut self, id: &Id, ack_id: &str, now_ms: i64) -> bool {
        let Some(position) = self.places.get(id).copied() else { return false };
        if let Some(held) = self.held.get_mut(&position) {
            ack_id.clone_into(&mut held.ack_id);
            self.due.remove(&(held.renew_ms, position));
            held.renew_ms = now_ms;
            self.due.insert((now_ms, position));
        }
        true
    }

    /// A message that is in the lake was delivered again.
    pub fn is_stored(&mut self, ack_id: String) {
        self.done.push(ack_id);
    }

    /// A new message. Its lease is renewed at once, because the subscription's own may be short.
    pub fn take(&mut self, position: u64, id: Id, ack_id: String, bytes: usize, now_ms: i64) {
        self.bytes += bytes;
        self.places.insert(id, position);
        self.due.insert((now_ms, position));
        let before = self.held.insert(position, Held { id, ack_id, bytes, renew_ms: now_ms });
        assert!(before.is_none(), "a position is taken once");
    }

    /// Everything up to this position is in the lake.
    pub fn finished(&mut self, upto: u64) {
        let later = self.held.split_off(&(upto + 1));
        for (position, held) in std::mem::replace(&mut self.held, later) {
            self.bytes -= held.bytes;
            self.places.remove(&held.id);
            self.due.remove(&(held.renew_ms, position));
            self.done.push(held.ack_id);
        }
    }

    /// What to send now, or until when to wait for it. Whatever is given must be answered.
    pub fn next(&mut self, now_ms: i64) -> Result<Ask, i64> {
        let mut until_ms = i64::MAX;
        if !self.done.is_empty() && !self.is_acknowledging {
            if now_ms >= self.acknowledging.until_ms {
                self.is_acknowledging = true;
                let from = self.done.len().saturating_sub(self.acknowledging.ids_max);
                return Ok(Ask::Acknowledge(self.done.split_off(from)));
            }
            until_ms = until_ms.min(self.acknowledging.until_ms);
        }
        if let Some((due_ms, _)) = self.due.first().copied().filter(|_| !self.is_extending) {
            let at_ms = due_ms.max(self.extending.until_ms);
            if now_ms >= at_ms {
                self.is_extending = true;
                return Ok(Ask::Extend(self.renew(now_ms)));
            }
            until_ms = until_ms.min(at_ms);
        }
        let room = self.limits.messages_max.saturating_sub(self.held.len() + self.pulls * IDS_MAX);
        let is_free = room > 0 && self.bytes < self.limits.bytes_max && !self.is_stopping;
        if is_free && self.pulls < self.limits.pulls_max {
            if now_ms >= self.pulling.until_ms {
                self.pulls += 1;
                return Ok(Ask::Pull(room.min(IDS_MAX)));
            }
            until_ms = until_ms.min(self.pulling.until_ms);
        }
        Err(until_ms)
    }

    /// The leases that are due, and soon will be, to be renewed again when two thirds are over.
    fn renew(&mut self, now_ms: i64) -> Vec<String> {
        let (soon_ms, next_ms) =
            (now_ms + self.limits.lease_ms / 6, now_ms + self.limits.lease_ms * 2 / 3);
        let mut ids = Vec::new();
        while ids.len() < self.extending.ids_max
            && let Some((due_ms, position)) = self.due.first().copied()
            && due_ms <= soon_ms
        {
            self.due.remove(&(due_ms, position));
            self.due.insert((next_ms, position));
            if let Some(held) = self.held.get_mut(&position) {
                held.renew_ms = next_ms;
                ids.push(held.ack_id.clone());
            }
        }
        ids
    }

    /// A request for messages was answered.
    pub fn pulled(&mut self, is_good: bool, now_ms: i64) {
        self.pulls -= 1;
        self.pulling.note(is_good, now_ms, &mut self.chance);
    }

    /// A request to acknowledge or to renew was answered.
    pub fn answered(&mut self, ask: Ask, outcome: Outcome, now_ms: i64) {
        let is_good = outcome != Outcome::Failed;
        match ask {
            Ask::Pull(_) => self.pulled(is_good, now_ms),
            Ask::Acknowledge(ids) => {
                self.is_acknowledging = false;
                self.acknowledging.note(is_good, now_ms, &mut self.chance);
                if !is_good {
                    self.done.extend(ids);
                }
            }
            Ask::Extend(ids) => {
                self.is_extending = false;
                self.extending.note(is_good, now_ms, &mut self.chance);
                if !is_good {
                    self.renew_again(&ids, now_ms);
                }
            }
        }
    }

    /// These were not renewed.
    fn renew_again(&mut self, ids: &[String], now_ms: i64) {
        let failed: std::collections::HashSet<&str> = ids.iter().map(String::as_str).collect();
        for (position, held) in &mut self.held {
            if failed.contains(held.ack_id.as_str()) {
                self.due.remove(&(held.renew_ms, *position));
                held.renew_ms = now_ms;
                self.due.insert((now_ms, *position));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::seen::id_of;

    const LIMITS: Limits =
        Limits { messages_max: 2_000, bytes_max: 1_000, lease_ms: 60_000, pulls_max: 1 };

    fn id(n: u64) -> Id {
        id_of([n.to_le_bytes().as_slice()])
    }

    fn with(count: u64) -> Leases {
        let mut leases = Leases::new(LIMITS, Chance::new(1));
        for n in 1..=count {
            leases.take(n, id(n), format!("a{n}"), 10, 0);
        }
        leases
    }

    fn ids(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
        range.map(|n| format!("a{n}")).collect()
    }

    #[test]
    fn a_message_is_acknowledged_when_it_is_finished_and_not_before() {
        let mut leases = with(3);
        let first = leases.next(0).unwrap();
        assert_eq!(first, Ask::Extend(ids(1..=3)), "the subscription's own lease may be short");
        leases.answered(first, Outcome::Done, 10);
        assert_eq!(leases.next(10), Ok(Ask::Pull(1_000)));
        assert_eq!(leases.next(10), Err(40_000), "two thirds of the lease");
        leases.finished(2);
        let ask = leases.next(20).unwrap();
        assert_eq!(ask, Ask::Acknowledge(ids(1..=2)));
        leases.answered(ask, Outcome::Done, 30);
        assert!(leases.is_quiet() && leases.len() == 1);
        let ask = leases.next(40_000).unwrap();
        assert_eq!(ask, Ask::Extend(ids(3..=3)), "what is finished is not renewed");
    }

    #[test]
    fn what_fails_is_tried_again_after_a_pause() {
        let mut leases = with(2);
        leases.finished(1);
        let ask = leases.next(0).unwrap();
        leases.answered(ask, Outcome::Failed, 0);
        let ask = leases.next(0).unwrap();
        assert_eq!(ask, Ask::Extend(ids(2..=2)));
        leases.answered(ask, Outcome::Failed, 0);
        assert_eq!(leases.next(0), Ok(Ask::Pull(1_000)));
        leases.pulled(false, 0);
        let mut again = Vec::new();
        while again.len() < 3 {
            match leases.next(2_000) {
                Ok(ask) => again.push(ask),
                Err(until_ms) => panic!("waits until {until_ms}: {again:?}"),
            }
        }
        let [Ask::Acknowledge(done), Ask::Extend(renewed), Ask::Pull(_)] = &again[..] else {
            panic!("{again:?}")
        };
        assert_eq!((done, renewed), (&ids(1..=1), &ids(2..=2)));
    }

    #[test]
    fn an_id_that_is_no_good_does_not_hold_up_the_others() {
        let mut leases = with(100);
        leases.finished(100);
        let (mut now_ms, mut good, mut expired) = (0, 0, 0);
        while good + expired < 100 {
            now_ms += 300_000;
            let Ok(ask) = leases.next(now_ms) else { panic!("waits with {good} of 100") };
            let Ask::Acknowledge(ids) = &ask else {
                leases.pulled(true, now_ms);
                continue;
            };
            let is_bad = ids.iter().any(|id| id == "a77");
            let outcome = match (is_bad, ids.len()) {
                (true, 1) => Outcome::Expired(ids.clone()),
                (true, _) => Outcome::Failed,
                (false, _) => Outcome::Done,
            };
            good += if outcome == Outcome::Done { ids.len() } else { 0 };
            expired += usize::from(matches!(outcome, Outcome::Expired(_)));
            leases.answered(ask, outcome, now_ms);
        }
        assert_eq!((good, expired), (99, 1));
    }

    #[test]
    fn no_more_is_asked_for_than_may_be_here() {
        let mut leases = with(100);
        assert!(matches!(leases.next(0), Ok(Ask::Extend(_))));
        assert_eq!(leases.next(0), Err(i64::MAX), "as many bytes as may be");
        leases.finished(1);
        assert!(matches!(leases.next(0), Ok(Ask::Acknowledge(_))));
        assert_eq!(leases.next(0), Ok(Ask::Pull(1_000)));
        let limits = Limits { messages_max: 100, bytes_max: usize::MAX, ..LIMITS };
        let mut leases = Leases::new(limits, Chance::new(1));
        assert_eq!(leases.next(0), Ok(Ask::Pull(100)));
        leases.pulled(true, 0);
        (1..=99).for_each(|n| leases.take(n, id(n), String::new(), 1, 0));
        assert!(matches!(leases.next(0), Ok(Ask::Extend(_))));
        assert_eq!(leases.next(0), Ok(Ask::Pull(1)));
        leases.pulled(true, 0);
        leases.stop();
        assert_eq!(leases.next(0), Err(i64::MAX));
    }

    #[test]
    fn a_message_that_comes_again_keeps_its_newer_lease() {
        let mut leases = with(2);
        let ask = leases.next(0).unwrap();
        leases.answered(ask, Outcome::Done, 0);
        assert!(leases.again(&id(1), "b1", 1_000) && !leases.again(&id(7), "b7", 1_000));
        let ask = leases.next(1_000).unwrap();
        assert_eq!(ask, Ask::Extend(vec!["b1".to_owned()]));
        leases.answered(ask, Outcome::Done, 1_000);
        leases.finished(2);
        assert_eq!(
            leases.next(1_000),
            Ok(Ask::Acknowledge(vec!["b1".to_owned(), "a2".to_owned()]))
        );
        leases.is_stored("c1".to_owned());
        assert_eq!(leases.done, ["c1"]);
    }
}
