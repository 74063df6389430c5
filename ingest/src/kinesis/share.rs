//! Who reads which shard, when several processes read a stream: one sheet that says it, and the rules by which it
//! changes. Pure: time is an argument.
//!
//! - A shard has one *owner*, by lane. Whoever has fewer than its part takes those that nobody owns, and asks for one of
//!   who has two more, which gives it up when everything that it has read of it is in the lake.
//! - Every process *beats*: changes its number on the sheet. One whose number has not changed for [`Share::lapse`], by
//!   the clock of who looks, has died as far as the others are concerned. Its shards are taken by who has relieved
//!   its lane ([`crate::Board::take_over`]), and go on where that lane stands.
//! - A shard that changes hands is another *tenure*: a partition of its own in the lake, so that no lane has to know
//!   what another one has committed.
//! - A process goes by what stands on the sheet, never by what it has tried to write, and owns nothing until its own
//!   life stands there. So whoever was relieved while it did not run begins with nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::shard::State;
use crate::begin::Start;

/// Everything that the processes tell each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sheet {
    /// Where shards begin of which nothing is known.
    pub start: Start,
    /// By lane.
    pub members: BTreeMap<String, Beat>,
    pub shards: BTreeMap<String, Lease>,
}

/// A sign of life: another with every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// Which start of the process it is.
    life: u64,
    count: u64,
}

/// Of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub owner: Option<String>,
    /// Who owns it, or owned it last.
    pub last: String,
    pub tenure: u32,
    /// Who wants it from its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
    /// Where the tenure began; where it ended when nobody owns the shard.
    pub place: State,
    /// What arrived before was read, in milliseconds since 1970.
    pub read_to_ms: i64,
}

/// Shards that are read no further, with their tenure and where they stand.
pub(super) type Ended = BTreeMap<String, (u32, State)>;

/// What a process has to say.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Shards that may be read: their parents were read to their end.
    pub ready: BTreeSet<String>,
    /// Read no further in that tenure, and in the lake up to there.
    pub ended: Ended,
    /// Where those are to be taken up that this lane has read before there was a sheet.
    pub own: HashMap<String, State>,
    pub read_to: HashMap<String, i64>,
}

/// What one process knows of the others.
#[derive(Debug)]
pub(super) struct Share {
    lane: String,
    beat: Beat,
    lapse: Duration,
    /// The last sign of life of each lane, and when it was new.
    seen: HashMap<String, (Beat, Instant)>,
}

impl Share {
    /// `life` is another one with each start.
    pub fn new(lane: &str, life: u64, lapse: Duration) -> Self {
        let beat = Beat { life, count: 0 };
        Self { lane: lane.to_owned(), beat, lapse, seen: HashMap::new() }
    }

    /// Looks at the newest sheet.
    pub fn look(&mut self, sheet: &Sheet, now: Instant) {
        self.seen.retain(|lane, _| sheet.members.contains_key(lane));
        for (lane, beat) in &sheet.members {
            match self.seen.get_mut(lane) {
                Some(seen) if seen.0 == *beat => {}
                Some(seen) => *seen = (*beat, now),
                None => _ = self.seen.insert(lane.clone(), (*beat, now)),
            }
        }
    }

    /// Who is neither there nor has been seen alive for long enough is dead.
    fn is_alive(&self, lane: &str, now: Instant) -> bool {
        let seen = self.seen.get(lane);
        lane == self.lane || seen.is_some_and(|(_, at)| now.duration_since(*at) < self.lapse)
    }

    /// Whether this life of the process stands on the sheet.
    pub fn is_in(&self, sheet: &Sheet) -> bool {
        sheet.members.get(&self.lane).is_some_and(|beat| beat.life == self.beat.life)
    }

    /// The shards that this process owns; none before its life stands on the sheet.
    pub fn mine<'a>(&self, sheet: &'a Sheet) -> BTreeMap<&'a str, &'a Lease> {
        let is_in = self.is_in(sheet);
        let own = |lease: &Lease| is_in && lease.owner.as_deref() == Some(&self.lane);
        let all = sheet.shards.iter().filter(|(_, lease)| own(lease));
        all.map(|(shard, lease)| (shard.as_str(), lease)).collect()
    }

    /// Of those the ones to give up: somebody who lives wants them.
    pub fn wanted<'a>(&self, sheet: &'a Sheet, now: Instant) -> Vec<&'a str> {
        let wanted = |lease: &Lease| {
            let by = lease.wanted_by.as_deref();
            by.is_some_and(|by| by != self.lane && self.is_alive(by, now))
        };
        let mine = self.mine(sheet).into_iter();
        mine.filter(|(_, lease)| wanted(lease)).map(|(shard, _)| shard).collect()
    }

    /// How many of the shards this process may take.
    fn part(&self, sheet: &Sheet, ready: &BTreeSet<String>, now: Instant) -> usize {
        let others = sheet.members.keys().filter(|lane| **lane != self.lane);
        ready.len().div_ceil(1 + others.filter(|lane| self.is_alive(lane, now)).count())
    }

    /// The shards to take: those that nobody owns, and those of the dead, as many as are this process's part.
    pub fn free(&self, sheet: &Sheet, ready: &BTreeSet<String>, now: Instant) -> Vec<String> {
        if !self.is_in(sheet) {
            return Vec::new();
        }
        let room = self.part(sheet, ready, now).saturating_sub(self.mine(sheet).len());
        let is_free = |shard: &&String| {
            let Some(lease) = sheet.shards.get(*shard) else { return true };
            let by_other = lease.wanted_by.as_deref().filter(|by| *by != self.lane);
            let kept_for = by_other.is_some_and(|by| self.is_alive(by, now));
            match &lease.owner {
                Some(owner) => !self.is_alive(owner, now),
                None => !lease.place.is_over && !kept_for,
            }
        };
        ready.iter().filter(is_free).take(room).cloned().collect()
    }

    /// Those of them that a dead owner has, by its lane: it is to be relieved first.
    pub fn orphans(sheet: &Sheet, free: &[String]) -> BTreeMap<String, Vec<String>> {
        let mut orphans: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for shard in free {
            if let Some(owner) = sheet.shards.get(shard).and_then(|lease| lease.owner.clone()) {
                orphans.entry(owner).or_default().push(shard.clone());
            }
        }
        orphans
    }

    /// The sheet with what this process changes; `free` as told by [`Share::free`], `relieved`: where those of them
    /// stand whose owners are dead.
    pub fn change(
        &mut self,
        sheet: &Sheet,
        news: &News,
        free: &[String],
        relieved: &HashMap<String, State>,
        now: Instant,
    ) -> Sheet {
        self.beat.count += 1;
        let mut next = sheet.clone();
        for (shard, lease) in &mut next.shards {
            if lease.owner.as_deref() != Some(&self.lane) {
                continue;
            }
            if let Some((_, place)) = news.ended.get(shard).filter(|(t, _)| *t == lease.tenure) {
                (lease.owner, lease.place) = (None, place.clone());
            }
            if let Some(read_to_ms) = news.read_to.get(shard) {
                lease.read_to_ms = lease.read_to_ms.max(*read_to_ms);
            }
        }
        for shard in free {
            self.take(&mut next, shard, news, relieved);
        }
        next.members.insert(self.lane.clone(), self.beat);
        let owners: BTreeSet<_> = next.shards.values().filter_map(|l| l.owner.clone()).collect();
        next.members.retain(|lane, _| owners.contains(lane) || self.is_alive(lane, now));
        // A wish of who is gone, or has enough by now, would keep a shard from everybody.
        let own = next.shards.values().filter(|l| l.owner.as_deref() == Some(&self.lane)).count();
        let is_enough = own >= self.part(&next, &news.ready, now);
        let holds = |by: &String| next.members.contains_key(by) && !(is_enough && *by == self.lane);
        for lease in next.shards.values_mut() {
            lease.wanted_by = lease.wanted_by.take().filter(holds);
        }
        self.want(&mut next, &news.ready, now);
        next
    }

    fn take(&self, next: &mut Sheet, shard: &str, news: &News, relieved: &HashMap<String, State>) {
        let fresh = !next.shards.contains_key(shard);
        let lease = next.shards.entry(shard.to_owned()).or_default();
        if fresh {
            lease.last.clone_from(&self.lane);
            lease.place = news.own.get(shard).cloned().unwrap_or_default();
        }
        if lease.owner.is_some() {
            // Without a word of where it stands it stays with the dead.
            let Some(place) = relieved.get(shard) else { return };
            lease.place = place.clone();
        }
        lease.tenure += u32::from(lease.last != self.lane);
        lease.last.clone_from(&self.lane);
        (lease.owner, lease.wanted_by) = (Some(self.lane.clone()), None);
    }

    /// The sheet when this process is gone.
    pub fn without(&self, mut sheet: Sheet) -> Sheet {
        sheet.members.remove(&self.lane);
        sheet
    }

    /// Asks for a shard of who has most, if that is at least two more than this process has.
    fn want(&self, next: &mut Sheet, ready: &BTreeSet<String>, now: Instant) {
        let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut asked, mut free) = (0, 0);
        for (shard, lease) in &next.shards {
            asked += usize::from(lease.wanted_by.as_deref() == Some(&self.lane));
            match &lease.owner {
                Some(owner) if self.is_alive(owner, now) => *owned.entry(owner).or_default() += 1,
                _ => free += usize::from(ready.contains(shard) && !lease.place.is_over),
            }
        }
        free += ready.iter().filter(|shard| !next.shards.contains_key(*shard)).count();
        let own = owned.get(self.lane.as_str()).copied().unwrap_or(0);
        if asked > 0 || free > 0 {
            return;
        }
        let most = owned.into_iter().filter(|(_, count)| *count >= own + 2);
        let Some(from) = most.max_by_key(|(_, count)| *count).map(|(lane, _)| lane.to_owned())
        else {
            return;
        };
        let of = |lease: &&mut Lease| lease.owner.as_deref() == Some(&*from);
        let asked = next.shards.values_mut().filter(of).find(|lease| lease.wanted_by.is_none());
        if let Some(lease) = asked {
            lease.wanted_by = Some(self.lane.clone());
        }
    }
}

#[cfg(test)]
mod tests;
